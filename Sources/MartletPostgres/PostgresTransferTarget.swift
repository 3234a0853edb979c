// A schema filled as a whole, for `martlet transfer`. Two things keep nodes away: a lock of the session, which every node's
// connections share (`ServingLock`), and a row of `transfers`, which outlives a transfer that is killed. Tables as both stores know
// them stand in `PostgresTransferTarget+Tables.swift`.

internal import CPostgres
package import MartletCore

package final class PostgresTransferTarget: TransferTarget {
  private let pool: ConnectionPool
  private let schema: String

  /// Opens, and if need be creates and migrates, a schema.
  /// - Throws: `.unusable` with one line for people, also where nodes are connected.
  package static func open(_ options: PostgresStore.Options) async throws(StoreError) -> PostgresTransferTarget {
    let settings = try PostgresStore.settings(options, lock: .exclusive)
    guard !settings.isPooled else {
      throw .unusable("a transfer needs a session of its own: leave out PgBouncer (and pgbouncer=true)")
    }
    let pool = try await PostgresStore.connect(settings, options, size: 1)
    do {
      try await Migrations(pool: pool, schema: options.schema, steps: options.migrations).run()
    } catch {
      await pool.close()
      throw StoreError(opening: error, schema: options.schema)
    }
    return PostgresTransferTarget(pool, options.schema)
  }

  private init(_ pool: ConnectionPool, _ schema: String) {
    self.pool = pool
    self.schema = schema
  }

  package func begin(from origin: String, restarts: Bool) async throws(StoreError) {
    let unknown = try await run(Query(Self.unknownColumns, .texts(Self.knownColumns))).map { $0.text() }
    guard unknown.isEmpty else {
      throw .unusable("the transfer does not know \(unknown.joined(separator: ", "))")
    }
    let alive = try await run(
      Query(Self.aliveNodes, .int8(WorkerRecord.lifetime.wholeMilliseconds))
    ).map { $0.text() }
    if let node = alive.first {
      throw .unusable("the schema \(schema) is being served (\(node)); stop all of its nodes first")
    }
    let incomplete = try await run(Query(PostgresStore.incompleteTransfer)).first { $0.text() }
    if let incomplete {
      guard restarts else {
        throw .unusable(
          "the schema \(schema) holds what an incomplete transfer from \(incomplete) has left; --restart removes it and begins anew"
        )
      }
      try await script("TRUNCATE \(Self.written.map { "\"\($0)\"" }.joined(separator: ", "))")
    }
    let filled = try await run(Query(Self.filledTables)).map { $0.text() }
    guard filled.isEmpty else {
      throw .unusable(
        "the schema \(schema) is not empty (\(filled.joined(separator: ", "))); a transfer needs an empty one: choose another by --schema"
      )
    }
    try await run(Query(Self.markBegun, .text(origin)))
    try await script(Self.renewed.map { "DELETE FROM \"\($0)\";" }.joined())
  }

  package func write(_ rows: [TransferRow], to table: TransferTable) async throws(StoreError) {
    guard !rows.isEmpty else { return }
    let columns = table.columns
    var parameters: [PostgresValue] = []
    for (index, column) in columns.enumerated() {
      parameters.append(try Self.array(of: column.kind, rows.lazy.map { $0.values[index] }))
    }
    try await transaction(Self.insertions(table).map { Query($0, parameters: parameters) })
  }

  package func complete() async throws(StoreError) {
    try await script(Self.completions)
    // Statistics: until autovacuum comes by, plans of people's queries would be made for empty tables.
    try await script("ANALYZE \(Self.written.map { "\"\($0)\"" }.joined(separator: ", "))")
  }

  package func page(
    of table: TransferTable, after key: [TransferValue]?, limit: Int
  ) async throws(StoreError) -> TransferPage {
    let columns = table.columns
    var parameters: [PostgresValue] = []
    for (index, column) in table.key.enumerated() {
      parameters.append(try Self.parameter(column.kind, key?[index]))
    }
    parameters.append(.int8(Int64(limit)))
    let rows = try await run(Query(Self.selection(table), parameters: parameters)).map { source in
      TransferRow(columns.map { Self.value(of: $0.kind, &source) })
    }
    return TransferPage(rows, isLast: rows.count < limit)
  }

  package func finish() async throws(StoreError) {
    try await run(Query(Self.markEnded))
  }

  package func close() async {
    await pool.close()
  }

  // MARK: Calls

  /// None is repeated: where an answer is lost the transfer ends, and is begun anew.
  @discardableResult
  private func run(_ query: Query) async throws(StoreError) -> Rows {
    do throws(PostgresFailure) {
      return try await pool.run(query, .background)
    } catch {
      throw StoreError(error)
    }
  }

  private func transaction(_ queries: [Query]) async throws(StoreError) {
    do throws(PostgresFailure) {
      try await pool.transaction(queries, .background)
    } catch {
      throw StoreError(error)
    }
  }

  private func script(_ sql: String) async throws(StoreError) {
    do throws(PostgresFailure) {
      try await pool.script(sql)
    } catch {
      throw StoreError(error)
    }
  }

  // MARK: Values

  private static func array(
    of kind: TransferColumn.Kind, _ values: some Sequence<TransferValue>
  ) throws(StoreError) -> PostgresValue {
    do {
      switch kind {
      case .int: return .int8s(try values.map { try $0.int })
      case .real: return .doubles(try values.map { try $0.real })
      case .text: return .texts(try values.map { try $0.text })
      case .freeText: return .texts(try values.map { try $0.text?.escaped })
      case .bytes: return .bytesArray(try values.map { try $0.bytes })
      case .id: return .uuids(try values.map { try $0.id })
      }
    } catch {
      throw .unusable("a value is of another kind than its column")
    }
  }

  /// nil stands for a key that is before all others.
  private static func parameter(
    _ kind: TransferColumn.Kind, _ value: TransferValue?
  ) throws(StoreError) -> PostgresValue {
    do {
      switch kind {
      case .int: return .int8(try value.map { try $0.int } ?? .min)
      case .text: return .text(try value.map { try $0.text } ?? "")
      case .id: return .uuid(try value.map { try $0.id } ?? TaskID(high: 0, low: 0))
      case .real, .freeText, .bytes: throw Misfit()
      }
    } catch {
      throw .unusable("a key is of another kind than its column")
    }
  }

  private static func value(of kind: TransferColumn.Kind, _ columns: inout Columns) -> TransferValue {
    switch kind {
    case .int: columns.optionalInt().map(TransferValue.int) ?? .null
    case .real: columns.optionalDouble().map(TransferValue.real) ?? .null
    case .text: columns.optionalText().map(TransferValue.text) ?? .null
    case .freeText: columns.optionalText().map { .text($0.unescaped) } ?? .null
    case .bytes, .id: columns.optionalBlob().map(TransferValue.bytes) ?? .null
    }
  }
}

private struct Misfit: Error {}

extension TransferValue {
  fileprivate var int: Int64? {
    get throws {
      switch self {
      case .null: nil
      case .int(let number): number
      case .real, .text, .bytes: throw Misfit()
      }
    }
  }

  fileprivate var real: Double? {
    get throws {
      switch self {
      case .null: nil
      case .real(let number): number
      case .int, .text, .bytes: throw Misfit()
      }
    }
  }

  fileprivate var text: String? {
    get throws {
      switch self {
      case .null: nil
      case .text(let text): text
      case .int, .real, .bytes: throw Misfit()
      }
    }
  }

  fileprivate var bytes: [UInt8]? {
    get throws {
      switch self {
      case .null: nil
      case .bytes(let bytes): bytes
      case .int, .real, .text: throw Misfit()
      }
    }
  }

  fileprivate var id: TaskID? {
    get throws {
      guard let bytes = try bytes else { return nil }
      guard let id = TaskID(bytes: bytes[...]) else { throw Misfit() }
      return id
    }
  }
}
