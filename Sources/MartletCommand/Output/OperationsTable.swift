// Actions in bulk, entries of the audit and explanations as text. Pure.

internal import MartletClient

enum OperationsTable {
  static func bulk(_ jobs: [BulkJobState], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("ID"), .init("ACTION"), .init("STATUS"), .init("MATCHED", isNumber: true), .init("CHANGED", isNumber: true),
      .init("FAILED", isNumber: true), .init("CREATED"), .init("BY", shrinks: true), .init("FILTER", shrinks: true),
      .init("LAST ERROR", shrinks: true),
    ])
    table.rows = jobs.map { job in
      [
        .init(job.id.description), .init(job.action), .init(job.status, style(of: job.status)),
        .init(String(job.matched)), .init(String(job.changed)), .init(String(job.failed)),
        .init(job.createdAt.description), .init(job.actor), .init(String(decoding: job.filter, as: UTF8.self)),
        .init(job.lastError),
      ]
    }
    return table.rendered(for: terminal)
  }

  static func audit(_ entries: [AuditRecord], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("AT"), .init("BY", shrinks: true), .init("ACTION"), .init("TARGET", shrinks: true),
      .init("DETAIL", shrinks: true),
    ])
    table.rows = entries.map { entry in
      [
        .init(entry.at.description), .init(entry.actor), .init(entry.action), .init(entry.target),
        .init(entry.detail.map { String(decoding: $0, as: UTF8.self) }),
      ]
    }
    return table.rendered(for: terminal)
  }

  static func notices(_ notices: [NoticeState], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("ID"), .init("STATUS"), .init("NOTICE"), .init("TASK TYPE", shrinks: true), .init("TARGET", shrinks: true),
      .init("ATTEMPTS", isNumber: true), .init("ENDED"), .init("NEXT ATTEMPT"), .init("LAST ERROR", shrinks: true),
    ])
    table.rows = notices.map { notice in
      [
        .init(notice.id), .init(notice.status, style(of: notice.status)), .init(notice.type), .init(notice.taskType),
        .init(notice.target), .init("\(notice.attempts)/\(notice.maxAttempts)"), .init(notice.createdAt.description),
        .init(notice.nextAttemptAt?.description), .init(notice.lastError),
      ]
    }
    return table.rendered(for: terminal)
  }

  /// What `tasks explain` prints, and a part of `tasks show`.
  static func lines(of explanation: TaskExplanation, _ terminal: Terminal) -> [String] {
    var lines = explanation.blockers.map { blocker in
      "  " + terminal.styled(Plain.line(blocker.kind), .waiting)
        + String(repeating: " ", count: max(1, 19 - blocker.kind.count)) + Plain.line(blocker.detail)
    }
    if lines.isEmpty { lines.append("  nothing holds it back: it is about to be claimed") }
    if let position = explanation.queuePosition { lines.append("  place in its queue: \(position)") }
    if let next = explanation.nextAttemptAt { lines.append("  next attempt at \(next)") }
    return lines
  }

  static func explanation(_ explanation: TaskExplanation, for terminal: Terminal) -> String {
    let status = terminal.styled(explanation.status.rawValue, TaskTable.style(of: explanation.status))
    return ([status] + lines(of: explanation, terminal)).joined(separator: "\n")
  }

  private static func style(of status: String) -> Terminal.Style? {
    switch status {
    case "RUNNING", "PENDING": .busy
    case "DONE", "DELIVERED": .good
    case "FAILED", "DEAD": .bad
    case "STOPPED": .faint
    default: nil
    }
  }
}
