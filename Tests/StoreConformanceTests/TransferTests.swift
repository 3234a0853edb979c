// From the embedded store to PostgreSQL: whatever the history, the copy is the same to everybody who asks, and goes on as the
// original would have. Neither side may be served meanwhile, and half a copy never is.

import Foundation
import GRDB
import Martlet
import MartletCore
import MartletPostgres
import MartletSQLite
import MartletTestKit
import PostgresServer
import Testing

@Suite struct TransferTests {
  @Test func `a history goes on after a transfer as if there had been none`() async throws {
    var told: [String: Int] = [:]
    for seed in 1...UInt64(max(4, RandomHistoryTests.seeds / 4)) {
      try await Place.with { place in
        let model = StoreBench(store: MemoryStore(clock: place.time.clock), time: place.time, directory: "")
        var history = RandomHistory(seed: seed)
        let isTold = seed.isMultiple(of: 2)
        let file = StoreBench(store: try await place.file(), time: place.time, directory: "")
        if isTold { for bench in [file, model] { _ = try await bench.store.attend(to: ["kafka"]) } }
        try await history.play(40, on: file, and: model, "seed \(seed) before")
        if seed.isMultiple(of: 4) {
          // Settings, whatever the history has brought.
          for bench in [file, model] {
            try await bench.set("a") { $0.maxDepth = .value(10_000) }
          }
        }
        await file.store.close()

        let tables = try await place.transfer()
        for table in tables { told[table.name, default: 0] += table.rows }
        let copy = StoreBench(store: try await place.schema(), time: place.time, directory: "")
        try await expectEqual(copy, model, "seed \(seed)")
        if isTold { for bench in [copy, model] { _ = try await bench.store.attend(to: ["kafka"]) } }
        try await history.play(40, on: copy, and: model, "seed \(seed) after")
        try await expectEqual(copy, model, "seed \(seed) at the end")
        let notices = try await (copy.allNotices(), model.allNotices())
        #expect(notices.0 == notices.1, "seed \(seed)")
        await copy.store.close()
      }
    }
    // What was never there was not copied.
    for table in [
      "tasks", "members of graphs", "tasks of schedules", "attempts", "events", "dependencies",
      "idempotency keys", "lines for concurrency keys", "audit", "actions in bulk", "sinks", "outbox", "notices",
      "queues", "claims", "counts", "log lines of running attempts", "types",
    ] {
      #expect(told[table, default: 0] > 0, "\(table): nothing was copied")
    }
  }

  @Test func `every byte of payloads, results and texts comes over, U+0000 too`() async throws {
    try await Place.with { place in
      let file = StoreBench(store: try await place.file(), time: place.time, directory: "")
      var task = AcceptedTask.stub(1, payload: "{ \"a\" :\n1.50e1, \"é\": \"\\u0000\u{1F600}\"}")
      task.submittedBy = "key \0 \u{1A}"
      try await file.submit(task)
      let claimed = try await file.claimOne()
      try await file.renew(claimed.lease, progress: Progress(percent: 12.5, message: "half \0"), logs: ["x\0y"])
      try await file.finish(
        claimed.lease, .failed(TaskError(type: "T\0", message: "m\u{1A}0", stack: "s\0"), .giveUp(.nonRetryable)),
        logs: ["é \0 \u{1F600}"])
      try await file.submit(.stub(2))
      try await file.finish(try await file.claimOne().lease, .success(result: Array("[ 1,\t2 ]".utf8)))
      let before = try await file.snapshot()
      await file.store.close()
      _ = try await place.transfer()
      let copy = StoreBench(store: try await place.schema(), time: place.time, directory: "")
      let differences = try await copy.snapshot().differences(from: before)
      #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")
      await copy.store.close()
    }
  }

