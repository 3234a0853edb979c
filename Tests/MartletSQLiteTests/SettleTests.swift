// How far one transaction takes a cascade, and who is told what came of it.

import GRDB
import MartletCore
import MartletSQLite
import MartletTestKit
import Testing

@Suite struct SettleTests {
  @Test(arguments: [1, 7, 1000])
  func `a long cascade is worked off in bounded steps`(mostCascaded: Int) async throws {
    try await onFile(mostCascaded: mostCascaded) { bench, statements in
      let count = 200 + 2 * mostCascaded  // each step waits for the disk
      let tasks = (2...count).map { AcceptedTask.stub($0, after: [$0 - 1], policy: .cancel) }
      try await bench.submit([.stub(1)] + tasks)
      _ = statements.take()
      try await bench.steer(.cancel)
      var most = statements.take().count
      #expect(try await bench.countsByStatus()[.cancelled, default: 0] <= mostCascaded + 2)
      var cancelled = 0
      var isPartial = true
      while isPartial {
        let settlement = try await bench.store.settle(limit: 1000)
        most = max(most, statements.take().count)
        cancelled += settlement.cancelled
        isPartial = settlement.isPartial
      }
      #expect(try await bench.countsByStatus() == [.cancelled: count])
      #expect(cancelled >= count - mostCascaded - 2)
      #expect(most < 6 * mostCascaded + 30)
    }
  }

  @Test func `a call of settle looks at no more tasks that ended than it may`() async throws {
    try await onFile(mostCascaded: 1) { bench, _ in
      try await bench.submit([.stub(1)] + (2...9).map { AcceptedTask.stub($0, after: [$0 - 1], policy: .cancel) })
      try await bench.steer(.cancel)
      let none = try await bench.store.settle(limit: 0)
      #expect(none == Settlement(lanes: [], cancelled: 0, isPartial: true))
      let one = try await bench.store.settle(limit: 1)
      #expect(one.cancelled == 1 && one.isPartial)
    }
  }

