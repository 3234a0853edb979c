// Limits of queues where several nodes claim and submit at the same instant.

import MartletCore
import MartletTestKit
import PostgresServer
import Synchronization
import Testing

@testable import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct LimitTests {
  // MARK: Never exceeded

  @Test func `two nodes at once never run more of a queue than its concurrency, and use all of it`() async throws {
    try await Nodes.run(2) { nodes in
      let (total, most) = (1500, 7)
      try await nodes[1].set { $0.concurrency = .value(most) }
      for start in stride(from: 1, to: total, by: 500) {
        _ = try await nodes[0].submit([Submission((start..<start + 500).map { .stub($0, priority: 1 + $0 % 9) })])
      }
      let gauge = Gauge()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<6 {
          group.addTask {
            let node = nodes[worker % 2]
            while gauge.done < total {
              let claimed = try await node.claimStub(limit: 1 + worker % 4)
              if claimed.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
              gauge.begin(claimed.count)
              let reports = claimed.map { task -> Finish in
                let outcome = [Outcome.success, .success, .released, .snoozed(.zero)].randomElement() ?? .success
                return Finish(lease: task.lease, outcome: outcome, randomness: 0)
              }
              gauge.end(claimed.count, done: reports.count { $0.outcome == .success })
              _ = try await node.finish(reports)
              _ = try await node.promote(limit: 100)
            }
          }
        }
        group.addTask {
          while gauge.done < total {
            let running = try await nodes[0].number("SELECT count(*) FROM task_runs WHERE status = 3")
            #expect(running <= most)
            gauge.see(Int(running))
          }
        }
        try await group.waitForAll()
      }
      #expect(gauge.most <= most)
      #expect(gauge.most == most, "it was never used up")
      #expect(try await nodes[0].counts().filter { $0.status == .success }.map(\.count).reduce(0, +) == total)
    }
  }

  @Test func `a limit that is set while claims are under way counts what they have taken`() async throws {
    try await Nodes.run(2) { nodes in
      for round in 0..<40 {
        let queue = "q\(round)"
        _ = try await nodes[0].submit([Submission((1...30).map { .stub(round * 100 + $0, queue: queue) })])
        _ = try await nodes[1].claimStub(limit: 1, queues: [queue])
        async let early = nodes[1].claimStub(limit: 4, queues: [queue])
        async let settings = nodes[0].set(queue) { $0.concurrency = .value(6) }
        let (taken, _) = try await (early, settings)
        let late = try await nodes[0].claimStub(limit: 30, queues: [queue])
        #expect(1 + taken.count + late.count <= 6, "round \(round)")
        #expect(try await nodes[0].number(Self.running(in: queue)) == 6)
      }
    }
  }

  @Test func `two nodes at once never begin more in any time than a queue's rate and burst allow`() async throws {
    try await Nodes.run(2) { nodes in
      let (total, rate, burst) = (1200, 2000.0, 100)
      try await nodes[0].set {
        $0.ratePerSecond = .value(rate)
        $0.burst = .value(burst)
      }
      for start in stride(from: 1, to: total, by: 600) {
        _ = try await nodes[1].submit([Submission((start..<start + 600).map { .stub($0) })])
      }
      let gauge = Gauge()
      let begun = try await withThrowingTaskGroup(of: [Int64].self) { group in
        for worker in 0..<4 {
          group.addTask {
            var begun: [Int64] = []
            while gauge.done < total {
              let claimed = try await nodes[worker % 2].claimStub(limit: 1 + worker * 9)
              if claimed.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
              gauge.end(0, done: claimed.count)
              begun += claimed.map(\.startedAt.milliseconds)
            }
            return begun
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }.sorted()
      #expect(begun.count == total)
      var worst = 0.0
      for (first, start) in begun.enumerated() {
        for last in begun.indices[first...] {
          let allowed = Double(burst) + rate * Double(begun[last] - start + 1) / 1000
          worst = max(worst, Double(last - first + 1) - allowed)
        }
      }
      #expect(worst <= 1, "so many too many in some time: \(worst)")
    }
  }

  @Test func `two nodes at once never fill a queue beyond its depth`() async throws {
    try await Nodes.run(2) { nodes in
      let most = 60
      try await nodes[0].set { $0.maxDepth = .value(most) }
      let gauge = Gauge()
      let accepted = try await withThrowingTaskGroup(of: Int.self) { group in
        for submitter in 0..<4 {
          group.addTask {
            var accepted = 0
            for round in 0..<100 {
              let submissions = (0..<3).map { part -> Submission in
                let first = submitter * 100_000 + round * 100 + part * 10
                let tasks = (0...Int.random(in: 0...4)).map { number -> AcceptedTask in
                  var task = AcceptedTask.stub(first + number + 1, type: ["resize", "other"][number % 2])
                  if part == 1 { task.ref = "linked" }
                  return task
                }
                return Submission(tasks)
              }
              let verdicts = try await nodes[submitter % 2].submit(submissions)
              for (submission, verdict) in zip(submissions, verdicts) where verdict != .queueFull("default") {
                accepted += submission.tasks.count
              }
            }
            gauge.end(0, done: 1)
            return accepted
          }
        }
        for node in nodes {
          group.addTask {
            while gauge.done < 4 {
              let claimed = try await node.claimStub(limit: 20, types: ["resize", "other"])
              _ = try await node.finish(claimed.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) })
              let waiting = try await node.number("SELECT count(*) FROM task_runs WHERE status IN (1, 2, 4)")
              #expect(waiting <= most)
            }
            return 0
          }
        }
        return try await group.reduce(0, +)
      }
      let stored = try await nodes[0].number("SELECT count(*) FROM task_runs")
      #expect(Int64(accepted) == stored)
      #expect(accepted > most, "some went out again")
    }
  }

  // MARK: Felt on other nodes

  @Test func `once a pause is answered on one node no other gives out anything, and goes on when told`() async throws {
    try await Nodes.run(2) { nodes in
      let heard = Hints()
      nodes[1].listen { heard.hear($0) }
      for start in stride(from: 1, to: 3000, by: 1000) {
        _ = try await nodes[0].submit([Submission((start..<start + 1000).map { .stub($0) })])
      }
      let isPaused = Flag()
      for pause in [true, false] {
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            var seen = 0
            while seen < 20 {
              let wasPaused = isPaused.isSet
              let claimed = try await nodes[1].claimStub(limit: 5)
              if wasPaused {
                #expect(claimed.isEmpty)
                seen += 1
              }
            }
          }
          group.addTask {
            if pause {
              try await nodes[0].set { $0.isPaused = true }
            } else {
              var settings = TypeSettings()
              settings.isPaused = true
              try await nodes[0].put(type: "resize", settings, actor: "key-1")
            }
            isPaused.set(true)
          }
          try await group.waitForAll()
        }
        isPaused.set(false)
        heard.forget()
        if pause {
          try await nodes[0].set { $0.isPaused = false }
        } else {
          try await nodes[0].put(type: "resize", TypeSettings(), actor: "key-1")
        }
        try await eventually { heard.heard.contains(.settings) && heard.heard.contains(.anyWork) }
        #expect(try await nodes[1].claimStub(limit: 5).count == 5)
      }
    }
  }

  @Test func `an end on one node is told to the other that found the queue full`() async throws {
    try await Nodes.run(2) { nodes in
      let heard = [Hints(), Hints()]
      for (node, hints) in zip(nodes, heard) { node.listen { hints.hear($0) } }
      // Both hear each other, and know the queue.
      for (number, node) in nodes.enumerated() {
        while !heard[1 - number].heard.contains(.settings) {
          try await node.set { $0.concurrency = .value(1) }
          try await Task.sleep(for: .milliseconds(20))
        }
      }
      // As workers do: whoever finds nothing asks again once he is told.
      func claim(_ node: Int, _ type: String) async throws -> ClaimedTask {
        let lane = Lane(queue: "default", type: type)
        while true {
          try await eventually {
            heard[node].heard.contains { [.work([lane]), .workElsewhere([lane]), .anyWork].contains($0) }
          }
          heard[node].forget()
          if let task = try await nodes[node].claimStub(types: [type]).first { return task }
        }
      }
      try await nodes[0].submitStub(.stub(1))
      for number in 1...20 {
        let task = try await claim(0, "resize")
        // The other's waits for another type in the same queue.
        try await nodes[1].submitStub(.stub(number + 100, type: "other"))
        #expect(try await nodes[1].claimStub(types: ["other"]) == [])
        heard[1].forget()
        try await nodes[0].submitStub(.stub(number + 1))
        _ = try await nodes[0].finish([Finish(lease: task.lease, outcome: .success, randomness: 0)])
        let other = try await claim(1, "other")
        #expect(try await nodes[0].claimStub() == [])
        heard[0].forget()
        _ = try await nodes[1].finish([Finish(lease: other.lease, outcome: .success, randomness: 0)])
      }
    }
  }

  @Test func `a node that finds a bucket empty is told when to come again each time it asks`() async throws {
    try await Nodes.run(1) { nodes in
      let heard = Hints()
      nodes[0].listen { heard.hear($0) }
      try await nodes[0].set { $0.ratePerSecond = .value(0.01) }
      _ = try await nodes[0].submit([Submission([.stub(1), .stub(2)])])
      #expect(try await nodes[0].claimStub().count == 1)
      for _ in 1...3 {
        heard.forget()
        #expect(try await nodes[0].claimStub() == [])
        let isTold = heard.heard.contains { hint in
          guard case .later([Lane(queue: "default", type: "resize")], let rest) = hint else { return false }
          return rest > .seconds(80) && rest <= .seconds(100)
        }
        #expect(isTold)
      }
    }
  }

  @Test func `neither limited queues nor the others starve each other`() async throws {
    try await Nodes.run(1) { nodes in
      for queue in ["a", "b"] { try await nodes[0].set(queue) { $0.concurrency = .value(100_000) } }
      for (index, queue) in ["a", "b", "c"].enumerated() {
        _ = try await nodes[0].submit([Submission((1...300).map { .stub(index * 1000 + $0, queue: queue) })])
      }
      var given: [String: Int] = [:]
      for _ in 0..<20 {
        for task in try await nodes[0].claimStub(limit: 10) { given[task.queue, default: 0] += 1 }
      }
      #expect(given.values.reduce(0, +) == 200)
      #expect((given["c"] ?? 0) >= 50)
      #expect((given["a"] ?? 0) + (given["b"] ?? 0) >= 50)
    }
  }

  private static func running(in queue: String) -> String {
    "SELECT count(*) FROM task_runs r JOIN lanes l ON l.id = r.lane WHERE r.status = 3 AND l.queue = '\(queue)'"
  }
}

/// How many run, as those who run them know: never more than the store does.
private final class Gauge: Sendable {
  private let state = Mutex((running: 0, most: 0, done: 0))

  var most: Int { state.withLock(\.most) }
  var done: Int { state.withLock(\.done) }

  func begin(_ count: Int) {
    state.withLock {
      $0.running += count
      $0.most = max($0.most, $0.running)
    }
  }

  func end(_ count: Int, done: Int) {
    state.withLock {
      $0.running -= count
      $0.done += done
    }
  }

  func see(_ running: Int) {
    state.withLock { $0.most = max($0.most, running) }
  }
}
