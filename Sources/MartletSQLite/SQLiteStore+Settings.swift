// Settings that all nodes share: one row for each change of them.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func settingsRevision(after number: Int) async throws(StoreError) -> SettingsRevision? {
    try await read { database in
      try database.prepared(
        "SELECT \(revisionColumns) FROM settings_revisions WHERE number > ?1 ORDER BY number DESC LIMIT 1"
      ).row(number) { try SettingsRevision(&$0) }
    }
  }

  package func write(_ new: NewSettingsRevision) async throws(StoreError) -> SettingsVerdict {
    try await writer.write { transaction in
      let written = try transaction.prepared(
        "SELECT \(revisionColumns) FROM settings_revisions WHERE number = ?1 AND note = ?2"
      ).row(new.base + 1, new.note.number) { try SettingsRevision(&$0) }
      if let written { return .written(written) }
      let latest = try transaction.prepared("SELECT coalesce(max(number), 0) FROM settings_revisions")
        .row { Int($0.int()) }
      guard latest == new.base else { return .outdated }
      let revision = new.written(at: transaction.now)
      try transaction.prepared(
        """
        INSERT INTO settings_revisions (number, at, actor, changes, overrides, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        """
      ).run(
        revision.number, revision.at, revision.actor, OverrideColumn.text(revision.changes),
        OverrideColumn.text(revision.overrides), new.note.number)
      try transaction.prepared("DELETE FROM settings_revisions WHERE number <= ?1").run(
        revision.number - SettingsRevision.kept)
      try transaction.audit(new.note)
      return .written(revision)
    }
  }

  package func settingsRevisions(before number: Int?, limit: Int) async throws(StoreError) -> [SettingsRevision] {
    try await read { database in
      try database.prepared(
        "SELECT \(revisionColumns) FROM settings_revisions WHERE number < ?1 ORDER BY number DESC LIMIT ?2"
      ).rows(number ?? .max, limit) { try SettingsRevision(&$0) }
    }
  }
}

private let revisionColumns = "number, at, actor, changes, overrides"

extension SettingsRevision {
  /// Reads `revisionColumns`.
  fileprivate init(_ columns: inout Columns) throws {
    self.init(
      number: Int(columns.int()), at: columns.time(), actor: columns.text(),
      changes: try OverrideColumn.changes(columns.text()), overrides: try OverrideColumn.overrides(columns.text()))
  }
}
