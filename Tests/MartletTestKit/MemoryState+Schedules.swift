// Schedules of the reference model.

internal import MartletCore

extension MemoryState {
  mutating func putSchedule(_ change: ScheduleChange, now: Timestamp) -> ScheduleVerdict {
    let old = schedules[change.schedule.name]
    if let old, old.revision == change.revision { return .done(old) }
    guard old?.revision == change.expected else { return .conflict }
    let new = ScheduleRecord.after(change, of: old, now: now)
    schedules[change.schedule.name] = new
    write(change.note, now: now)
    return .done(new)
  }

  mutating func deleteSchedule(_ name: String, revision: Int64, actor: String, now: Timestamp) -> Bool {
    guard let old = schedules[name] else { return true }
    guard old.revision == revision else { return false }
    schedules[name] = nil
    ticks[name] = nil
    write(AuditNote(.deleteSchedule, of: name, by: actor), now: now)
    return true
  }

  func schedules(after name: String?, limit: Int) -> [ScheduleRecord] {
    schedules.values
      .filter { record in name.map { record.schedule.name.utf8.lexicographicallyPrecedes($0.utf8) } != true }
      .filter { $0.schedule.name != name }
      .sorted { $0.schedule.name.utf8.lexicographicallyPrecedes($1.schedule.name.utf8) }
      .prefix(limit)
      .map { record in
        var record = record
        record.schedule.task.payload = []
        return record
      }
  }

  func dueSchedules(limit: Int, now: Timestamp) -> DueSchedules {
    let all = schedules.values.compactMap { record in record.lookAt.map { (record: record, lookAt: $0) } }
      .sorted { ($0.lookAt, $0.record.schedule.name) < ($1.lookAt, $1.record.schedule.name) }
    let due = all.filter { $0.lookAt <= now }.prefix(limit)
    let next = all.dropFirst(due.count).first
    return DueSchedules(now: now, schedules: due.map(\.record), nextIn: next.map { max(.zero, $0.lookAt - now) })
  }

  mutating func advance(_ step: ScheduleStep, now: Timestamp) -> StepVerdict {
    if let stored = step.task.flatMap({ tasks[$0.id]?.record }) { return .made(at: stored.createdAt) }
    guard var record = schedules[step.name], record.revision == step.revision,
      step.move.map({ $0.from == record.handled || sabotage == .ticksTwice }) ?? true
    else { return .stale }
    let isUnfinished = record.lastTask.flatMap { tasks[$0]?.record.status.isFinal } == false
    let isTaken =
      step.move.flatMap { ticks[step.name]?[$0.to] }.map { tasks[$0] != nil } == true && sabotage != .ticksTwice
    let isPassed = step.task != nil && (step.unlessUnfinished && isUnfinished || isTaken)
    let full = isPassed ? nil : step.task.flatMap { fullQueue(adding: [$0]) }
    if let move = step.move {
      record.handled = move.to
      record.lookAt = move.lookAt
      record.lastError = full == nil ? move.error : move.errorIfFull
    }
    if let task = step.task, !isPassed, full == nil {
      _ = submit(Submission([task]), now: now)
      record.lastTask = task.id
      if let tick = step.move?.to { ticks[step.name, default: [:]][tick] = task.id }
      record.lastRunAt = now
      if let note = step.note { write(note, now: now) }
    }
    schedules[step.name] = record
    if let full { return .queueFull(full) }
    return isPassed ? .passed : step.task == nil ? .moved : .made(at: now)
  }
}
