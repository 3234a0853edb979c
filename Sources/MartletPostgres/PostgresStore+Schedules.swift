// Schedules: their definitions, and which are due. What is decided is decided by `MartletCore` between two round trips, and
// written only if the row is still what it was decided about; no transaction waits for that.

package import MartletCore

extension PostgresStore {
  package func putSchedule(_ change: ScheduleChange) async throws(StoreError) -> ScheduleVerdict {
    try await repeating { _ in
      while true {
        let (now, old) = try await read(change.schedule.name)
        if let old, old.revision == change.revision { return .done(old) }
        guard old?.revision == change.expected else { return .conflict }
        let new = ScheduleRecord.after(change, of: old, now: now)
        // Nothing comes back where another one was faster, or a tick.
        let written = try await pool.run(write(new, over: old, change.note)).first { try ScheduleRecord(&$0) }
        guard let written else { continue }
        bell.schedules()
        return .done(written)
      }
    }
  }

  package func deleteSchedule(_ name: String, revision: Int64, actor: String) async throws(StoreError) -> Bool {
    let note = AuditNote(.deleteSchedule, of: name, by: actor)
    return try await repeating { _ in
      let rows = try await pool.transaction([
        Query(Self.deleteSchedule, nowParameter, .text(name), .int8(revision), .text(actor), .int8(note.number)),
        Query(Self.hasSchedule, .text(name)),
      ])
      return rows[1].first { !$0.bool() } ?? true
    }
  }

  package func schedule(_ name: String) async throws(StoreError) -> ScheduleRecord? {
    try await repeating { _ in try await read(name).record }
  }

  package func schedules(after name: String?, limit: Int) async throws(StoreError) -> [ScheduleRecord] {
    try await repeating { _ in
      // No name is the empty text.
      try await pool.run(Query(Self.listSchedules, .text(name ?? ""), .int8(Int64(limit))), .background)
        .map { try ScheduleRecord(&$0) }
    }
  }

  package func dueSchedules(limit: Int) async throws(StoreError) -> DueSchedules {
    try await repeating { _ in
      let rows = try await pool.run(Query(Self.dueSchedules, nowParameter, .int8(Int64(limit)))).map { columns in
        let (now, next) = (columns.time(), columns.optionalTime())
        return (now: now, next: next, record: columns.bool() ? try ScheduleRecord(&columns) : nil)
      }
      guard let first = rows.first else { throw UnreadableRow(what: "no answer about schedules") }
      return DueSchedules(
        now: first.now, schedules: rows.compactMap(\.record), nextIn: first.next.map { max(.zero, $0 - first.now) })
    }
  }

  private func read(_ name: String) async throws -> (now: Timestamp, record: ScheduleRecord?) {
    let row = try await pool.run(Query(Self.readSchedule, nowParameter, .text(name))).first { columns in
      (now: columns.time(), record: columns.bool() ? try ScheduleRecord(&columns) : nil)
    }
    guard let row else { throw UnreadableRow(what: "no answer about a schedule") }
    return row
  }

  private func write(_ record: ScheduleRecord, over old: ScheduleRecord?, _ note: AuditNote) -> Query {
    let schedule = record.schedule
    let cron = schedule.recurrence.cronColumns
    let definition: [PostgresValue] = [
      .text(schedule.name), .int8(record.revision), .text(cron?.cron), .text(cron?.timeZone),
      .int8(schedule.recurrence.everyColumn), .text(schedule.misfire.rawValue), .text(schedule.overlap.rawValue),
      .bool(schedule.paused), .text(schedule.task.templateColumn), .bytes(schedule.task.payload),
      .time(record.updatedAt), .time(record.handled), .time(record.lookAt), .text(note.actor), .text(note.detail),
    ]
    guard let old else { return Query(Self.insertSchedule, parameters: definition) }
    return Query(Self.updateSchedule, parameters: definition + [.int8(old.revision), .time(old.handled)])
  }
}

