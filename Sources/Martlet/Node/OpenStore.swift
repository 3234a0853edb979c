// The one place that knows which store belongs to which URL.

internal import Foundation
internal import Logging
internal import MartletCore
internal import MartletPostgres
internal import MartletSQLite

extension DatabaseLocation {
  func open(_ database: Settings.Database, logger: Logger) async throws(StoreError) -> any TaskStore {
    switch self {
    case .sqlite(let path):
      return try await SQLiteStore.open(
        path: path, durability: database.durability == .strict ? .strict : .relaxed, clock: Self.wallClock)
    case .postgres(let url, _):
      var options = database.postgresOptions(url)
      options.report = { logger.warning("\($0)") }
      return try await PostgresStore.open(options)
    }
  }

  /// The clock of the store that has none of its own.
  @Sendable static func wallClock() -> Timestamp {
    Timestamp(milliseconds: Int64((Date().timeIntervalSince1970 * 1000).rounded(.down)))
  }
}

extension Settings.Database {
  func postgresOptions(_ url: String) -> PostgresStore.Options {
    var options = PostgresStore.Options(url: url)
    options.schema = schema
    options.connections = connections
    options.durability = durability == .strict ? .strict : .relaxed
    return options
  }
}
