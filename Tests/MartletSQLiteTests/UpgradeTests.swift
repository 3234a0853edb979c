// A file of an earlier martlet, opened by this one: all that was in it is as it was, and goes on.

import Foundation
import GRDB
import MartletCore
import MartletSQLite
import MartletTestKit
import Testing

@Suite struct UpgradeTests {
  @Test func `tasks in every state of a V0001 file are as they were, and go on as new ones do`() async throws {
    try await onOldFile { old, model in
      try await bringToEachState(model)
      #expect(try await old.snapshot().differences(from: model.snapshot()) == [])
      for bench in [old, model] { try await goOn(bench) }
      #expect(try await old.snapshot().differences(from: model.snapshot()) == [])
      for bench in [old, model] {
        bench.time.set(ManualTime.start + .seconds(100_000))
        let all = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .zero)
        #expect(try await bench.store.prune(all, limit: 100) == 16)
      }
      #expect(try await old.snapshot().differences(from: model.snapshot()) == [])
    }
  }

  @Test func `an upgrade writes nothing anew that is large`() async throws {
    let many = """
      WITH RECURSIVE numbers (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM numbers WHERE n < 21000)
      INSERT INTO task_bodies SELECT CAST(format('%016d', n) AS BLOB), created_at, zeroblob(500), retries, timeout_ms, lease_ms,
        backoff, delay_ms, run_at, tags, metadata, traceparent, replay_of
      FROM numbers CROSS JOIN (SELECT * FROM task_bodies LIMIT 1);
      INSERT INTO task_runs (id, queue, type, status, urgency, available_at, max_attempts, sequence, updated_at)
      SELECT id, 'default', 'resize', 2, 5, created_at, 1, 2, created_at FROM task_bodies WHERE length(payload) = 500;
      """
    try await onOldFile(and: many) { old, _ in
      let path = old.directory + "/old.db"
      let database = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
      let written = try #require(try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int)
      #expect(database > 10_000_000)
      #expect(written > 0 && written < 500_000)
    }
  }

  /// Opens the old file, and beside it a reference model with the same clock.
  private func onOldFile(
    and more: String = "", _ body: (_ old: StoreBench, _ model: StoreBench) async throws -> Void
  ) async throws {
    let kind = StoreUnderTest(name: "sqlite", isPersistent: true) { time, directory in
      let path = directory + "/old.db"
      let queue = try DatabaseQueue(path: path)
      try await queue.write { database in
        try database.execute(sql: String(decoding: PackageResources.V0001_sql, as: UTF8.self))
        try database.execute(sql: more)
      }
      try queue.close()
      return try await SQLiteStore.open(path: path, clock: time.clock)
    }
    try await kind.onBench { old in
      let model = StoreBench(store: MemoryStore(clock: old.time.clock), time: old.time, directory: "")
      try await body(old, model)
    }
  }

  /// How the file was made.
  private func bringToEachState(_ bench: StoreBench) async throws {
    func submit(_ number: Int, for status: TaskStatus, eligible: When = .now) async throws {
      try await bench.submit(
        .stub(
          number, payload: "{\"for\":\"\(status.rawValue)\"}", eligible: eligible,
          backoff: RetryPolicy(strategy: .fixed, baseSeconds: 60, jitter: 0), tags: ["old"], metadata: ["k": "v"]))
    }
    try await submit(1, for: .pending, eligible: .after(.seconds(3600)))
    try await submit(3, for: .running)
    _ = try await bench.claimOne()
    try await submit(4, for: .retry)
    try await bench.finish(try await bench.claimOne().lease, .failed)
    try await submit(5, for: .success)
    try await bench.finish(try await bench.claimOne().lease, .success(result: Array("[1]".utf8)), logs: ["said"])
    try await submit(6, for: .dead)
    try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
    try await submit(7, for: .cancelled)
    try await bench.steer(.cancel, .stub(7))
    try await submit(2, for: .ready)
  }

  /// Each of the old tasks takes a step, with new ones that wait for it.
  private func goOn(_ bench: StoreBench) async throws {
    bench.time.set(ManualTime.start)
    for parent in 1...7 { try await bench.submit(.stub(10 + parent, after: [parent], policy: .run)) }
    try await bench.submit(.stub(20, after: 1...7), .stub(21, after: [6], policy: .cancel))
    try await bench.finish(LeaseID(task: .stub(3), attempt: 1, token: 7), .success)
    try await bench.steer(.retry, .stub(6))
    try await bench.steer(.patch(TaskPatch(available: .now)), .stub(4))
    try await bench.steer(.cancel, .stub(2))
    bench.advance(.seconds(3600))
    try await bench.promote()
    while let task = try await bench.claim().first { try await bench.finish(task.lease, .success) }
    try await bench.steer(.cancel, .stub(20))  // 2 and 7 were cancelled: it would wait for ever
  }
}