  @Test func `who was retried before its cascade went on has nothing to tell`() async throws {
    try await onFile(mostCascaded: 1) { bench, _ in
      try await bench.submit([.stub(1)] + (2...6).map { AcceptedTask.stub($0, after: [$0 - 1], policy: .cancel) })
      try await bench.steer(.cancel)
      let last = try #require(
        try await bench.listAll(TaskQuery()).first { $0.status == .cancelled })  // its dependant is not told yet
      try await bench.steer(.retry, last.id)
      while try await bench.store.settle(limit: 10).isPartial {}
      #expect(try await bench.countsByStatus()[.cancelled] == Int(last.id.high >> 16) - 1)
    }
  }

  @Test func `what is left over of a cascade is there after a restart`() async throws {
    try await onFile(mostCascaded: 1) { bench, _ in
      try await bench.submit([.stub(1)] + (2...9).map { AcceptedTask.stub($0, after: [1], policy: .cancel) })
      try await bench.submit((10...17).map { AcceptedTask.stub($0, after: [$0 - 8], policy: .cancel) })
      try await bench.steer(.cancel)
      let before = try await bench.snapshot()
      await bench.store.close()
      let store = try await SQLiteStore.open(path: bench.directory + "/test.db", clock: bench.time.clock)
      let again = StoreBench(store: store, time: bench.time, directory: bench.directory)
      #expect(try await again.snapshot() == before)
      while try await store.settle(limit: 10).isPartial {}
      #expect(try await again.countsByStatus() == [.cancelled: 17])
      await store.close()
    }
  }

  @Test func `nothing of deleted tasks is left in any table`() async throws {
    try await onFile(mostCascaded: 2) { bench, _ in
      let key = IdempotencyKey("key", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0, 1, 2])
      try await bench.submit((21...24).map { .stub($0, key: "k") })
      let first = try await bench.claimOne()
      try await bench.finish(first.lease, .failed(.stub, .retry))
      for number in 21...24 { try await bench.steer(.cancel, .stub(number)) }
      var last = AcceptedTask.stub(7, after: [1, 2, 6])
      last.graph = .joinsFirstDependency(orElse: .stub(100))
      _ = try await bench.verdicts([
        Submission([.stub(1), .stub(2, after: [1]), .stub(3, after: [1, 2], policy: .run)], keys: [key]),
        Submission((4...6).map { .stub($0, after: [$0 - 1], policy: .cancel) } + [last]),
      ])
      try await bench.finish(try await bench.claimOne().lease, .success(result: [48]), logs: ["said"])
      for number in [3, 2, 7] { try await bench.steer(.cancel, .stub(number)) }
      while try await bench.store.settle(limit: 10).isPartial {}
      let all = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .zero)
      // One by one, in the order of their ids and so that parents go before their children.
      while try await bench.store.prune(all, limit: 1) > 0 {}
      let queue = try DatabaseQueue(path: bench.directory + "/test.db")
      let left = try await queue.read { database in
        let tables = try String.fetchAll(database, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'")
        return try tables.filter { try Row.fetchOne(database, sql: "SELECT 1 FROM \($0)") != nil }
      }
      #expect(
        Set(left) == [
          "grdb_migrations", "checks", "claims", "settings_version", "audit", "secrets", "sqlite_sequence",
          "stream_place",
        ])
      try queue.close()
    }
  }

  // MARK: Many ends at once

  /// So many tasks that each have ten others wait for them.
  private func submitParents(_ count: Int, _ bench: StoreBench, policy: DependencyPolicy, expiresAt: Timestamp? = nil)
    async throws
  {
    var parents = (1...count).map { AcceptedTask.stub($0, retries: 0) }
    for index in parents.indices { parents[index].expiresAt = expiresAt }
    try await bench.submit(parents)
    for parent in 1...count {
      try await bench.submit(
        (0..<10).map { AcceptedTask.stub(1000 + parent * 10 + $0, after: [parent], policy: policy) })
    }
  }

  private enum End: CaseIterable {
    case byHand, byTime
  }

  @Test(arguments: End.allCases)
  private func `those that wait for a page of ended tasks are told by bounded steps, together`(end: End) async throws {
    try await onFile(mostDependants: 20) { bench, statements in
      let expiresAt = end == .byTime ? bench.now + .seconds(1) : nil
      try await submitParents(50, bench, policy: .cancel, expiresAt: expiresAt)
      bench.advance(.seconds(1))
      _ = statements.take()
      switch end {
      case .byHand:
        let order = BulkOrder.stub(1, .cancel, limit: 50)
        _ = try await bench.store.begin(order, hold: .zero)
        _ = try await bench.store.carryOn(bulk: order.id, limit: 50, hold: .zero, keys: .zero)
      case .byTime: #expect(try await bench.store.promote(limit: 50).expired == 50)
      }
      let count = statements.take().count
      #expect(count < 430, "\(count)")
      #expect(try await bench.countsByStatus() == [.cancelled: 70, .pending: 480])
      while try await bench.store.settle(limit: 10).isPartial {}
      #expect(try await bench.countsByStatus() == [.cancelled: 550])
    }
  }

  @Test func `a page of a purge ends where more wait for its tasks than one transaction may tell`() async throws {
    try await onFile(mostDependants: 25) { bench, statements in
      try await submitParents(10, bench, policy: .hold)
      for task in try await bench.claim(limit: 10) {
        try await bench.finish(task.lease, .failed(.stub, .giveUp(.nonRetryable)))
      }
      let order = BulkOrder.stub(1, .purge)
      _ = try await bench.store.begin(order, hold: .zero)
      var changed: [Int] = []
      var isRunning = true
      while isRunning {
        _ = statements.take()
        let step = try #require(
          try await bench.store.carryOn(bulk: order.id, limit: 100, hold: .zero, keys: .zero))
        #expect(statements.take().count < 300)
        changed.append(step.job.changed)
        isRunning = step.job.status == .running
      }
      #expect(changed == [2, 5, 7, 10])
      #expect(try await bench.countsByStatus() == [.cancelled: 100])
    }
  }

  // MARK: Hints

  @Test func `it tells where tasks became READY because another ended, before the call is answered`() async throws {
    try await onFile { bench, _ in
      let heard = listen(to: bench)
      var child = AcceptedTask.stub(2, after: [1])
      child.queue = "other"
      try await bench.submit([.stub(1), child, .stub(3), .stub(4, after: [3], policy: .run)])
      try await bench.submit([.stub(5, after: [1], eligible: .after(.seconds(60)))])
      #expect(heard.take() == [])
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(
        heard.take() == [.work([Lane(queue: "other", type: "resize")]), .due(.seconds(60))])
      try await bench.steer(.cancel, .stub(3))
      #expect(heard.take() == [.work([Lane(queue: "default", type: "resize")])])
    }
  }

  @Test func `what settle answers it does not tell besides`() async throws {
    try await onFile(mostCascaded: 1) { bench, _ in
      let heard = listen(to: bench)
      try await bench.submit([
        .stub(1), .stub(2, after: [1], policy: .cancel), .stub(3, after: [2], policy: .hold),
        .stub(4, after: [2], policy: .run),
      ])
      try await bench.steer(.cancel)
      #expect(heard.take() == [.unsettled])
      var lanes: Set<Lane> = []
      var isPartial = true
      while isPartial {
        let settlement = try await bench.store.settle(limit: 1)
        lanes.formUnion(settlement.lanes)
        isPartial = settlement.isPartial
      }
      #expect(lanes == [Lane(queue: "default", type: "resize")])
      #expect(heard.take() == [])
      #expect(try await bench.record(.stub(4)).status == .ready)
    }
  }
}
