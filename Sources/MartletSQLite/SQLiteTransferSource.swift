// A database file read as a whole, for `martlet transfer`: nobody serves it meanwhile, nothing in it is changed, and all pages are of
// one moment. Tables as both stores know them stand in `SQLiteTransferSource+Tables.swift`.

internal import Foundation
internal import GRDB
package import MartletCore

package final class SQLiteTransferSource: TransferSource {
  private let database: DatabaseQueue
  private let lock: ServerLock

  /// A page ends with the first row after which it is longer.
  private static let mostBytes = 4 << 20

  /// - Throws: `.unusable` with one line for people: not there, served, another program's, an older or newer schema.
  package static func open(path: String) async throws(StoreError) -> SQLiteTransferSource {
    guard path != ":memory:" else { throw .unusable(":memory: holds nothing that could be transferred") }
    guard FileManager.default.fileExists(atPath: path) else { throw .unusable("there is no file \(path)") }
    do {
      let lock = try ServerLock(databasePath: SQLiteStore.canonical(path))
      try DatabaseFile.prepare(path)  // under the lock, as a server does
      var configuration = GRDB.Configuration()
      configuration.readonly = true
      configuration.allowsUnsafeTransactions = true
      configuration.label = "martlet.transfer"
      let source = SQLiteTransferSource(try DatabaseQueue(path: path, configuration: configuration), lock)
      do {
        try await source.begin()
      } catch {
        await source.close()
        throw error
      }
      return source
    } catch {
      throw StoreError(error).naming(path)
    }
  }

  private init(_ database: DatabaseQueue, _ lock: ServerLock) {
    self.database = database
    self.lock = lock
  }

  private func begin() async throws(StoreError) {
    try await read { database in
      let applied = try Migrations.applied(in: database)
      let missing = Migrations.names.filter { !applied.contains($0) }
      guard missing.isEmpty else {
        throw StoreError.unusable(
          "the schema is not up to date (\(missing.joined(separator: ", "))): martlet migrate up --database sqlite:… first"
        )
      }
      let unknown = try Self.unknownColumns(in: database)
      guard unknown.isEmpty else {
        throw StoreError.unusable("the transfer does not know \(unknown.joined(separator: ", "))")
      }
      // From its first read on everything is as it was then, though commands may write beside.
      try database.execute(sql: "BEGIN")
      _ = try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema")
    }
  }

  package func page(
    of table: TransferTable, after key: [TransferValue]?, limit: Int
  ) async throws(StoreError) -> TransferPage {
    try await read { database in
      let place = try key ?? table.key.map(\.kind).map(Self.beforeAll)
      var values: [any SQLValue] = try place.map(Self.bound)
      values.append(limit)
      let columns = table.columns
      var size = 0
      let rows = try database.prepared(Self.select(table)).rows(
        binding: values,
        until: { (row: TransferRow) in
          size += row.size
          return size > Self.mostBytes
        }
      ) { source in
        TransferRow(try columns.map { try Self.value(of: $0.kind, &source) })
      }
      return TransferPage(rows, isLast: rows.count < limit && size <= Self.mostBytes)
    }
  }

  package func close() async {
    await withCheckedContinuation { continuation in
      database.asyncUnsafeRead { connection in
        // Nothing was written: whether it ends well is nobody's concern.
        try? connection.get().execute(sql: "ROLLBACK")
        continuation.resume()
      }
    }
    try? database.close()
    lock.release()
  }

  private func read<Value: Sendable>(
    _ body: @escaping @Sendable (Database) throws -> Value
  ) async throws(StoreError) -> Value {
    let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
      database.asyncUnsafeRead { connection in
        continuation.resume(
          returning: Result { try body(connection.get()) }.mapError { StoreError($0) })
      }
    }
    return try result.get()
  }

  // MARK: Values

  /// A key that no row has, and that is before all others.
  private static func beforeAll(_ kind: TransferColumn.Kind) throws -> TransferValue {
    switch kind {
    case .int: .int(.min)
    case .text: .text("")
    case .id: .bytes([])
    case .real, .freeText, .bytes: throw UnreadableRow(what: "a key of another kind")
    }
  }

  private static func bound(_ value: TransferValue) throws -> any SQLValue {
    switch value {
    case .int(let number): number
    case .text(let text): text
    case .bytes(let bytes): bytes
    case .null, .real: throw UnreadableRow(what: "a key without a value")
    }
  }

  private static func value(of kind: TransferColumn.Kind, _ columns: inout Columns) throws -> TransferValue {
    switch kind {
    case .int: columns.optionalInt().map(TransferValue.int) ?? .null
    case .real: columns.optionalDouble().map(TransferValue.real) ?? .null
    // What other stores cannot keep, and no part of Martlet writes there on purpose, is told as they keep it.
    case .text:
      columns.optionalText().map { .text($0.utf8.contains(0) ? $0.replacing("\0", with: "\u{FFFD}") : $0) } ?? .null
    case .freeText: columns.optionalText().map(TransferValue.text) ?? .null
    case .bytes: columns.optionalBlob().map(TransferValue.bytes) ?? .null
    case .id:
      try columns.optionalBlob().map { bytes in
        guard bytes.count == 16 else { throw UnreadableRow(what: "an id that is not 16 bytes") }
        return .bytes(bytes)
      } ?? .null
    }
  }
}