  @Test func `schedules, API keys, the secret of their hashes and shared settings are the same afterwards`()
    async throws
  {
    try await Place.with { place in
      let file = try await place.file()
      let secret = try await file.hashSecret()
      let installation = try await file.attend(to: [])
      let hash = try #require(APIKeyHash(bytes: (0..<32).map { UInt8($0 * 7) }))
      let key = StoredAPIKey(
        id: TaskID.stub(1).description, name: "key ✓", hash: hash, roles: ["viewer"], queues: ["mail*"], expiresAt: nil)
      let kept = try await file.add(key, actor: "cli")
      for number in 1...3 {
        _ = try await StoreBench(store: file, time: place.time, directory: "")
          .put(.stub("nightly-\(number)", every: Int64(number * 7)))
      }
      let schedules = try await file.schedules(after: nil, limit: 10)
      _ = try await file.write(NewSettingsRevision(["tasks.maxRetries": "5"], to: [:], of: 0, by: "key:a"))
      let settings = try await file.settingsRevisions(before: nil, limit: 10)
      let audit = try await file.audit(AuditQuery())
      await file.close()
      _ = try await place.transfer()
      let copy = try await place.schema()
      #expect(try await copy.hashSecret() == secret)
      #expect(try await copy.attend(to: []) == installation)
      #expect(try await copy.apiKeys() == [kept])
      #expect(try await copy.settingsRevisions(before: nil, limit: 10) == settings)
      #expect(settings.count == 1)
      #expect(try await copy.credential(forHash: hash)?.id == key.id)
      #expect(try await copy.schedules(after: nil, limit: 10) == schedules)
      #expect(try await copy.audit(AuditQuery()) == audit)
      await copy.close()
    }
  }

  @Test func `pages of long rows stay short, and nothing is lost between them`() async throws {
    try await Place.with { place in
      let file = StoreBench(store: try await place.file(), time: place.time, directory: "")
      let long = "\"" + String(repeating: "x", count: 200_000) + "\""
      try await file.submit((1...60).map { .stub($0, payload: long) })
      try await file.submit((100...2_500).map { .stub($0) })
      await file.store.close()
      let tables = try await place.transfer()
      #expect(tables.first { $0.name == "tasks" }?.rows == 2_461)
      #expect(tables.allSatisfy { $0.isEqual })
    }
  }

  // MARK: Refusals

  @Test func `a file that is served is not read`() async throws {
    try await Place.with { place in
      let served = try await place.file()
      await place.refused("is already served by another martlet")
      await served.close()
      _ = try await place.transfer()
    }
  }

  @Test func `a schema that is served is not filled, and one that is being filled is not served`() async throws {
    try await Place.with { place in
      await (try await place.file()).close()
      let node = try await place.schema()
      await place.refused("is being served")
      await node.close()
      let target = try await PostgresTransferTarget.open(place.options)
      let refusal = await #expect(throws: StoreError.self) { try await place.schema() }
      #expect(refusal?.message.contains("a transfer into the schema") == true, "\(String(describing: refusal))")
      await target.close()
      _ = try await place.transfer()
      await (try await place.schema()).close()
    }
  }

  @Test func `a schema that is not empty is not filled, and what stands in it stays`() async throws {
    try await Place.with { place in
      await (try await place.file()).close()
      let node = StoreBench(store: try await place.schema(), time: place.time, directory: "")
      try await node.submit(.stub(1))
      await node.store.close()
      await place.refused("is not empty (")
      await place.refused("is not empty (", restarts: true)
      let again = try await place.schema()
      #expect(try await again.tasks([.stub(1)]).compactMap(\.self).count == 1)
      await again.close()
    }
  }

