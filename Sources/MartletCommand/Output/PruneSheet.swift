// What retention took and what it kept, as text and as JSON. Pure.

internal import Martlet
internal import MartletCore

enum PruneSheet {
  static func text(
    _ report: DirectRetention.Report, _ policy: RetentionPolicy, database: String, isDryRun: Bool,
    for terminal: Terminal
  ) -> String {
    var parts: [String] = []
    let gone = report.gone.reduce(0) { $0 + $1.count }
    parts.append("\(isDryRun ? "would delete" : "deleted") \(counted(gone, "task")) of \(Plain.line(database))")
    if !report.gone.isEmpty {
      var table = Table(columns: [.init("STATUS"), .init("TYPE", shrinks: true), .init("TASKS", isNumber: true)])
      table.rows = report.gone.map { [.init($0.status.rawValue), .init($0.type), .init(String($0.count))] }
      parts.append(table.rendered(for: terminal))
    }
    let kept = report.kept.reduce(0) { $0 + $1.count }
    if kept > 0 {
      parts.append("kept, though past their time: \(counted(kept, "task"))")
      var table = Table(columns: [
        .init("STATUS"), .init("TYPE", shrinks: true), .init("TASKS", isNumber: true), .init("SINCE"),
      ])
      table.rows = report.kept.map { count in
        [
          .init(count.status.rawValue), .init(count.type), .init(String(count.count)),
          .init(sorted(count.protections).map(reason).joined(separator: "; ")),
        ]
      }
      parts.append(table.rendered(for: terminal))
    }
    for status in [TaskStatus.success, .dead, .cancelled] {
      guard let count = report.younger[status], count > 0 else { continue }
      let time =
        retention(of: status, policy).map { "younger than \(Format.duration($0))" }
        ?? "not looked at, or kept for ever"
      parts.append("\(status.rawValue): \(counted(count, "task")) \(time)")
    }
    return parts.joined(separator: "\n")
  }

  static func json(_ report: DirectRetention.Report, isDryRun: Bool) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.field("dryRun", isDryRun)
      json.field("deleted", report.gone.reduce(0) { $0 + $1.count })
      json.field("kept", report.kept.reduce(0) { $0 + $1.count })
      json.name("gone")
      json.array(of: report.gone) { json, count in json.object { write(count, to: &$0) } }
      json.name("protected")
      json.array(of: report.kept) { json, count in
        json.object { json in
          write(count, to: &json)
          json.field("protections", sorted(count.protections).map(name))
        }
      }
      json.field("notDue") { json in
        for status in [TaskStatus.success, .dead, .cancelled] {
          json.field(status.rawValue, report.younger[status] ?? 0)
        }
      }
    }
    return json.bytes
  }

  private static func write(_ count: SweepCount, to json: inout JSONWriter) {
    json.field("status", count.status.rawValue)
    json.field("type", count.type)
    json.field("count", count.count)
  }

  private static func counted(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }

  private static func retention(of status: TaskStatus, _ policy: RetentionPolicy) -> Duration? {
    switch status {
    case .success: policy.success
    case .dead: policy.dead
    case .cancelled: policy.cancelled
    case .pending, .ready, .running, .retry: nil
    }
  }

  private static func sorted(_ protections: Set<Protection>) -> [Protection] {
    protections.sorted { $0.rawValue < $1.rawValue }
  }

  private static func name(_ protection: Protection) -> String {
    switch protection {
    case .dependants: "dependants"
    case .idempotencyKey: "idempotency-key"
    case .events: "events"
    case .notices: "notices"
    }
  }

  private static func reason(_ protection: Protection) -> String {
    switch protection {
    case .dependants: "others wait for it"
    case .idempotencyKey: "its idempotency key is young"
    case .events: "a broker or the stream has not heard all of it"
    case .notices: "a notice is not delivered yet"
    }
  }
}
