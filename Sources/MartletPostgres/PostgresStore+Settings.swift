// Settings that all nodes share: one row for each change of them. The numbers have no gaps, so that of several changes to one
// revision the primary key lets one through.

package import MartletCore

extension PostgresStore {
  package func settingsRevision(after number: Int) async throws(StoreError) -> SettingsRevision? {
    try await repeating { _ in
      try await pool.run(Query(Self.readLatestSettings, .int8(Int64(number))), .background).first {
        try SettingsRevision(&$0)
      }
    }
  }

  package func write(_ new: NewSettingsRevision) async throws(StoreError) -> SettingsVerdict {
    try await repeating { _ in
      let rows = try await pool.transaction(
        [
          Query(
            Self.writeSettings, nowParameter, .int8(Int64(new.base)), .text(new.note.actor),
            .text(OverrideColumn.text(new.changes)), .text(OverrideColumn.text(new.overrides)),
            .int8(new.note.number), .text(new.note.target), .text(new.note.detail)),
          Query(Self.readWrittenSettings, .int8(Int64(new.base)), .int8(new.note.number)),
          Query(Self.forgetSettings, .int8(Int64(SettingsRevision.kept))),
        ], .background)
      guard let revision = try rows[1].first({ try SettingsRevision(&$0) }) else { return .outdated }
      settingsChanged()
      return .written(revision)
    }
  }

  package func settingsRevisions(before number: Int?, limit: Int) async throws(StoreError) -> [SettingsRevision] {
    try await repeating { _ in
      try await pool.run(
        Query(Self.readSettings, .int8(number.map { Int64($0) } ?? .max), .int8(Int64(limit))), .background
      ).map { try SettingsRevision(&$0) }
    }
  }

  private static let revisionColumns = "number, at, actor, changes, overrides"

  private static let readLatestSettings = Statement(
    "read_latest_settings",
    "SELECT \(revisionColumns) FROM settings_revisions WHERE number > $1::bigint ORDER BY number DESC LIMIT 1")

  /// Whoever writes the same number at the same time is waited for, and then there before this.
  private static let writeSettings = Statement(
    "write_settings",
    """
    WITH \(clock),
    added AS (
      INSERT INTO settings_revisions (number, at, actor, changes, overrides, note)
      SELECT $2::bigint + 1, now, $3::text, $4::text, $5::text, $6::bigint FROM clock
      WHERE $2 = (SELECT coalesce(max(number), 0) FROM settings_revisions)
      ON CONFLICT (number) DO NOTHING RETURNING at AS now
    )
    \(auditSQL(.updateSettings, of: "$7::text", by: "$3", detail: "$8::text", number: "$6", from: "added"))
    """)

  private static let readWrittenSettings = Statement(
    "read_written_settings",
    "SELECT \(revisionColumns) FROM settings_revisions WHERE number = $1::bigint + 1 AND note = $2::bigint")

  private static let forgetSettings = Statement(
    "forget_settings",
    "DELETE FROM settings_revisions WHERE number <= (SELECT max(number) FROM settings_revisions) - $1::bigint")

  private static let readSettings = Statement(
    "read_settings",
    "SELECT \(revisionColumns) FROM settings_revisions WHERE number < $1::bigint ORDER BY number DESC LIMIT $2::bigint")
}

extension SettingsRevision {
  /// Reads `revisionColumns`.
  fileprivate init(_ columns: inout Columns) throws {
    self.init(
      number: Int(columns.int()), at: columns.time(), actor: columns.text(),
      changes: try OverrideColumn.changes(columns.text()), overrides: try OverrideColumn.overrides(columns.text()))
  }
}
