// The embedded store: one file, one writer, WAL with fsync at every commit. Opened by the composition root and by commands;
// each operation stands with its SQL in a file of its own (`SQLiteStore+Claim.swift`).

internal import Foundation
internal import GRDB
package import MartletCore
internal import Synchronization

package final class SQLiteStore: TaskStore {
  let writer: GroupWriter
  let clock: @Sendable () -> Timestamp
  let pruneCursor = Mutex<TaskID?>(nil)
  private let database: any DatabaseWriter
  private let lock: ServerLock?
  private let isClosed = Mutex(false)

  /// What the opener means to do.
  package enum Role: Sendable {
    /// Serve it: alone, for one process.
    case server
    /// Read or write beside a server.
    case tool
  }

  /// How commits reach the disk.
  package enum Durability: Sendable {
    /// fsync at every commit.
    case strict
    /// The operating system writes when it likes: a crash of the process loses nothing, a power cut the last moments.
    case relaxed
  }

  /// Opens, and if need be creates and migrates, a database.
  /// - Parameters:
  ///   - path: a file, or `:memory:`.
  ///   - bounds: how many tasks a transaction tells that what they wait for has ended; the rest is left to `settle`.
  ///   - trace: told each statement as it is run; for tests, which look at the plans.
  /// - Throws: `.unusable` with one line for people: served by another process, newer schema, read-only, no database, damaged.
  package static func open(
    path: String, role: Role = .server, durability: Durability = .strict, bounds: CascadeBounds = CascadeBounds(),
    trace: (@Sendable (String) -> Void)? = nil, clock: @escaping @Sendable () -> Timestamp
  ) async throws(StoreError) -> SQLiteStore {
    do {
      try DatabaseFile.checkFolder(of: path)
      // Before the file is looked at: to close it takes from the process all its locks on it (fcntl(2)), and so from a server in it.
      let lock = role == .server && path != ":memory:" ? try ServerLock(databasePath: canonical(path)) : nil
      try DatabaseFile.prepare(path)
      let database = try connect(path: path, durability: durability, trace: trace)
      let store = SQLiteStore(database: database, lock: lock, bounds: bounds, clock: clock)
      try await store.prepare(role: role)
      return store
    } catch let error as StoreError {
      throw error.naming(path)
    } catch {
      throw StoreError(error).naming(path)
    }
  }

  /// The names of all migrations, and of those that a database has.
  package static func migrationStatus(path: String) async throws(StoreError) -> (known: [String], applied: [String]) {
    guard path == ":memory:" || FileManager.default.fileExists(atPath: path) else { return (Migrations.names, []) }
    do {
      var configuration = GRDB.Configuration()
      configuration.readonly = true
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      let applied = try await queue.read { try Migrations.applied(in: $0) }
      return (Migrations.names, applied)
    } catch {
      throw StoreError(error).naming(path)
    }
  }

  private init(
    database: any DatabaseWriter, lock: ServerLock?, bounds: CascadeBounds, clock: @escaping @Sendable () -> Timestamp
  ) {
    self.database = database
    self.lock = lock
    self.clock = clock
    writer = GroupWriter(database: database, bounds: bounds, clock: clock)
  }

  private static func connect(
    path: String, durability: Durability, trace: (@Sendable (String) -> Void)?
  ) throws -> any DatabaseWriter {
    var configuration = GRDB.Configuration()
    configuration.busyMode = .timeout(5)
    configuration.maximumReaderCount = 2
    configuration.label = "martlet"
    // Queues of a server: nothing here may wait behind what the system holds for less urgent.
    configuration.qos = .userInitiated
    configuration.prepareDatabase { database in
      try database.execute(sql: "PRAGMA cache_size = -16384")
      try database.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
      guard let trace else { return }
      database.trace { event in
        if case .statement(let statement) = event { trace(statement.sql) }
      }
    }
    let database: any DatabaseWriter =
      path == ":memory:"
      ? try DatabaseQueue(configuration: configuration) : try DatabasePool(path: path, configuration: configuration)
    try database.writeWithoutTransaction { try setDurability(durability, of: $0) }
    return database
  }

  /// Must come last: a pool sets NORMAL on its writer when it turns on the WAL, after `prepareDatabase` has run. NORMAL answers
  /// before the disk has what was committed.
  private static func setDurability(_ durability: Durability, of database: Database) throws {
    let wanted = durability == .strict ? 2 : 1  // FULL, NORMAL
    try database.execute(sql: "PRAGMA synchronous = \(wanted)")
    guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == wanted else {
      throw StoreError.unusable("SQLite does not take synchronous = \(wanted)")
    }
  }

  private func prepare(role: Role) async throws {
    _ = try await database.read { try Migrations.applied(in: $0) }
    try Migrations.migrator.migrate(database)
    try await check()  // what cannot be written is better known now
    if role == .server { try await endLocalLeases() }
  }

  /// The leases of this file's server before us: the lock proves that its process is gone, so nothing of it can still run.
  private func endLocalLeases() async throws(StoreError) {
    try await writer.write { transaction in
      let claims = try transaction.prepared("SELECT tasks, token FROM claims WHERE is_local = 1")
        .rows { columns in (tasks: columns.blob(), token: columns.int()) }
      let end = try transaction.prepared(
        "UPDATE task_runs SET lease_until = ?1 WHERE id = ?2 AND status = 3 AND token = ?3 AND lease_until > ?1")
      for claim in claims {
        for id in taskIDs(in: claim.tasks) { try end.run(transaction.now, id, claim.token) }
      }
      try transaction.prepared("UPDATE claims SET check_at = ?1 WHERE is_local = 1 AND check_at > ?1").run(
        transaction.now)
      try transaction.prepared("DELETE FROM workers WHERE kind = 'node'").run()
    }
  }

  package func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {
    writer.listen(hear)
  }

  package func now() async throws(StoreError) -> Timestamp {
    try ensureOpen()
    return clock()
  }

  package func check() async throws(StoreError) {
    try await writer.write { transaction in
      _ = try transaction.prepared(
        "INSERT INTO checks (id, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = excluded.at"
      )
      .run(transaction.now)
    }
  }

  package func close() async {
    let wasClosed = isClosed.withLock { closed in
      defer { closed = true }
      return closed
    }
    guard !wasClosed else { return }
    await writer.close()
    // A reader that is still at work keeps its connection open; the file is complete without the final checkpoint.
    try? database.close()
    lock?.release()
  }

  /// Reads on a snapshot, beside the writer.
  func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws(StoreError) -> Value {
    try ensureOpen()
    let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
      database.asyncRead { connection in
        continuation.resume(
          returning: Result { try body(connection.get()) }.mapError { StoreError($0) })
      }
    }
    return try result.get()
  }

  private func ensureOpen() throws(StoreError) {
    if isClosed.withLock(\.self) { throw .unavailable("the store is closed") }
  }

  static func canonical(_ path: String) -> String {
    let url = URL(fileURLWithPath: path)
    return url.deletingLastPathComponent().resolvingSymlinksInPath()
      .appendingPathComponent(url.lastPathComponent).resolvingSymlinksInPath().path
  }
}

extension StoreError {
  func naming(_ path: String) -> StoreError {
    switch self {
    case .unusable(let message) where !message.contains(path): .unusable("\(path): \(message)")
    case .unavailable(let message) where !message.contains(path): .unavailable("\(path): \(message)")
    default: self
    }
  }
}

/// Ids as `claims.tasks` keeps them: 16 bytes each, one after the other.
func taskIDs(in bytes: [UInt8]) -> [TaskID] {
  stride(from: 0, to: bytes.count - bytes.count % 16, by: 16).compactMap { TaskID(bytes: bytes[$0..<$0 + 16]) }
}

func bytes(of ids: some Sequence<TaskID>) -> [UInt8] {
  var bytes: [UInt8] = []
  for id in ids {
    for index in 0..<16 { bytes.append(id[index]) }
  }
  return bytes
}
