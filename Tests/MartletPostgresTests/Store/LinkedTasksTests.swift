// Keys and dependencies where several nodes touch them at the same instant.

import Foundation
import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite struct LinkedTasksTests {
  /// Rounds of each race; MARTLET_RACES says how many, for a longer look.
  private static let races = ProcessInfo.processInfo.environment["MARTLET_RACES"].flatMap(Int.init) ?? 200

  private static func task(_ number: Int, after parents: Int..., policy: DependencyPolicy = .hold) -> AcceptedTask {
    var task = AcceptedTask.stub(number, retries: 0)
    task.dependencies = parents.map { .stub($0) }
    task.onDependencyFailure = policy
    return task
  }

  private static func finish(_ task: ClaimedTask, _ outcome: Outcome = .success) -> Finish {
    Finish(lease: task.lease, outcome: outcome, randomness: 0)
  }

  // MARK: Keys

  @Test func `a thousand equal submissions at once over two nodes write one task`() async throws {
    try await Nodes.run(2) { nodes in
      let key = IdempotencyKey("order-42", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
      let verdicts = try await withThrowingTaskGroup(of: [SubmissionVerdict].self) { group in
        for number in 1...1000 {
          // Some alone, some together in one call.
          let count = number % 10 == 0 ? 10 : 1
          let submissions = (0..<count).map { Submission([.stub(number + $0 * 1000)], keys: [key]) }
          group.addTask { try await nodes[number % 2].submit(submissions) }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      let tasks = try await nodes[0].list(TaskQuery()).tasks
      let winner = try #require(tasks.first).id
      #expect(tasks.count == 1)
      var accepted = 0
      for verdict in verdicts {
        switch verdict {
        case .accepted: accepted += 1
        case .replayed(_, let earlier): #expect(earlier == [0: winner])
        case .keyReused, .unknownDependencies, .queueFull: Issue.record("\(verdict)")
        }
      }
      #expect(accepted == 1)
    }
  }

  @Test func `batches that share keys in opposite orders all come to an end`() async throws {
    try await Nodes.run(2) { nodes in
      let count = 20
      let written = try await withThrowingTaskGroup(of: Int.self) { group in
        for caller in 1...20 {
          var keys = (0..<count).map {
            IdempotencyKey("key-\($0)", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [$0])
          }
          if caller.isMultiple(of: 2) { keys.reverse() }
          let submission = Submission((0..<count).map { .stub(caller * count + $0) }, keys: keys)
          group.addTask {
            switch try await nodes[caller % 2].submit([submission])[0] {
            case .accepted: count
            case .replayed(_, let earlier): count - earlier.count
            case .keyReused, .unknownDependencies, .queueFull: .min
            }
          }
        }
        return try await group.reduce(0, +)
      }
      #expect(written == count)
      #expect(try await nodes[0].list(TaskQuery()).tasks.count == count)
    }
  }

  // MARK: Ends at the same instant

  @Test func `two last parents that end at the same instant on two nodes release once`() async throws {
    try await Nodes.run(2) { nodes in
      for start in stride(from: 0, to: Self.races, by: 100) {
        let rounds = start..<min(start + 100, Self.races)
        _ = try await nodes[0].submit(
          rounds.map { round in
            let (left, right, child) = (round * 3 + 1, round * 3 + 2, round * 3 + 3)
            return Submission([.stub(left), .stub(right), Self.task(child, after: left, right)])
          })
        let claimed = try await nodes[0].claimStub(limit: 200)
        let tasks = Dictionary(uniqueKeysWithValues: claimed.map { ($0.id, $0) })
        for round in rounds {
          let left = try #require(tasks[.stub(round * 3 + 1)])
          let right = try #require(tasks[.stub(round * 3 + 2)])
          async let first = nodes[0].finish([Self.finish(left)])
          async let second = nodes[1].finish([Self.finish(right)])
          #expect(try await first + second == [.applied(.success), .applied(.success)])
          let events = try await nodes[round % 2].events(of: .stub(round * 3 + 3))
          #expect(events?.map(\.type) == [.received, .ready])
        }
        let children = try await nodes[1].claimStub(limit: 100)
        #expect(children.count == rounds.count)
        _ = try await nodes[1].finish(children.map { Self.finish($0) })
      }
      try await expectSound(nodes[0])
    }
  }

  @Test func `a child submitted at the instant at which its parent ends is never left behind`() async throws {
    try await Nodes.run(2) { nodes in
      for start in stride(from: 0, to: Self.races, by: 100) {
        let rounds = start..<min(start + 100, Self.races)
        _ = try await nodes[0].submit(rounds.map { Submission([.stub($0 * 3 + 1, type: "parent", retries: 0)]) })
        let parents = try await nodes[0].claimStub(limit: 100, types: ["parent"])
        #expect(parents.count == rounds.count)
        for parent in parents {
          let number = Int(parent.id.high >> 16)
          // By turns plain, told with log lines, and failed.
          var report = Self.finish(parent, number % 2 == 0 ? .failed : .success)
          if number % 3 == 0 { report.logs = ["done"] }
          let child = Self.task(number + 1, after: number, policy: .run)
          let last = Self.task(number + 2, after: number, policy: .cancel)
          async let ended = nodes[0].finish([report])
          async let submitted = nodes[1].submit([Submission([child]), Submission([last])])
          _ = try await (ended, submitted)
          #expect(try await nodes[0].status(of: child.id) == .ready)
          #expect(try await nodes[0].status(of: last.id) == (number % 2 == 0 ? .cancelled : .ready))
        }
      }
      try await expectSound(nodes[0])
    }
  }

  @Test func `a parent is never deleted at the instant at which another is made to wait for it`() async throws {
    try await Nodes.run(2) { nodes in
      let all = RetentionPolicy(success: nil, dead: .zero, cancelled: nil)
      var refused = 0
      for number in stride(from: 1, to: Self.races * 2, by: 2) {
        _ = try await nodes[0].submit([Submission([.stub(number, retries: 0)])])
        let parent = try #require(try await nodes[0].claimStub(limit: 1).first)
        _ = try await nodes[0].finish([Self.finish(parent, .failed)])
        async let deleted = nodes[0].prune(all, limit: 100)
        async let submitted = nodes[1].submit([Submission([Self.task(number + 1, after: number)])])
        let (_, verdict) = try await (deleted, submitted[0])
        if case .unknownDependencies = verdict { refused += 1 }
        #expect(try await nodes[0].tasks([.stub(number), .stub(number + 1)]).count { $0 == nil } != 1)
        _ = try await nodes[0].steer([Steering(.cancel, task: .stub(number + 1), actor: "key-1")])
      }
      #expect(refused < Self.races, "the pruner was always first")
      try await expectSound(nodes[0])
    }
  }

  // MARK: Large graphs

  @Test func `thousands that wait for one are released in portions by all nodes, each once`() async throws {
    try await Nodes.run(2) { nodes in
      let count = PostgresStore.mostEdges * 2 + 100
      try await nodes[0].submitStub(.stub(1))
      let parent = try #require(try await nodes[0].claimStub(limit: 1).first)
      for start in stride(from: 2, to: count + 2, by: 1000) {
        let children = (start..<min(start + 1000, count + 2)).map { Self.task($0, after: 1) }
        _ = try await nodes[0].submit([Submission(children)])
      }
      #expect(try await nodes[0].finish([Self.finish(parent)]) == [.applied(.success)])
      let released = try await nodes[0].counts().first { $0.status == .ready }?.count
      #expect(released == PostgresStore.mostEdges)
      try await settleAll(nodes)
      #expect(try await nodes[0].counts().first { $0.status == .ready }?.count == count)
      try await expectSound(nodes[0])
    }
  }

  @Test func `a failure goes down a long chain and a wide tree, on all nodes at once`() async throws {
    try await Nodes.run(2) { nodes in
      _ = try await nodes[0].submit([
        Submission([.stub(1, retries: 0)] + (2...200).map { Self.task($0, after: $0 - 1, policy: .cancel) }),
        Submission(
          [.stub(1001, retries: 0)]
            + (1002...1999).map { Self.task($0, after: 1000 + ($0 - 1000) / 2, policy: .cancel) }),
      ])
      let claimed = try await nodes[0].claimStub()
      #expect(claimed.map(\.id) == [.stub(1), .stub(1001)])
      _ = try await nodes[0].finish(claimed.map { Self.finish($0, .failed) })
      try await settleAll(nodes)
      let counts = try await nodes[0].counts()
      #expect(counts.first { $0.status == .cancelled }?.count == 199 + 998)
      #expect(counts.first { $0.status == .dead }?.count == 2)
      try await expectSound(nodes[0])
    }
  }

  @Test func `random graphs, carried out by two nodes that cancel and retry as well, come to rest`() async throws {
    try await Nodes.run(2) { nodes in
      var random = SystemRandomNumberGenerator()
      var submitted = 0
      for batch in 0..<6 {
        let numbers = (batch * 50 + 1)...(batch * 50 + 50)
        // The later may come before the earlier: whoever locks rows does not follow the graph.
        let tasks = numbers.map { number -> AcceptedTask in
          var task = Self.task(Self.shuffled(number), policy: DependencyPolicy.allCases.randomElement(using: &random)!)
          let earlier = Set(
            (0..<Int.random(in: 0...4, using: &random)).map { _ in Int.random(in: 1...number, using: &random) })
          task.dependencies = earlier.subtracting([number]).map { .stub(Self.shuffled($0)) }
          return task
        }
        submitted += tasks.count
        _ = try await nodes[batch % 2].submit([Submission(tasks)])
      }
      let total = submitted
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<4 {
          group.addTask {
            let node = nodes[worker % 2]
            while try await nodes[0].unfinished() > 0 {
              let claimed = try await node.claimStub(limit: 7)
              _ = try await node.finish(
                claimed.map { Self.finish($0, Int.random(in: 0..<4) == 0 ? .failed : .success) }.shuffled())
              _ = try await node.settle(limit: 3)
              let some = (1...5).map { _ in TaskID.stub(Self.shuffled(Int.random(in: 1...total))) }
              for id in some where Int.random(in: 0..<4) == 0 {
                _ = try await node.steer([Steering(.cancel, task: id, actor: "key-1")])
              }
              // What is held is let go in the end.
              for id in some { _ = try await node.steer([Steering(.retry, task: id, actor: "key-1")]) }
              if claimed.isEmpty { _ = try await node.finishHeld(total) }
            }
          }
        }
        try await group.waitForAll()
      }
      try await settleAll(nodes)
      try await expectSound(nodes[0])
    }
  }

  /// Another order than that of the numbers, the same each time.
  private static func shuffled(_ number: Int) -> Int { number * 7919 % 10_007 + 1 }

  // MARK: Hints

  @Test func `the node that ends a task, and every other, hears where that made another READY`() async throws {
    try await Nodes.run(2) { nodes in
      let (own, others) = (Hints(), Hints())
      nodes[0].listen { own.hear($0) }
      nodes[1].listen { others.hear($0) }
      let lanes: Set = [Lane(queue: "default", type: "child")]
      var number = 0
      // A hint may be lost while the other is not listening yet; and a lane that it does not know is only hinted at.
      while !own.heard.contains(.work(lanes)) || !others.heard.contains(.workElsewhere(lanes)) {
        number += 2
        var child = AcceptedTask.stub(number + 1, type: "child")
        child.dependencies = [.stub(number)]
        _ = try await nodes[0].submit([Submission([.stub(number), child])])
        _ = try await nodes[1].claimStub(limit: 100, types: ["child"])
        let parents = try await nodes[0].claimStub()
        _ = try await nodes[0].finish(parents.map { Self.finish($0) })
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(!own.heard.contains(.work([Lane(queue: "default", type: "resize")])))
    }
  }

  // MARK: What must hold

  private func settleAll(_ nodes: [PostgresStore]) async throws {
    var isMore = true
    while isMore {
      async let first = nodes[0].settle(limit: 20)
      async let second = nodes[1].settle(limit: 20)
      let settled = try await (first, second)
      let left = try await nodes[0].number("SELECT count(*) FROM settlements")
      isMore = settled.0.isPartial || settled.1.isPartial || left > 0
    }
  }

  private func expectSound(_ node: PostgresStore) async throws {
    for (what, sql) in Self.impossible {
      #expect(try await node.number("SELECT count(*) FROM (\(sql)) f") == 0, "\(what)")
    }
  }

  /// Each is a query that must find nothing once all is settled.
  private static let impossible = [
    (
      "counts that are not those of the edges",
      """
      SELECT r.id FROM task_runs r LEFT JOIN dependencies d ON d.child = r.id AND NOT d.met GROUP BY r.id, r.unmet
      HAVING count(d.parent) <> r.unmet
      """
    ),
    ("a task that has begun although it waits", "SELECT id FROM task_runs WHERE unmet > 0 AND status NOT IN (1, 7)"),
    (
      "a task that waits for nothing",
      "SELECT id FROM task_runs WHERE status = 1 AND unmet = 0 AND due_at IS NULL"
    ),
    (
      "a parent that has ended and was not told of",
      """
      SELECT d.child FROM dependencies d JOIN task_runs p ON p.id = d.parent
      WHERE NOT d.met AND \(DependencyPolicy.effectSQL(policy: "d.policy", of: "p.status")) = 1
      """
    ),
    (
      "a parent that nobody knows to be one",
      "SELECT p.id FROM dependencies d JOIN task_runs p ON p.id = d.parent WHERE NOT p.has_children"
    ),
    (
      "an edge to nowhere",
      """
      SELECT d.child FROM dependencies d LEFT JOIN task_runs p ON p.id = d.parent LEFT JOIN task_runs c ON c.id = d.child
      WHERE p.id IS NULL OR c.id IS NULL
      """
    ),
    (
      "counted and not there, or there and not counted",
      """
      (SELECT l.queue, l.type, r.status, count(*) FROM task_runs r JOIN lanes l ON l.id = r.lane GROUP BY 1, 2, 3
        EXCEPT SELECT queue, type, status, count FROM task_counts)
      UNION ALL (SELECT queue, type, status, count FROM task_counts
        EXCEPT SELECT l.queue, l.type, r.status, count(*) FROM task_runs r JOIN lanes l ON l.id = r.lane GROUP BY 1, 2, 3)
      """
    ),
  ]
}

extension PostgresStore {
  fileprivate func unfinished() async throws -> Int {
    try await counts().filter { !$0.status.isFinal }.reduce(0) { $0 + $1.count }
  }

  /// Cancels what waits for one that has failed, so that there is an end.
  fileprivate func finishHeld(_ total: Int) async throws {
    var query = TaskQuery()
    query.statuses = [.pending]
    query.limit = 5
    for task in try await list(query).tasks {
      _ = try await steer([Steering(.cancel, task: task.id, actor: "key-1")])
    }
  }
}