  @Test(arguments: [1, 2, 5, 8, 20])
  func `a transfer that was cut short is not served, and is begun anew only if that is said`(
    writes: Int
  ) async throws {
    try await Place.with { place in
      let file = StoreBench(store: try await place.file(), time: place.time, directory: "")
      var history = RandomHistory(seed: 8)
      let model = StoreBench(store: MemoryStore(clock: place.time.clock), time: place.time, directory: "")
      try await history.play(60, on: file, and: model, "before")
      await file.store.close()

      let source = try await SQLiteTransferSource.open(path: place.path)
      let target = try await PostgresTransferTarget.open(place.options)
      let failing = FailingTarget(target, after: writes)
      await #expect(throws: StoreError.self) {
        _ = try await Transfer(source, to: failing, origin: "a file").run()
      }
      await source.close()
      await target.close()

      let refusal = await #expect(throws: StoreError.self) { try await place.schema() }
      #expect(refusal?.message.contains("incomplete transfer from a file") == true, "\(String(describing: refusal))")
      await place.refused("--restart removes it and begins anew")
      _ = try await place.transfer(restarts: true)
      let copy = StoreBench(store: try await place.schema(), time: place.time, directory: "")
      try await expectEqual(copy, model, "begun anew")
      await copy.store.close()
    }
  }

  @Test func `a copy that is not equal is not served`() async throws {
    try await Place.with { place in
      let file = StoreBench(store: try await place.file(), time: place.time, directory: "")
      try await file.submit(.stub(1), .stub(2))
      await file.store.close()
      let source = try await SQLiteTransferSource.open(path: place.path)
      let target = try await PostgresTransferTarget.open(place.options)
      let error = await #expect(throws: StoreError.self) {
        _ = try await Transfer(source, to: ForgetfulTarget(target), origin: "a file").run()
      }
      #expect(error?.message.contains("the copy is not equal") == true, "\(String(describing: error))")
      await source.close()
      await target.close()
      await #expect(throws: StoreError.self) { try await place.schema() }
    }
  }

  @Test func `a table or a column that the transfer does not know is refused on either side`() async throws {
    try await Place.with { place in
      await (try await place.file()).close()
      _ = try await place.transfer()
    }
    for sql in ["CREATE TABLE novelties (id INTEGER PRIMARY KEY)", "ALTER TABLE queues ADD COLUMN novelty TEXT"] {
      try await Place.with { place in
        await (try await place.file()).close()
        try await DatabaseQueue(path: place.path).write { try $0.execute(sql: sql) }
        await place.refused("the transfer does not know")
      }
    }
    for sql in ["CREATE TABLE novelties (id integer)", "ALTER TABLE queue_settings ADD COLUMN novelty text"] {
      try await Place.with { place in
        await (try await place.file()).close()
        await (try await place.schema()).close()
        let server = try await PostgresServer.shared
        _ = try await server.query("SET search_path = \(place.options.schema); \(sql)")
        await place.refused("the transfer does not know")
      }
    }
  }

  @Test func `the file is not changed`() async throws {
    try await Place.with { place in
      let file = StoreBench(store: try await place.file(), time: place.time, directory: "")
      try await file.submit((1...100).map { .stub($0) })
      await file.store.close()
      let before = FileManager.default.contents(atPath: place.path)
      _ = try await place.transfer()
      #expect(FileManager.default.contents(atPath: place.path) == before)
    }
  }
}

// MARK: -

/// A file, and an empty schema to fill from it.
private struct Place {
  let time = ManualTime()
  let path: String
  let options: PostgresStore.Options

  static func with(_ body: (Place) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let place = try await Place(directory)
    try await body(place)
    try await PostgresStore.drop(place.options)
  }

  private init(_ directory: URL) async throws {
    path = directory.path + "/test.db"
    var options = PostgresStore.Options(url: try await PostgresServer.shared.url())
    options.schema = "m" + directory.lastPathComponent.lowercased().filter { $0.isHexDigit }.suffix(32)
    options.durability = .relaxed
    options.connections = 2
    options.answerWithin = .seconds(120)  // a machine under load is no failure of the store
    options.clock = time.clock
    self.options = options
  }

  func file() async throws -> SQLiteStore { try await SQLiteStore.open(path: path, clock: time.clock) }

  func schema() async throws -> PostgresStore { try await PostgresStore.open(options) }

