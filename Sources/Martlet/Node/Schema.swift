// The schema of a database, for the command line.

package import MartletCore
internal import MartletPostgres
internal import MartletSQLite

package struct Schema: Sendable {
  /// Migrations that the database has, first to last.
  package let applied: [String]
  /// Migrations of this version that it lacks.
  package let pending: [String]

  package static func read(_ database: Settings.Database) async throws(StoreError) -> Schema {
    let (known, applied) =
      switch try DatabaseLocation(database) {
      case .sqlite(let path): try await SQLiteStore.migrationStatus(path: path)
      case .postgres(let url, _): try await PostgresStore.migrationStatus(database.postgresOptions(url))
      }
    return Schema(applied: applied, pending: known.filter { !applied.contains($0) })
  }

  /// Creates the database if there is none; in PostgreSQL, the schema.
  package static func migrate(_ database: Settings.Database) async throws(StoreError) {
    switch try DatabaseLocation(database) {
    case .sqlite(let path):
      let store = try await SQLiteStore.open(path: path, role: .tool, clock: DatabaseLocation.wallClock)
      await store.close()
    case .postgres(let url, _):
      try await PostgresStore.migrate(database.postgresOptions(url))
    }
  }
}
