// What several nodes over one schema owe each other.

import MartletCore
import MartletPostgres
import MartletTestKit
import PostgresServer
import Synchronization
import Testing

@Suite struct ManyNodesTests {
  @Test func `of two nodes that claim at once each gets its share, and no task is given twice`() async throws {
    try await Nodes.run(2) { nodes in
      for start in stride(from: 1, through: 3000, by: 1000) {
        _ = try await nodes[0].submit([Submission((start..<start + 1000).map { .stub($0, priority: 1 + $0 % 9) })])
      }
      let left = Left(3000)
      let shares = try await withThrowingTaskGroup(of: [TaskID].self) { group in
        for claimer in 0..<8 {
          group.addTask {
            var mine: [TaskID] = []
            while left.count > 0 {
              let claimed = try await nodes[claimer % 2].claimStub(limit: 50)
              left.take(claimed.count)
              mine += claimed.map(\.id)
            }
            return mine
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      let isEachOnce = shares.joined().sorted() == (1...3000).map { TaskID.stub($0) }
      #expect(isEachOnce)
    }
  }

  @Test func `a node hears of work, of due tasks and of cancellations on another, and not of its own`() async throws {
    try await Nodes.run(2) { nodes in
      let (own, others) = (Hints(), Hints())
      nodes[0].listen { own.hear($0) }
      nodes[1].listen { others.hear($0) }
      // A hint may be lost, above all while the other is not listening yet: then what it is about is done again.
      var number = 0
      func repeated(until hint: StoreHint, _ action: (Int) async throws -> Void) async throws {
        while !others.heard.contains(hint) {
          number += 1
          try await action(number)
          try await Task.sleep(for: .milliseconds(20))
        }
      }
      // The first names a lane that the other does not know yet.
      try await repeated(until: .anyWork) { try await nodes[0].submitStub(.stub($0)) }
      try await eventually { try await !nodes[1].claimStub(limit: 1000).isEmpty }
      try await repeated(until: .workElsewhere([Lane(queue: "default", type: "resize")])) {
        try await nodes[0].submitStub(.stub($0))
      }
      try await repeated(until: .due(.seconds(1))) {
        try await nodes[0].submitStub(.stub($0, eligible: .after(.seconds(1))))
      }
      let running = try #require(try await nodes[0].list(TaskQuery()).tasks.last { $0.status == .running })
      _ = try await nodes[0].steer([Steering(.cancel, task: running.id, actor: "key-1")])
      try await eventually { others.heard.contains(.cancelled(running.id)) }
      #expect(own.heard == [])
    }
  }

  @Test func `what a node missed it finds by looking`() async throws {
    try await Nodes.run(2) { nodes in
      #expect(try await nodes[1].claimStub() == [])
      // Nobody has told the second node of this lane, and it may not look at all lanes at every call.
      try await nodes[0].submitStub(.stub(1))
      try await eventually { try await nodes[1].claimStub().map(\.id) == [.stub(1)] }
    }
  }

  @Test func `tasks that land behind a claim's place in their lane are found`() async throws {
    try await Nodes.run(2) { nodes in
      let now = try await nodes[0].now()
      try await nodes[0].submitStub(.stub(2))
      #expect(try await nodes[0].claimStub().count == 1)
      // Another node's transaction began earlier and is committed only now.
      try await nodes[1].submitStub(.stub(1, eligible: .at(now)))
      let back = "UPDATE task_runs SET available_at = available_at - 60000 WHERE id = '\(TaskID.stub(1))'"
      _ = try await PostgresServer.shared.query("SET search_path = \(nodes[0].schema); \(back)")
      try await eventually { try await nodes[0].claimStub().map(\.id) == [.stub(1)] }
    }
  }

  @Test func `the database's clock decides`() async throws {
    try await Nodes.run(1) { nodes in
      let before = try await serverTime()
      try await nodes[0].submitStub(.stub(1, eligible: .after(.seconds(60))))
      let task = try #require(try await nodes[0].tasks([.stub(1)])[0])
      let after = try await serverTime()
      #expect((before...after).contains(task.createdAt.milliseconds))
      #expect(task.availableAt == task.createdAt + .seconds(60))
      let now = try await nodes[0].now()
      #expect((before...(try await serverTime())).contains(now.milliseconds))
    }
  }

  @Test func `two rescuers, two promoters and two pruners at once do each thing once`() async throws {
    try await Nodes.run(2) { nodes in
      for number in 1...100 {
        try await nodes[0].submitStub(.stub(number, retries: 0, timeout: .milliseconds(1), lease: .seconds(1)))
        try await nodes[0].submitStub(.stub(1000 + number, type: "later", eligible: .after(.milliseconds(1))))
      }
      #expect(try await nodes[0].claimStub(limit: 100).count == 100)
      try await eventually {
        async let first = nodes[0].rescue(limit: 1000, randomness: 0)
        async let second = nodes[1].rescue(limit: 1000, randomness: 0)
        async let third = nodes[0].promote(limit: 1000)
        async let fourth = nodes[1].promote(limit: 1000)
        _ = try await (first, second, third, fourth)
        return try await nodes[0].counts().allSatisfy { [.dead, .ready].contains($0.status) && $0.count == 100 }
      }
      for number in 1...100 {
        #expect(try await nodes[1].attempts(of: .stub(number))?.map(\.outcome) == [.timedOut])
        #expect(try await nodes[1].events(of: .stub(number))?.map(\.sequence) == [1, 2, 3, 4, 5])
        #expect(try await nodes[1].events(of: .stub(1000 + number))?.map(\.type) == [.received, .ready])
      }
      try await eventually {
        async let first = nodes[0].prune(RetentionPolicy(success: nil, dead: .zero, cancelled: nil), limit: 30)
        async let second = nodes[1].prune(RetentionPolicy(success: nil, dead: .zero, cancelled: nil), limit: 30)
        _ = try await (first, second)
        return try await nodes[0].counts() == [
          TaskCount(lane: Lane(queue: "default", type: "later"), status: .ready, count: 100)
        ]
      }
    }
  }

  private func serverTime() async throws -> Int64 {
    let rows = try await PostgresServer.shared.query(
      "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    return try #require(rows.first?.first.flatMap { Int64($0) })
  }
}

/// How many tasks are still to be had.
private final class Left: Sendable {
  private let state: Mutex<Int>

  init(_ count: Int) { state = Mutex(count) }

  var count: Int { state.withLock(\.self) }

  func take(_ count: Int) { state.withLock { $0 -= count } }
}
