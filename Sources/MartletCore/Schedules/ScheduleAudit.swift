// What the audit says of those who change schedules. The numbers are drawn once for an act, so that each is written down once.

extension AuditAction {
  package static let putSchedule = AuditAction(rawValue: "schedule.put")
  package static let deleteSchedule = AuditAction(rawValue: "schedule.delete")
  package static let triggerSchedule = AuditAction(rawValue: "schedule.trigger")
}

extension ScheduleChange {
  package var note: AuditNote {
    var json = JSONWriter(capacity: 64)
    json.object { json in
      json.field("created", expected == nil)
      json.field("paused", schedule.paused)
    }
    return AuditNote(
      .putSchedule, of: schedule.name, by: actor, detail: String(decoding: json.bytes, as: UTF8.self), number: revision)
  }
}

extension ScheduleStep {
  /// Nil for steps of the scheduler, which the schedule and its tasks tell of.
  package var note: AuditNote? {
    guard move == nil, let task else { return nil }
    return AuditNote(
      .triggerSchedule, of: name, by: actor, detail: #"{"taskId":"\#(task.id)"}"#,
      number: Int64(bitPattern: task.id.high ^ task.id.low))
  }
}
