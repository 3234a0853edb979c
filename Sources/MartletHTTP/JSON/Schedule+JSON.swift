// A schedule as clients see it. Its task is shown as it was given, so that the answer's definition can be sent back.

internal import MartletCore
internal import MartletEngine

extension ScheduleView {
  /// In a list without the payload of its task and without more than the next of its ticks.
  func write(to json: inout JSONWriter, inList: Bool = false) {
    let schedule = record.schedule
    let cron = schedule.recurrence.cronColumns
    json.object { json in
      json.field("name", schedule.name)
      json.field("cron", cron?.cron)
      json.field("everySeconds", schedule.recurrence.everyColumn.map { Double($0) / 1000 })
      json.field("timeZone", cron?.timeZone ?? "UTC")
      json.field("task") { schedule.task.writeTemplateFields(to: &$0, withPayload: !inList) }
      json.field("misfire", schedule.misfire.rawValue)
      json.field("overlap", schedule.overlap.rawValue)
      json.field("paused", schedule.paused)
      json.field("createdAt", record.createdAt)
      json.field("updatedAt", record.updatedAt)
      json.field("lastRunAt", record.lastRunAt)
      json.field("lastTaskId", record.lastTask)
      json.field("nextRunAt", next)
      if !inList { json.field("nextRuns", upcoming.map(\.description)) }
      json.name("lastError")
      if let error = record.lastError { error.write(to: &json) } else { json.null() }
    }
  }
}

extension ScheduleError {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("type", kind.rawValue)
      json.field("message", message)
      json.field("at", at)
    }
  }
}