extension ScheduleRecord {
  /// Reads `PostgresStore.scheduleColumns`.
  fileprivate init(_ columns: inout Columns) throws {
    let name = columns.text()
    let revision = columns.int()
    let schedule = try Schedule(
      name: name,
      recurrence: try Recurrence(
        cron: columns.optionalText(), timeZone: columns.optionalText(), every: columns.optionalInt()),
      misfire: columns.text(), overlap: columns.text(), paused: columns.bool(),
      task: try NewTask(templateColumn: columns.text(), payload: columns.blob()))
    self.init(
      schedule, revision: revision, createdAt: columns.time(), updatedAt: columns.time(), handled: columns.time(),
      lookAt: columns.optionalTime(), lastRunAt: columns.optionalTime(), lastTask: columns.optionalID(),
      lastError: try ScheduleError(
        kind: columns.optionalText(), message: columns.optionalText(), at: columns.optionalTime()))
  }
}

// MARK: - SQL

extension PostgresStore {
  private static func scheduleColumns(payload: String = "s.payload") -> String {
    """
    s.name, s.revision, s.cron, s.time_zone, s.every_ms, s.misfire, s.overlap, s.paused, s.task, \(payload), s.created_at,
      s.updated_at, s.handled, s.look_at, s.last_run_at, s.last_task, s.error_kind, s.error_message, s.error_at
    """
  }

  private static let readSchedule = Statement(
    "read_schedule",
    """
    WITH \(clock)
    SELECT now, s.name IS NOT NULL, \(scheduleColumns()) FROM clock LEFT JOIN schedules s ON s.name = $2::text
    """)

  private static let insertSchedule = Statement(
    "insert_schedule",
    writeSQL(
      """
      INSERT INTO schedules AS s (name, revision, cron, time_zone, every_ms, misfire, overlap, paused, task, payload,
        created_at, updated_at, handled, look_at)
      VALUES ($1::text, $2::bigint, $3::text, $4::text, $5::bigint, $6::text, $7::text, $8::boolean, $9::text, $10::bytea,
        $11::bigint, $11, $12::bigint, $13::bigint)
      ON CONFLICT DO NOTHING
      """))

  private static let updateSchedule = Statement(
    "update_schedule",
    writeSQL(
      """
      UPDATE schedules s SET revision = $2::bigint, cron = $3::text, time_zone = $4::text, every_ms = $5::bigint,
        misfire = $6::text, overlap = $7::text, paused = $8::boolean, task = $9::text, payload = $10::bytea,
        updated_at = $11::bigint, handled = $12::bigint, look_at = $13::bigint, error_kind = NULL, error_message = NULL,
        error_at = NULL
      WHERE s.name = $1::text AND s.revision = $16::bigint AND s.handled = $17::bigint
      """))

  /// A row where something was written.
  private static func writeSQL(_ write: String) -> String {
    """
    WITH s AS (\(write) RETURNING s.*),
    written AS MATERIALIZED (SELECT s.*, updated_at AS now FROM s),
    audited AS (
      \(auditSQL(.putSchedule, of: "name", by: "$14::text", detail: "$15::text", number: "revision", from: "written"))
    )
    SELECT \(scheduleColumns()) FROM s
    """
  }

  private static let deleteSchedule = Statement(
    "delete_schedule",
    """
    WITH \(clock),
    gone AS (DELETE FROM schedules USING clock WHERE name = $2::text AND revision = $3::bigint RETURNING name, now)
    \(auditSQL(.deleteSchedule, of: "name", by: "$4::text", number: "$5::bigint", from: "gone"))
    """)

  private static let hasSchedule = Statement(
    "has_schedule", "SELECT EXISTS (SELECT FROM schedules WHERE name = $1::text)")

  private static let listSchedules = Statement(
    "list_schedules",
    """
    SELECT \(scheduleColumns(payload: "''::bytea")) FROM schedules s WHERE s.name > $1::text
    ORDER BY s.name LIMIT $2::bigint
    """)

  /// One row at least, for the time.
  private static let dueSchedules = Statement(
    "due_schedules",
    """
    WITH \(clock),
    due AS MATERIALIZED (
      SELECT * FROM schedules WHERE look_at IS NOT NULL AND look_at <= (SELECT now FROM clock)
      ORDER BY look_at, name LIMIT $2::bigint
    )
    SELECT now,
      (SELECT look_at FROM schedules WHERE look_at IS NOT NULL ORDER BY look_at, name LIMIT 1
        OFFSET (SELECT count(*) FROM due)),
      s.name IS NOT NULL, \(scheduleColumns())
    FROM clock LEFT JOIN due s ON true ORDER BY s.look_at, s.name
    """)
}
