// The audit. Whatever writes an entry does so in its own transaction: as a part of its statement (`auditSQL`), so that it is
// written only where something was changed, or as one more query of its pipeline (`writeAudit`).

package import MartletCore

extension PostgresStore {
  /// Entries that one page looks at, at most.
  private static let auditScan = 20_000

  package func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage {
    try await repeating { _ in
      let end = query.end
      let rows = try await pool.run(
        Query(
          query.target == nil ? Self.readAudit : Self.readAuditOf, .time(end.at), .int8(end.sequence),
          .time(query.createdAfter ?? Timestamp(milliseconds: .min)), .text(query.target), .text(query.actor),
          .text(query.action?.rawValue), .int8(Int64(query.limit + 1))), .background)
      var cut: AuditPlace?
      var entries = rows.map { columns -> AuditEntry? in
        let at = columns.optionalTime()
        let sequence = columns.optionalInt()
        cut = at.flatMap { at in sequence.map { AuditPlace(at: at, sequence: $0) } }
        return columns.optionalInt().map { sequence in
          AuditEntry(
            sequence: sequence, at: columns.time(), actor: columns.text(),
            action: AuditAction(rawValue: columns.text()), target: columns.text(), detail: columns.optionalText())
        }
      }.compactMap(\.self)
      if entries.count > query.limit {
        entries.removeLast()
        return AuditPage(entries: entries, next: entries.last.map { AuditPlace($0) })
      }
      return AuditPage(entries: entries, next: cut)
    }
  }

  package func pruneAudit(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await repeating { _ in
      try await pool.run(
        Query(Self.pruneAudit, nowParameter, .int8(age.wholeMilliseconds), .int8(Int64(limit))), .background
      ).affected
    }
  }

  /// Writes down an act, as a query of the pipeline that does it.
  func writeAudit(_ note: AuditNote) -> Query {
    Query(Self.writeAuditNote, parameters: [nowParameter] + Self.parameters(of: note))
  }

  /// The same if, once the queries before it are through, this task is stored.
  func writeAudit(_ note: AuditNote, ifStored task: TaskID) -> Query {
    Query(Self.writeAuditIfStored, parameters: [nowParameter] + Self.parameters(of: note) + [.uuid(task)])
  }

  /// A data-modifying part of a statement: an entry for each row of `rows`, which has a column `now`. All but the action are
  /// expressions of SQL; `number` must be the same however often the act is repeated.
  static func auditSQL(
    _ action: AuditAction, of target: String, by actor: String, detail: String = "NULL::text", number: String,
    from rows: String
  ) -> String {
    """
    INSERT INTO audit (number, at, actor, action, target, detail)
    SELECT \(number), now, \(actor), '\(action.rawValue)', \(target), \(detail) FROM \(rows) ON CONFLICT DO NOTHING
    """
  }

  private static func parameters(of note: AuditNote) -> [PostgresValue] {
    [.int8(note.number), .text(note.actor), .text(note.action.rawValue), .text(note.target), .text(note.detail)]
  }

  private static let writeAuditNote = Statement("write_audit", writeSQL(condition: ""))
  private static let writeAuditIfStored = Statement(
    "write_audit_if_stored", writeSQL(condition: "WHERE EXISTS (SELECT 1 FROM task_bodies WHERE id = $7::uuid)"))

  private static func writeSQL(condition: String) -> String {
    """
    WITH \(clock)
    INSERT INTO audit (number, at, actor, action, target, detail)
    SELECT $2::bigint, now, $3::text, $4::text, $5::text, $6::text FROM clock \(condition) ON CONFLICT DO NOTHING
    """
  }

  private static let readAudit = Statement("read_audit", readSQL("true"))
  private static let readAuditOf = Statement("read_audit_of", readSQL("target = $4"))

  /// One more than the limit, to know whether there are more. Before each the last entry that was looked at, where more than these
  /// may match and the page is not full: in the same statement, so that it is the end of what this page has looked at.
  private static func readSQL(_ condition: String) -> String {
    let rows = """
      SELECT * FROM audit
      WHERE \(condition) AND (at, sequence) < ($1::bigint, $2::bigint) AND at >= $3::bigint
      ORDER BY at DESC, sequence DESC
      """
    return """
      WITH page AS MATERIALIZED (
        SELECT sequence, at, actor, action, target, detail FROM (\(rows) LIMIT \(auditScan)) a
        WHERE ($4::text IS NULL OR target = $4) AND ($5::text IS NULL OR actor = $5) AND ($6::text IS NULL OR action = $6)
        ORDER BY at DESC, sequence DESC LIMIT $7::bigint
      )
      SELECT cut.at, cut.sequence, p.sequence, p.at, p.actor, p.action, p.target, p.detail
      FROM (SELECT count(*) AS count FROM page) counted
        LEFT JOIN LATERAL (
          SELECT at, sequence FROM (\(rows) LIMIT 1 OFFSET \(auditScan - 1)) a WHERE counted.count < $7
        ) cut ON true
        LEFT JOIN page p ON true
      ORDER BY p.at DESC, p.sequence DESC
      """
  }

  private static let pruneAudit = Statement(
    "prune_audit",
    """
    WITH \(clock)
    DELETE FROM audit WHERE sequence = ANY (ARRAY(
      SELECT a.sequence FROM audit a, clock WHERE a.at <= now - $2::bigint ORDER BY a.at, a.sequence LIMIT $3::bigint))
    """)
}
