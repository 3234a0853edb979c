// Schedules. One writer decides on everything, so that a step is as the reference model has it: look, compare, write.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func putSchedule(_ change: ScheduleChange) async throws(StoreError) -> ScheduleVerdict {
    try await writer.write { try $0.put(change) }
  }

  package func deleteSchedule(_ name: String, revision: Int64, actor: String) async throws(StoreError) -> Bool {
    let note = AuditNote(.deleteSchedule, of: name, by: actor)
    return try await writer.write { transaction in
      guard let old = try transaction.database.schedule(name) else { return true }
      guard old.revision == revision else { return false }
      try transaction.prepared("DELETE FROM schedules WHERE name = ?1").run(name)
      try transaction.audit(note)
      return true
    }
  }

  package func schedule(_ name: String) async throws(StoreError) -> ScheduleRecord? {
    try await read { try $0.schedule(name) }
  }

  package func schedules(after name: String?, limit: Int) async throws(StoreError) -> [ScheduleRecord] {
    try await read { database in
      // No name is the empty text.
      try database.prepared(
        "SELECT \(scheduleColumns(payload: "x''")) FROM schedules WHERE name > ?1 ORDER BY name LIMIT ?2"
      ).rows(name ?? "", limit) { try ScheduleRecord(&$0) }
    }
  }

  package func dueSchedules(limit: Int) async throws(StoreError) -> DueSchedules {
    let now = clock()
    return try await read { database in
      let due = try database.prepared(
        """
        SELECT \(scheduleColumns()) FROM schedules WHERE look_at IS NOT NULL AND look_at <= ?1
        ORDER BY look_at, name LIMIT ?2
        """
      ).rows(now, limit) { try ScheduleRecord(&$0) }
      let next = try database.prepared(
        "SELECT look_at FROM schedules WHERE look_at IS NOT NULL ORDER BY look_at, name LIMIT 1 OFFSET ?1"
      ).row(due.count) { $0.time() }
      return DueSchedules(now: now, schedules: due, nextIn: next.map { max(.zero, $0 - now) })
    }
  }

  package func advanceSchedules(_ steps: [ScheduleStep]) async throws(StoreError) -> [StepVerdict] {
    try await writer.write { transaction in try steps.map { try transaction.advance($0) } }
  }
}

extension WriteTransaction {
  fileprivate func put(_ change: ScheduleChange) throws -> ScheduleVerdict {
    let old = try database.schedule(change.schedule.name)
    if let old, old.revision == change.revision { return .done(old) }
    guard old?.revision == change.expected else { return .conflict }
    let new = ScheduleRecord.after(change, of: old, now: now)
    let schedule = new.schedule
    let cron = schedule.recurrence.cronColumns
    try prepared(
      """
      INSERT INTO schedules (name, revision, cron, time_zone, every_ms, misfire, overlap, paused, task, payload, created_at,
        updated_at, handled, look_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
      ON CONFLICT DO UPDATE SET revision = ?2, cron = ?3, time_zone = ?4, every_ms = ?5, misfire = ?6, overlap = ?7,
        paused = ?8, task = ?9, payload = ?10, updated_at = ?12, handled = ?13, look_at = ?14, error_kind = NULL,
        error_message = NULL, error_at = NULL
      """
    ).run(
      schedule.name, new.revision, cron?.cron, cron?.timeZone, schedule.recurrence.everyColumn,
      schedule.misfire.rawValue, schedule.overlap.rawValue, schedule.paused, schedule.task.templateColumn,
      schedule.task.payload, new.createdAt, new.updatedAt, new.handled, new.lookAt)
    try audit(change.note)
    return .done(new)
  }

  fileprivate func advance(_ step: ScheduleStep) throws -> StepVerdict {
    if let task = step.task,
      let at = try prepared("SELECT created_at FROM task_bodies WHERE id = ?1").row(task.id, read: { $0.time() })
    {
      return .made(at: at)
    }
    guard let record = try database.schedule(step.name), record.revision == step.revision,
      step.move.map({ $0.from == record.handled }) ?? true
    else { return .stale }
    let isPassed = try step.task != nil && (step.unlessUnfinished && isUnfinished(record.lastTask) || isTaken(step))
    let full = try isPassed ? nil : step.task.flatMap { try fullQueue(adding: [$0]) }
    if let task = step.task, !isPassed, full == nil {
      try insert(task, unmet: 0, hasChildren: false)
      try prepared(
        """
        UPDATE schedules SET last_run_at = ?2, last_task = ?3, latest_tick = max(ifnull(latest_tick, ?4), ifnull(?4, latest_tick))
        WHERE name = ?1
        """
      ).run(step.name, now, task.id, step.move?.to)
      if let note = step.note { try audit(note) }
    }
    if let move = step.move {
      let error = full == nil ? move.error : move.errorIfFull
      try prepared(
        """
        UPDATE schedules SET handled = ?2, look_at = ?3, error_kind = ?4, error_message = ?5, error_at = ?6 WHERE name = ?1
        """
      ).run(step.name, move.to, move.lookAt, error?.kind.rawValue, error?.message, error?.at)
    }
    if let full { return .queueFull(full) }
    return isPassed ? .passed : step.task == nil ? .moved : .made(at: now)
  }

  /// Only after the clock was set back are there ticks that are no later than the latest.
  private func isTaken(_ step: ScheduleStep) throws -> Bool {
    guard let tick = step.move?.to,
      let latest = try prepared("SELECT latest_tick FROM schedules WHERE name = ?1")
        .row(step.name, read: { $0.optionalTime() }) ?? nil,
      tick <= latest
    else { return false }
    return try prepared(
      """
      SELECT EXISTS (
        SELECT 1 FROM task_links k INDEXED BY task_links_schedule CROSS JOIN task_bodies b ON b.id = k.id
        WHERE k.schedule = ?1 AND b.run_at = ?2)
      """
    ).row(step.name, tick) { $0.bool() } ?? false
  }

  private func isUnfinished(_ task: TaskID?) throws -> Bool {
    guard let task else { return false }
    return try prepared("SELECT status NOT IN (5, 6, 7) FROM task_runs WHERE id = ?1").row(task) { $0.bool() } ?? false
  }
}

extension Database {
  fileprivate func schedule(_ name: String) throws -> ScheduleRecord? {
    try prepared("SELECT \(scheduleColumns()) FROM schedules WHERE name = ?1").row(name) { try ScheduleRecord(&$0) }
  }
}

/// What `ScheduleRecord` is read from.
private func scheduleColumns(payload: String = "payload") -> String {
  """
  name, revision, cron, time_zone, every_ms, misfire, overlap, paused, task, \(payload), created_at, updated_at, handled,
  look_at, last_run_at, last_task, error_kind, error_message, error_at
  """
}

extension ScheduleRecord {
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
      lookAt: columns.optionalTime(), lastRunAt: columns.optionalTime(), lastTask: try columns.optionalID(),
      lastError: try ScheduleError(
        kind: columns.optionalText(), message: columns.optionalText(), at: columns.optionalTime()))
  }
}
