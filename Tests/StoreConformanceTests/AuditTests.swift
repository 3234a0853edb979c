// The audit: what writes an entry, what does not, and how the entries are found again and forgotten.

import MartletCore
import MartletTestKit
import Testing

@Suite struct AuditTests {
  @Test(arguments: stores)
  func `each command that changes something is written down with who gave it and to what`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1), .stub(2)])
      let running = try await bench.claimOne()
      #expect(running.id == .stub(1))
      bench.advance(.seconds(1))
      try await bench.steer(.cancel, .stub(1), actor: "key:a")
      bench.advance(.seconds(1))
      try await bench.steer(.patch(TaskPatch(priority: 9, tags: ["t"])), .stub(2), actor: "key:b")
      try await bench.steer(.cancel, .stub(2), actor: "key:c")
      try await bench.steer(.retry, .stub(2), actor: "token:d")
      let entries = try await bench.audit()
      #expect(
        entries.map { "\($0.action.rawValue) \($0.target) by \($0.actor)" } == [
          "task.retry \(TaskID.stub(2)) by token:d", "task.cancel \(TaskID.stub(2)) by key:c",
          "task.patch \(TaskID.stub(2)) by key:b", "task.cancel \(TaskID.stub(1)) by key:a",
        ])
      #expect(entries.map(\.detail) == [nil, nil, #"{"fields":["priority","tags"]}"#, nil])
      #expect(entries.map(\.at) == [2, 2, 2, 1].map { start + .seconds($0) })
      #expect(entries.map(\.sequence) == entries.map(\.sequence).sorted(by: >))
    }
  }

  @Test(arguments: stores)
  func `a command that changes nothing is not written down`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1), .stub(2)])
      try await bench.steer(.retry, .stub(1))
      try await bench.steer(.patch(TaskPatch()), .stub(1))
      try await bench.steer(.cancel, .stub(9))
      #expect(try await bench.audit() == [])
      try await bench.steer(.cancel, .stub(1))
      try await bench.steer(.cancel, .stub(1))
      _ = try await bench.claimOne()
      try await bench.steer(.cancel, .stub(2))
      try await bench.steer(.cancel, .stub(2))
      #expect(try await bench.audit().map(\.target) == [2, 1].map { TaskID.stub($0).description })
    }
  }

  @Test(arguments: stores)
  func `the note of a submission is written once if its tasks are, however often the submission is repeated`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let note = AuditNote(.replayTask, of: "old", by: "api", detail: #"{"newTask":"x"}"#)
      var linked = AcceptedTask.stub(2)
      linked.concurrencyKey = "k"
      let second = AuditNote(.replayTask, of: "linked", by: "api")
      var orphan = AcceptedTask.stub(4)
      orphan.dependencies = [.stub(99)]
      let refused = Submission([orphan], note: AuditNote(.replayTask, of: "refused", by: "api"))
      let submissions = [
        Submission([.stub(1)], note: note), Submission([linked], note: second), Submission([.stub(3)]), refused,
      ]
      for _ in 1...3 { _ = try await bench.verdicts(submissions) }
      #expect(Set(try await bench.audit().map(\.target)) == ["old", "linked"])
      #expect(try await bench.audit().count == 2)
      let entry = try await bench.audit { $0.target = "old" }.first
      #expect(entry?.action == .replayTask && entry?.detail == #"{"newTask":"x"}"# && entry?.at == start)
    }
  }

  @Test(arguments: stores)
  func `pages hold every entry once, newest first, also where many have the same time`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...30).map { .stub($0) })
      for number in 1...30 {
        if number % 10 == 0 { bench.advance(.seconds(1)) }
        try await bench.steer(.cancel, .stub(number))
      }
      let all = (1...30).reversed().map { TaskID.stub($0).description }
      for limit in [1, 7, 30, 31, 1000] {
        #expect(try await bench.audit { $0.limit = limit }.map(\.target) == all)
      }
    }
  }

  @Test(arguments: stores)
  func `filters find the entries that match all of them`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...6).map { .stub($0) })
      for number in 1...6 {
        try await bench.steer(.cancel, .stub(number), actor: number % 2 == 0 ? "even" : "odd")
        try await bench.steer(.retry, .stub(number), actor: "odd")
        bench.advance(.seconds(1))
      }
      let model = try await bench.audit()
      #expect(model.count == 12)
      var queries: [AuditQuery] = []
      for actor in [nil, "even", "odd", "nobody"] {
        for action in [nil, AuditAction.cancelTask, .patchTask] {
          for target in [nil, TaskID.stub(2).description] {
            for (from, to) in [(nil, nil), (2, nil), (nil, 3), (1, 4)] as [(Int?, Int?)] {
              var query = AuditQuery()
              (query.actor, query.action, query.target) = (actor, action, target)
              query.createdAfter = from.map { start + .seconds($0) }
              query.createdBefore = to.map { start + .seconds($0) }
              query.limit = 3
              queries.append(query)
            }
          }
        }
      }
      for query in queries {
        #expect(try await bench.audit { $0 = query } == model.filter(query.matches), "\(query)")
      }
    }
  }

  @Test(arguments: stores)
  func `old entries are forgotten, the oldest first and no more than asked`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...4).map { .stub($0) })
      for number in 1...4 {
        try await bench.steer(.cancel, .stub(number))
        bench.advance(.seconds(10))
      }
      #expect(try await bench.store.pruneAudit(olderThan: .seconds(41), limit: 10) == 0)
      #expect(try await bench.store.pruneAudit(olderThan: .seconds(30), limit: 1) == 1)
      #expect(try await bench.audit().map(\.target) == [4, 3, 2].map { TaskID.stub($0).description })
      #expect(try await bench.store.pruneAudit(olderThan: .seconds(20), limit: 10) == 2)
      #expect(try await bench.store.pruneAudit(olderThan: .seconds(0), limit: 10) == 1)
      #expect(try await bench.audit() == [])
      // Numbers are not given out twice.
      try await bench.steer(.retry, .stub(1))
      #expect(try await bench.audit().map(\.action) == [.retryTask])
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `the audit is still there after the store was closed and opened`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1)])
      try await bench.steer(.cancel)
      let before = try await bench.audit()
      await bench.store.close()
      let again = StoreBench(
        store: try await store.make(bench.time, bench.directory), time: bench.time, directory: bench.directory)
      #expect(before.count == 1)
      #expect(try await again.audit() == before)
      await again.store.close()
    }
  }
}

extension StoreBench {
  /// Every entry, page by page.
  func audit(_ configure: (inout AuditQuery) -> Void = { _ in }) async throws -> [AuditEntry] {
    var query = AuditQuery()
    configure(&query)
    var entries: [AuditEntry] = []
    while true {
      let page = try await store.audit(query)
      guard page.entries.count <= query.limit else { throw BenchError.pageTooLong }
      entries += page.entries
      guard let next = page.next else { return entries }
      if let after = query.after, next >= after { throw BenchError.cursorStandsStill }
      query.after = next
    }
  }
}
