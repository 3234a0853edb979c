// What a key makes of a repeated request.

import MartletCore
import MartletTestKit
import Testing

@Suite struct IdempotencyTests {
  private static let request = [UInt8](repeating: 1, count: 32)
  private static let another = [UInt8](repeating: 2, count: 32)

  private static func keyed(_ number: Int, _ key: String, _ fingerprint: [UInt8] = request) -> Submission {
    var task = AcceptedTask.stub(number)
    task.idempotencyKey = key
    return Submission([task], keys: [IdempotencyKey(key, fingerprint: fingerprint, tasks: [0])])
  }

  @Test(arguments: stores)
  func `the first request of a key writes its task, which says the key`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let verdicts = try await bench.verdicts([Self.keyed(1, "order-42")])
      #expect(verdicts == [.accepted(at: start)])
      #expect(try await bench.record().idempotencyKey == "order-42")
    }
  }

  @Test(arguments: stores)
  func `the same request again is answered with the earlier task, and writes nothing`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "order-42")])
      bench.advance(.seconds(5))
      #expect(
        try await bench.verdicts([Self.keyed(2, "order-42")])
          == [.replayed(at: start + .seconds(5), earlier: [0: .stub(1)])])
      #expect(try await bench.store.tasks([.stub(2)]) == [nil])
      #expect(try await bench.countsByStatus() == [.ready: 1])
    }
  }

  @Test(arguments: stores)
  func `another request with a known key is refused, and writes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "order-42")])
      #expect(
        try await bench.verdicts([Self.keyed(2, "order-42", Self.another)]) == [.keyReused("order-42")])
      #expect(try await bench.countsByStatus() == [.ready: 1])
    }
  }

  @Test(arguments: stores)
  func `a repeated call is no repeated request`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "order-42")])
      bench.advance(.seconds(5))
      #expect(try await bench.verdicts([Self.keyed(1, "order-42")]) == [.accepted(at: start)])
    }
  }

  @Test(arguments: stores)
  func `keys are told apart byte by byte`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let keys = ["a", "A", "a ", "a%", "a_", "~", String(repeating: "k", count: 255)]
      let submissions = keys.enumerated().map { Self.keyed($0.offset + 1, $0.element) }
      let verdicts = try await bench.verdicts(submissions)
      #expect(verdicts == keys.map { _ in .accepted(at: start) })
    }
  }

  @Test(arguments: stores)
  func `in one call each submission is judged by itself, the first of a key first`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "old")])
      let verdicts = try await bench.verdicts([
        Self.keyed(2, "new"), Self.keyed(3, "old"), Self.keyed(4, "new"), Self.keyed(5, "old", Self.another),
        Submission([.stub(6)]), Self.keyed(7, "new", Self.another),
      ])
      #expect(
        verdicts == [
          .accepted(at: start), .replayed(at: start, earlier: [0: .stub(1)]),
          .replayed(at: start, earlier: [0: .stub(2)]), .keyReused("old"), .accepted(at: start), .keyReused("new"),
        ])
      #expect(try await bench.countsByStatus() == [.ready: 3])
    }
  }

  @Test(arguments: stores)
  func `tasks of a batch have keys of their own, and those that are known are not written`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "one")])
      let batch = Submission(
        [.stub(2), .stub(3), .stub(4)],
        keys: [
          IdempotencyKey("one", fingerprint: Self.request, tasks: [1]),
          IdempotencyKey("two", fingerprint: Self.request, tasks: [2]),
        ])
      #expect(try await bench.verdicts([batch]) == [.replayed(at: start, earlier: [1: .stub(1)])])
      #expect(try await bench.store.tasks([.stub(2), .stub(3), .stub(4)]).map { $0 == nil } == [false, true, false])
      #expect(
        try await bench.verdicts([Self.keyed(5, "two")]) == [.replayed(at: start, earlier: [0: .stub(4)])])
    }
  }

  @Test(arguments: stores)
  func `a batch with one reused key writes nothing, and takes none of its new keys`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "one")])
      let batch = Submission(
        [.stub(2), .stub(3)],
        keys: [
          IdempotencyKey("fresh", fingerprint: Self.request, tasks: [0]),
          IdempotencyKey("one", fingerprint: Self.another, tasks: [1]),
        ])
      #expect(try await bench.verdicts([batch]) == [.keyReused("one")])
      #expect(try await bench.countsByStatus() == [.ready: 1])
      #expect(try await bench.verdicts([Self.keyed(4, "fresh", Self.another)]) == [.accepted(at: start)])
    }
  }

  @Test(arguments: stores)
  func `a key of a whole batch stands for all of its tasks`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      func batch(_ first: Int) -> Submission {
        Submission(
          [.stub(first), .stub(first + 1)],
          keys: [IdempotencyKey("batch", fingerprint: Self.request, tasks: [0, 1])])
      }
      _ = try await bench.verdicts([batch(1)])
      #expect(
        try await bench.verdicts([batch(3)])
          == [.replayed(at: start, earlier: [0: .stub(1), 1: .stub(2)])])
      #expect(try await bench.countsByStatus() == [.ready: 2])
    }
  }

  @Test(arguments: stores)
  func `a task that names a replayed one of its batch waits for the earlier one`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "parent")])
      var child = AcceptedTask.stub(3)
      child.dependencies = [.stub(2)]
      let batch = Submission(
        [.stub(2), child], keys: [IdempotencyKey("parent", fingerprint: Self.request, tasks: [0])])
      #expect(try await bench.verdicts([batch]) == [.replayed(at: start, earlier: [0: .stub(1)])])
      #expect(try await bench.record(.stub(3)).dependencies == [.stub(1)])
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(3)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `of many equal requests at once one writes`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let verdicts = try await withThrowingTaskGroup(of: [SubmissionVerdict].self) { group in
        for number in 1...50 {
          group.addTask { try await bench.verdicts([Self.keyed(number, "order-42")]) }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(verdicts.count { $0 == .accepted(at: start) } == 1)
      #expect(try await bench.countsByStatus() == [.ready: 1])
      let winner = try #require(try await bench.listAll(TaskQuery()).first).id
      #expect(verdicts.count { $0 == .replayed(at: start, earlier: [0: winner]) } == 49)
    }
  }

  @Test(arguments: stores)
  func `a task is kept as long as its key has to live, and the key goes with it`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.verdicts([Self.keyed(1, "order-42")])
      try await bench.finish(try await bench.claimOne().lease, .success)
      let policy = RetentionPolicy(success: .seconds(60), dead: nil, cancelled: nil, keys: .seconds(600))
      bench.advance(.seconds(599))
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      bench.advance(.seconds(1))
      #expect(try await bench.store.prune(policy, limit: 10) == 1)
      #expect(
        try await bench.verdicts([Self.keyed(2, "order-42", Self.another)]) == [.accepted(at: bench.now)])
    }
  }
}
