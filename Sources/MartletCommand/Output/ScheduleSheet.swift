// Schedules for people: a table of many, and one on a page with when it will run, by the clocks of its zone and in UTC. Pure but
// for the zone's file.

internal import MartletClient
internal import MartletCore

enum ScheduleSheet {
  static func table(_ schedules: [RemoteSchedule], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("NAME", shrinks: true), .init("WHEN", shrinks: true), .init("ZONE", shrinks: true),
      .init("TYPE", shrinks: true), .init("NEXT RUN"), .init("LAST RUN"), .init("STATE"),
    ])
    table.rows = schedules.map { schedule in
      [
        .init(schedule.name), .init(recurrence(of: schedule)), .init(schedule.cron == nil ? "" : schedule.timeZone),
        .init(schedule.type), .init(schedule.nextRunAt?.description ?? "-"),
        .init(schedule.lastRunAt?.description ?? "-"), state(of: schedule),
      ]
    }
    return table.rendered(for: terminal)
  }

  static func rendered(_ schedule: RemoteSchedule, zones: ZoneDatabase, for terminal: Terminal) -> String {
    var lines = fields(of: schedule, terminal)
    guard !schedule.nextRuns.isEmpty else { return lines.joined(separator: "\n") }
    lines += ["", terminal.styled("Next runs", .bold)]
    // Without the zone's file on this machine UTC has to do.
    let zone = schedule.timeZone == "UTC" ? nil : try? zones.rules(named: schedule.timeZone)
    lines += schedule.nextRuns.map { time in
      "  \(time)" + (zone.map { "  \($0.local(time))" } ?? "")
    }
    return lines.joined(separator: "\n")
  }

  private static func fields(of schedule: RemoteSchedule, _ terminal: Terminal) -> [String] {
    var lines: [String] = []
    func add(_ name: String, _ value: String?, _ style: Terminal.Style? = nil) {
      guard let value else { return }
      let space = String(repeating: " ", count: max(1, 14 - name.count))
      lines.append(name + space + terminal.styled(Plain.line(value), style))
    }
    add("name", schedule.name)
    add("state", state(of: schedule).text, state(of: schedule).style)
    add("when", recurrence(of: schedule) + (schedule.cron == nil ? "" : ", \(schedule.timeZone)"))
    add("misfire", schedule.misfire)
    add("overlap", schedule.overlap)
    add("task", TaskSheet.shortened(schedule.task))
    add("created", schedule.createdAt.description)
    add("changed", schedule.updatedAt == schedule.createdAt ? nil : schedule.updatedAt.description)
    add("last run", schedule.lastRunAt?.description)
    add("last task", schedule.lastTaskID?.description)
    add("last error", schedule.lastError.map { "\($0.type): \($0.message)" }, .bad)
    return lines
  }

  private static func recurrence(of schedule: RemoteSchedule) -> String {
    schedule.cron ?? schedule.everySeconds.map { "every \(Format.seconds($0))" } ?? "-"
  }

  private static func state(of schedule: RemoteSchedule) -> Table.Cell {
    if schedule.paused { return .init("paused", .faint) }
    return schedule.lastError == nil ? .init("active") : .init("failing", .bad)
  }
}
