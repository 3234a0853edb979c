// The schema, in numbered steps that are never changed once released. `SQLiteStore.open` applies what is missing.

internal import GRDB
internal import MartletCore

enum Migrations {
  private static let all: [(name: String, sql: [UInt8])] = [
    ("V0001_tasks", PackageResources.V0001_tasks_sql),
    ("V0002_keys_and_graphs", PackageResources.V0002_keys_and_graphs_sql),
    ("V0003_limits", PackageResources.V0003_limits_sql),
    ("V0004_schedules", PackageResources.V0004_schedules_sql),
    ("V0005_audit_and_bulk", PackageResources.V0005_audit_and_bulk_sql),
    ("V0006_api_keys", PackageResources.V0006_api_keys_sql),
    ("V0007_attempt_lines", PackageResources.V0007_attempt_lines_sql),
    ("V0008_submitters", PackageResources.V0008_submitters_sql),
    ("V0009_outbox", PackageResources.V0009_outbox_sql),
    ("V0010_stream", PackageResources.V0010_stream_sql),
    ("V0011_notices", PackageResources.V0011_notices_sql),
    ("V0012_settings", PackageResources.V0012_settings_sql),
  ]

  static var names: [String] { all.map(\.name) }

  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    for (name, sql) in all {
      migrator.registerMigration(name) { database in
        try database.execute(sql: String(decoding: sql, as: UTF8.self))
      }
    }
    return migrator
  }

  /// What is applied; throws if a newer martlet has been here, or somebody else.
  static func applied(in database: Database) throws -> [String] {
    if try migrator.hasBeenSuperseded(database) {
      throw StoreError.unusable("the database was written by a newer martlet; use that version or a newer one")
    }
    let applied = try migrator.appliedIdentifiers(database)
    if applied.isEmpty, try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") ?? 0 > 0 {
      throw StoreError.unusable("the file holds another program's database")
    }
    return names.filter(applied.contains)
  }
}
