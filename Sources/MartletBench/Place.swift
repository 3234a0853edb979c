// Where the store of one measurement is: a file, or a schema of a PostgreSQL database. Each is new and is removed afterwards.

internal import Foundation
internal import MartletCore
internal import MartletPostgres
internal import MartletSQLite

enum Place: Sendable {
  case sqlite(path: String)
  case postgres(url: String, schema: String)

  static func fresh(_ options: BenchOptions) -> Place {
    let name = UUID().uuidString.lowercased()
    guard let url = options.database else { return .sqlite(path: options.directory + "/bench-\(name).db") }
    return .postgres(url: url, schema: "martlet_bench_" + name.prefix(8))
  }

  func open() async throws -> any TaskStore {
    switch self {
    case .sqlite(let path):
      return try await SQLiteStore.open(path: path, clock: wallClock)
    case .postgres(let url, let schema):
      var options = PostgresStore.Options(url: url)
      options.schema = schema
      return try await PostgresStore.open(options)
    }
  }

  /// Once every store over it is closed.
  func remove() async throws {
    switch self {
    case .sqlite(let path):
      for suffix in ["", "-wal", "-shm", ".lock"] { try? FileManager.default.removeItem(atPath: path + suffix) }
    case .postgres(let url, let schema):
      var options = PostgresStore.Options(url: url)
      options.schema = schema
      try await PostgresStore.drop(options)
    }
  }
}
