// The schema of a database, for the command line.

internal import Foundation
package import MartletCore
internal import MartletSQLite

package struct Schema: Sendable {
  /// Migrations that the database has, first to last.
  package let applied: [String]
  /// Migrations of this version that it lacks.
  package let pending: [String]

  package static func read(_ database: Settings.Database) async throws(StoreError) -> Schema {
    let (known, applied) = try await SQLiteStore.migrationStatus(path: DatabaseLocation(database.url).path)
    return Schema(applied: applied, pending: known.filter { !applied.contains($0) })
  }

  /// Creates the database if there is none.
  package static func migrate(_ database: Settings.Database) async throws(StoreError) {
    let store = try await SQLiteStore.open(
      path: DatabaseLocation(database.url).path, role: .tool,
      clock: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) })
    await store.close()
  }
}
