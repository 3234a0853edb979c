// How far one transaction takes the admission of tasks with keys, who is told of slots and room, and what of it outlives the
// process.

import GRDB
import MartletCore
import MartletSQLite
import MartletTestKit
import Testing

@Suite struct LimitTests {
  private static let lane = Lane(queue: "default", type: "resize")

  // MARK: Hints

  @Test func `who frees a slot tells where the next of the key is, before the call is answered`() async throws {
    try await onFile { bench, _ in
      let heard = listen(to: bench)
      try await bench.submit([.stub(1, key: "a"), .stub(2, key: "a", type: "other"), .stub(3, key: "b", type: "other")])
      #expect(heard.take().contains(.work([Self.lane, Lane(queue: "default", type: "other")])))
      let task = try await bench.claimOne()
      #expect(heard.take() == [])
      try await bench.finish(task.lease, .success)
      #expect(heard.take() == [.work([Lane(queue: "default", type: "other")])])
      try await bench.finish(try await bench.claim(types: ["other"])[0].lease, .success)
      #expect(heard.take() == [], "nobody waits for that key")
    }
  }

  @Test func `the duty is told once that somebody will have to give way, and comes back by itself`() async throws {
    try await onFile { bench, _ in
      let heard = listen(to: bench)
      try await bench.submit([.stub(1, key: "a"), .stub(2, key: "a", type: "other")])
      #expect(heard.take().contains(.unadmitted))
      #expect(try await bench.store.admit(limit: 10).nextIn == .seconds(1))
      bench.advance(.milliseconds(400))
      try await bench.submit([.stub(3, key: "b"), .stub(4, key: "b", type: "other")])
      #expect(!heard.take().contains(.unadmitted), "it comes before that")
      bench.advance(.milliseconds(600))
      let admission = try await bench.store.admit(limit: 10)
      #expect(
        admission
          == Admission(lanes: [Lane(queue: "default", type: "other")], isPartial: false, nextIn: .milliseconds(400)))
      #expect(heard.take() == [], "what it answers it does not tell besides")
    }
  }

  @Test func `an attempt's end in a full queue tells those lanes that were left waiting`() async throws {
    try await onFile { bench, _ in
      let other = Lane(queue: "default", type: "other")
      try await bench.set { $0.concurrency = .value(2) }
      try await bench.submit((1...4).map { .stub($0) } + [.stub(5, type: "other")])
      let heard = listen(to: bench)
      let running = try await bench.claim(limit: 9, types: ["resize", "other", "third"])
      #expect(running.count == 2)
      #expect(heard.take() == [])
      try await bench.finish(running[0].lease, .failed)
      #expect(heard.take() == [.work([Self.lane, other])])
      try await bench.finish(running[1].lease, .success)
      #expect(heard.take() == [], "told already")
      #expect(try await bench.claim(limit: 1, types: ["other"]).count == 1)
      let last = try await bench.claim(limit: 1, token: 8)
      #expect(try await bench.claim(types: ["other"], token: 9).isEmpty)
      #expect(heard.take() == [])
      try await bench.finish(last[0].lease, .success)
      #expect(heard.take() == [.work([Self.lane])], "nothing of the other type waits")
    }
  }

  // MARK: Bounds

  @Test func `a limit that is lifted lets those who wait in by bounded steps`() async throws {
    try await onFile { bench, statements in
      try await bench.submit((1...2500).map { .stub($0, key: "k\($0 % 2)") })
      _ = statements.take()
      try await bench.set { $0.concurrencyPerKey = .none }
      var rounds = 0
      while try await bench.store.admit(limit: 10).isPartial { rounds += 1 }
      #expect(rounds >= 2)
      #expect(statements.take().count < 2500 * 4 + 500)
      #expect(try await bench.claim(limit: 5000).count == 2500)
    }
  }

  @Test func `a call of admit looks at no more keys than it may`() async throws {
    try await onFile { bench, _ in
      try await bench.submit((1...40).map { .stub($0, key: "k\($0 % 20)") })
      #expect(try await bench.claim(limit: 100).count == 20)
      try await bench.set { $0.concurrencyPerKey = .value(2) }
      #expect(try await bench.store.admit(limit: 7).isPartial)
      #expect(try await bench.claim(limit: 100, token: 8).count == 7)
      #expect(try await bench.store.admit(limit: 0) == Admission(lanes: [], isPartial: true, nextIn: nil))
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 100, token: 9).count == 13)
    }
  }

  @Test func `a batch of a thousand keys is admitted as it is submitted`() async throws {
    try await onFile { bench, _ in
      try await bench.submit((1...1000).map { .stub($0, key: "k\($0)") })
      #expect(try await bench.claim(limit: 2000).count == 1000)
    }
  }

  @Test func `a batch of more keys than one transaction admits is left to the duty`() async throws {
    try await onFile { bench, _ in
      let heard = listen(to: bench)
      try await bench.submit((1...1500).map { .stub($0, key: "k\($0)") })
      #expect(heard.take().contains(.unadmitted))
      #expect(try await bench.claim(limit: 2000).count == 1000)
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 2000, token: 8).count == 500)
    }
  }

  // MARK: What is on disk

  @Test func `slots, settings and tokens are there after a restart`() async throws {
    try await onFile { bench, _ in
      try await bench.set {
        $0.ratePerSecond = .value(1)
        $0.burst = .value(3)
      }
      try await bench.set(type: "held") { $0.isPaused = true }
      try await bench.submit((1...4).map { .stub($0, key: "a") } + [.stub(5, type: "held"), .stub(6)])
      let types = ["resize", "held"]
      #expect(try await bench.claim(limit: 9, types: types).map(\.id) == [.stub(1), .stub(6)])
      await bench.store.close()
      let store = try await SQLiteStore.open(path: bench.directory + "/test.db", clock: bench.time.clock)
      let again = StoreBench(store: store, time: bench.time, directory: bench.directory)
      #expect(try await again.claim(limit: 9, types: types, token: 8).isEmpty)
      try await again.submit((11...20).map { .stub($0) })
      #expect(try await again.claim(limit: 9, types: types, token: 9).map(\.id) == [.stub(11)], "the third token")
      try await again.finish(LeaseID(task: .stub(1), attempt: 1, token: 7), .success)
      again.advance(.seconds(1))
      #expect(try await again.claim(limit: 9, types: types, token: 10).map(\.id) == [.stub(2)])
      await store.close()
    }
  }

  @Test func `what another process sets holds for the next claim and submission`() async throws {
    try await onFile { bench, _ in
      try await bench.submit(.stub(1))
      let path = bench.directory + "/test.db"
      let beside = StoreBench(
        store: try await SQLiteStore.open(path: path, role: .tool, clock: bench.time.clock), time: bench.time,
        directory: bench.directory)
      try await beside.set {
        $0.isPaused = true
        $0.maxDepth = .value(1)
      }
      #expect(try await bench.claim().isEmpty)
      #expect(try await bench.verdicts([Submission([.stub(2)])]) == [.queueFull("default")])
      try await beside.set { $0.isPaused = false }
      try await beside.set(type: "resize") { $0.isPaused = true }
      #expect(try await bench.claim().isEmpty)
      try await beside.set(type: "resize") { $0.isPaused = false }
      #expect(try await bench.claim().count == 1)
      await beside.store.close()
    }
  }

  @Test func `what could not be committed is not remembered`() async throws {
    try await onFile { bench, _ in
      try await bench.submit(.stub(1))
      let path = bench.directory + "/test.db"
      let queue = try DatabaseQueue(path: path)
      let refusal = "CREATE TRIGGER refusal BEFORE INSERT ON queues BEGIN SELECT raise(ABORT, 'no'); END"
      try await queue.write { try $0.execute(sql: refusal) }
      await #expect(throws: StoreError.self) { try await bench.set { $0.isPaused = true } }
      try await queue.write { try $0.execute(sql: "DROP TRIGGER refusal") }
      try queue.close()
      #expect(try await bench.claim().count == 1)
      #expect(try await bench.store.queueSettings() == [:])
    }
  }

  @Test func `plain tasks pay nothing for keys: the first task with one brings the triggers, once it is committed`()
    async throws
  {
    try await onFile { bench, _ in
      let queue = try DatabaseQueue(path: bench.directory + "/test.db")
      func triggers() async throws -> Int? {
        try await queue.read {
          try Int.fetchOne(
            $0, sql: "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'task_runs'")
        }
      }
      try await bench.submit(.stub(1))
      #expect(try await triggers() == 0)
      let refusal = "CREATE TRIGGER refusal BEFORE INSERT ON key_line BEGIN SELECT raise(ABORT, 'no'); END"
      try await queue.write { try $0.execute(sql: refusal) }
      await #expect(throws: StoreError.self) { try await bench.submit(.stub(2, key: "a")) }
      #expect(try await triggers() == 0)
      try await queue.write { try $0.execute(sql: "DROP TRIGGER refusal") }
      try await bench.submit([.stub(2, key: "a"), .stub(3, key: "a")])
      #expect(try await triggers() == 3)
      #expect(try await bench.claim(limit: 9).map(\.id) == [.stub(1), .stub(2)])
      try queue.close()
    }
  }
}
