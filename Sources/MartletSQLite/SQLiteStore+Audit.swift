// The audit. Whatever writes an entry does so on its own transaction: `WriteTransaction.audit`.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  /// Entries that one page looks at, at most.
  private static let auditScan = 20_000

  package func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage {
    try await read { database in
      var entries = try database.auditEntries(query, scan: Self.auditScan)
      if entries.count > query.limit {
        entries.removeLast()
        return AuditPage(entries: entries, next: entries.last.map { AuditPlace($0) })
      }
      return AuditPage(entries: entries, next: try database.lastAuditPlace(query, scan: Self.auditScan))
    }
  }

  package func pruneAudit(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await writer.write { transaction in
      try transaction.prepared(
        "DELETE FROM audit WHERE sequence IN (SELECT sequence FROM audit WHERE at <= ?1 ORDER BY at, sequence LIMIT ?2)"
      ).run(transaction.now + (.zero - age), limit)
    }
  }
}

extension WriteTransaction {
  /// Writes down an act of this transaction.
  func audit(_ note: AuditNote) throws {
    try prepared(
      """
      INSERT INTO audit (number, at, actor, action, target, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
      ON CONFLICT DO NOTHING
      """
    ).run(note.number, now, note.actor, note.action.rawValue, note.target, note.detail)
  }
}

extension AuditQuery {
  /// The rows that its pages look at, newest first. `?1` and `?2` are the place that they stand before, `?3` the earliest time,
  /// `?4` the target.
  fileprivate var rows: String {
    let source =
      target == nil ? "audit INDEXED BY audit_at WHERE true" : "audit INDEXED BY audit_target WHERE target = ?4"
    return "SELECT * FROM \(source) AND (at, sequence) < (?1, ?2) AND at >= ?3 ORDER BY at DESC, sequence DESC"
  }

  fileprivate var beginning: Timestamp { createdAfter ?? Timestamp(milliseconds: .min) }
}

extension Database {
  /// One more than the limit, to know whether there are more.
  fileprivate func auditEntries(_ query: AuditQuery, scan: Int) throws -> [AuditEntry] {
    try prepared(
      """
      SELECT sequence, at, actor, action, target, detail FROM (\(query.rows) LIMIT ?5)
      WHERE (?4 IS NULL OR target = ?4) AND (?6 IS NULL OR actor = ?6) AND (?7 IS NULL OR action = ?7) LIMIT ?8
      """
    ).rows(
      query.end.at, query.end.sequence, query.beginning, query.target, scan, query.actor, query.action?.rawValue,
      query.limit + 1
    ) { columns in
      AuditEntry(
        sequence: columns.int(), at: columns.time(), actor: columns.text(),
        action: AuditAction(rawValue: columns.text()), target: columns.text(), detail: columns.optionalText())
    }
  }

  /// The last row that such a page has looked at, if there may be more behind it.
  fileprivate func lastAuditPlace(_ query: AuditQuery, scan: Int) throws -> AuditPlace? {
    try prepared("SELECT at, sequence FROM (\(query.rows) LIMIT 1 OFFSET ?5) WHERE ?4 IS NULL OR target = ?4")
      .row(query.end.at, query.end.sequence, query.beginning, query.target, scan - 1) { columns in
        AuditPlace(at: columns.time(), sequence: columns.int())
      }
  }
}
