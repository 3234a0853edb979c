// A database opened beside whatever serves it, for commands that need no server.

internal import MartletCore
internal import MartletPostgres
internal import MartletSQLite

struct GuestStore: Sendable {
  let store: any TaskStore
  /// False where this call has made the database.
  let isOld: Bool
  /// For people, and without a password.
  let shown: String

  /// Opens the database as a guest: the server's own lock is not asked for, and its leases are left alone. Both stores are made
  /// for several processes; what would harm the others is only a schema that they do not know, so an old one is not migrated.
  /// - Parameter creates: makes a database where there is none.
  static func open(_ database: Settings.Database, creates: Bool) async throws(StoreError) -> GuestStore {
    let location = try DatabaseLocation(database)
    let schema = try await Schema.read(database)
    guard creates || !schema.applied.isEmpty else {
      throw .unusable("there is no database of martlet at \(location.shown)")
    }
    guard schema.applied.isEmpty || schema.pending.isEmpty else {
      throw .unusable(
        "the schema is not up to date (\(schema.pending.joined(separator: ", "))): start the server of this version, or martlet migrate up"
      )
    }
    let store: any TaskStore =
      switch location {
      case .sqlite(let path):
        try await SQLiteStore.open(
          path: path, role: .tool, durability: database.durability == .strict ? .strict : .relaxed,
          clock: DatabaseLocation.wallClock)
      case .postgres(let url, _):
        try await PostgresStore.open(database.postgresOptions(url))
      }
    return GuestStore(store: store, isOld: !schema.applied.isEmpty, shown: location.shown)
  }
}