  func transfer(restarts: Bool = false) async throws -> [Transfer.Table] {
    let database = Settings.Database(
      url: options.url, connections: 1, schema: options.schema, durability: .relaxed)
    var file = database
    file.url = "sqlite:\(path)"
    return try await Transfer.run(from: file, to: database, restarts: restarts) { _ in }
  }

  func refused(_ message: String, restarts: Bool = false) async {
    let error = await #expect(throws: StoreError.self) { try await transfer(restarts: restarts) }
    #expect(error?.message.contains(message) == true, "\(String(describing: error))")
  }
}

private func expectEqual(_ bench: StoreBench, _ model: StoreBench, _ what: String) async throws {
  var (snapshot, expected) = try await (bench.snapshot(), model.snapshot())
  // Who is alive has to say so anew.
  (snapshot.workers, expected.workers) = ([], [])
  let differences = snapshot.differences(from: expected)
  #expect(differences.isEmpty, "\(what)\n\(differences.joined(separator: "\n"))")
}

extension RandomHistory {
  /// Random commands on both, with the same answers.
  fileprivate mutating func play(
    _ steps: Int, on bench: StoreBench, and model: StoreBench, _ what: String
  ) async throws {
    for step in 1...steps {
      let command = next(now: bench.now)
      if case .claim = command, bench.store is PostgresStore {
        // A node that has just come looks everywhere once a second, or when settings have changed; of what it meets there that has
        // expired it would give out nothing instead.
        _ = try await bench.store.change(queue: "another", QueuePatch(), actor: "key-1")
        for bench in [bench, model] {
          try await bench.promote()
          try await bench.settleAll()
          try await bench.admitAll()
        }
      }
      let verdict = try await carryOut(command, on: bench, isModel: false)
      let expected = try await carryOut(command, on: model, isModel: true)
      #expect(verdict == expected, "\(what), step \(step): \(command)")
      try await bench.admitAll()
      try await model.admitAll()
      if verdict != expected { return }
    }
  }
}

/// Fails in the middle.
private final class FailingTarget: TransferTarget {
  private let inner: PostgresTransferTarget
  private let left: Counter

  private actor Counter {
    private var left: Int
    init(_ left: Int) { self.left = left }
    func isOver() -> Bool {
      left -= 1
      return left < 0
    }
  }

  init(_ inner: PostgresTransferTarget, after writes: Int) {
    self.inner = inner
    left = Counter(writes)
  }

  func begin(from origin: String, restarts: Bool) async throws(StoreError) {
    try await inner.begin(from: origin, restarts: restarts)
  }
  func write(_ rows: [TransferRow], to table: TransferTable) async throws(StoreError) {
    if await left.isOver() { throw .unavailable("cut short on purpose") }
    try await inner.write(rows, to: table)
  }
  func complete() async throws(StoreError) { try await inner.complete() }
  func finish() async throws(StoreError) { try await inner.finish() }
  func close() async { await inner.close() }
  func page(
    of table: TransferTable, after key: [TransferValue]?, limit: Int
  ) async throws(StoreError) -> TransferPage {
    try await inner.page(of: table, after: key, limit: limit)
  }
}

/// Writes all but the last task of each page.
private final class ForgetfulTarget: TransferTarget {
  private let inner: PostgresTransferTarget

  init(_ inner: PostgresTransferTarget) {
    self.inner = inner
  }

  func begin(from origin: String, restarts: Bool) async throws(StoreError) {
    try await inner.begin(from: origin, restarts: restarts)
  }
  func write(_ rows: [TransferRow], to table: TransferTable) async throws(StoreError) {
    try await inner.write(table == .tasks ? rows.dropLast() : rows, to: table)
  }
  func complete() async throws(StoreError) { try await inner.complete() }
  func finish() async throws(StoreError) { try await inner.finish() }
  func close() async { await inner.close() }
  func page(
    of table: TransferTable, after key: [TransferValue]?, limit: Int
  ) async throws(StoreError) -> TransferPage {
    try await inner.page(of: table, after: key, limit: limit)
  }
}
