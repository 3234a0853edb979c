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
      return try await PostgresStore.open(postgresOptions(url, schema))
    }
  }

  /// Does at once what the database does in its own time, so that what is measured next does not pay for what was written
  /// before. By PostgreSQL's `psql`, for a superuser: the store's own connections send nothing outside of a transaction.
  func settle() throws {
    guard case .postgres(let url, _) = self else { return }
    let psql = Process()
    psql.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    psql.arguments = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", "VACUUM ANALYZE", "-c", "CHECKPOINT", url]
    try psql.run()
    psql.waitUntilExit()
    guard psql.terminationStatus == 0 else {
      throw StoreError.unusable("psql could not vacuum the database: the scenario backlog needs it, and a superuser")
    }
  }

  /// Once every store over it is closed.
  func remove() async throws {
    switch self {
    case .sqlite(let path):
      for suffix in ["", "-wal", "-shm", ".lock"] { try? FileManager.default.removeItem(atPath: path + suffix) }
    case .postgres(let url, let schema):
      try await PostgresStore.drop(postgresOptions(url, schema))
    }
  }

  private func postgresOptions(_ url: String, _ schema: String) -> PostgresStore.Options {
    var options = PostgresStore.Options(url: url)
    options.schema = schema
    return options
  }
}
