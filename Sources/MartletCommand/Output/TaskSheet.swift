// Everything a person on call needs to know of one task, on one page: its fields, its attempts with errors and log
// lines, its events. Pure.

internal import MartletClient
internal import MartletCore

enum TaskSheet {
  /// Of a task that waits for a thousand, nobody reads them all.
  private static let mostDependencies = 20

  static func rendered(
    _ task: RemoteTask, explanation: TaskExplanation? = nil, attempts: [RemoteAttempt], events: [RemoteEvent],
    for terminal: Terminal
  ) -> String {
    var lines = fields(of: task, terminal)
    if let explanation {
      let title = task.status == .running ? "Where it is" : "Why it is not running"
      lines += ["", terminal.styled(title, .bold)] + OperationsTable.lines(of: explanation, terminal)
    }
    lines += ["", terminal.styled("Attempts", .bold)]
    lines += attempts.isEmpty ? ["  none yet"] : attempts.flatMap { Self.lines(of: $0, terminal) }
    lines += ["", terminal.styled("Events", .bold)]
    var table = Table(columns: [
      .init("#", isNumber: true), .init("AT"), .init("EVENT"), .init("BY", shrinks: true),
      .init("CAUSE", shrinks: true),
    ])
    table.rows = events.map { event in
      [
        .init(String(event.sequence)), .init(event.at.description), .init(event.name), .init(event.actor),
        .init(event.cause),
      ]
    }
    var narrower = terminal
    narrower.width = terminal.width.map { $0 - 2 }
    lines += table.rendered(for: narrower).split(separator: "\n").map { "  \($0)" }
    return lines.joined(separator: "\n")
  }

  /// An attempt with its error and log lines; `TaskStory` tells ended attempts the same way.
  static func details(of attempt: RemoteAttempt, _ terminal: Terminal) -> [String] {
    var lines: [String] = []
    if let error = attempt.error {
      lines += Plain.lines("\(error.type): \(error.message)").map { terminal.styled($0, .bad) }
      lines += (error.stack.map(Plain.lines) ?? []).map { "  \($0)" }
    }
    return lines + attempt.logs.flatMap(Plain.lines).map { "| \($0)" }
  }

  private static func fields(of task: RemoteTask, _ terminal: Terminal) -> [String] {
    var lines: [String] = []
    func add(_ name: String, _ value: String?, _ style: Terminal.Style? = nil) {
      guard let value else { return }
      let space = String(repeating: " ", count: max(1, 14 - name.count))
      lines.append(name + space + terminal.styled(Plain.line(value), style))
    }
    add("id", task.id.description)
    add("type", task.type)
    add("queue", task.queue)
    let note = task.reason.map { " (\($0))" } ?? (task.cancelRequested ? " (cancel requested)" : "")
    add("status", task.status.rawValue + note, TaskTable.style(of: task.status))
    add("priority", String(task.priority))
    add("attempt", "\(task.attempt) of \(task.maxAttempts), \(task.retriesLeft) retries left")
    add("timeout", task.timeoutSeconds.map(Format.seconds))
    add("backoff", task.backoff.map(Format.backoff))
    add("worker", task.worker)
    add("progress", task.progress.map { "\(Format.number($0.percent)) %\($0.message.map { "  \($0)" } ?? "")" })
    add("created", task.createdAt.description)
    add("wanted at", task.runAt?.description)
    if !task.status.isFinal { add("eligible at", task.availableAt?.description) }
    add("started", task.startedAt?.description)
    add("finished", task.finishedAt?.description)
    add("expires", task.expiresAt?.description)
    add("tags", task.tags.isEmpty ? nil : task.tags.joined(separator: ", "))
    for (name, value) in task.metadata.sorted(by: { $0.key < $1.key }) { add("metadata", "\(name)=\(value)") }
    add("key", task.idempotencyKey)
    add("concurrency", task.concurrencyKey.map { "key \($0)" })
    add("graph", task.graphID.map { "\($0)\(task.ref.map { ref in ", as \(ref)" } ?? "")" })
    for id in task.dependencies.prefix(Self.mostDependencies) { add("depends on", id.description) }
    let more = task.dependencies.count - Self.mostDependencies
    if more > 0 { add("depends on", "\(more) more, see --json") }
    if !task.dependencies.isEmpty { add("if one fails", task.onDependencyFailure?.rawValue) }
    add("replay of", task.replayOf?.description)
    add("schedule", task.scheduleName)
    add("payload", task.payload.map { shortened($0) })
    add("result", result(of: task))
    add("last error", task.lastError.map { "\($0.type): \($0.message)" }, .bad)
    return lines
  }

  private static func lines(of attempt: RemoteAttempt, _ terminal: Terminal) -> [String] {
    let outcome = attempt.outcome ?? "RUNNING"
    let style: Terminal.Style? =
      switch outcome {
      case "SUCCESS": .good
      case "FAILED", "TIMED_OUT", "LOST": .bad
      case "RUNNING": .busy
      default: nil
      }
    var head = "  #\(attempt.number) \(terminal.styled(Plain.line(outcome), style))  \(attempt.startedAt)"
    if let finishedAt = attempt.finishedAt { head += "  took \(Format.duration(finishedAt - attempt.startedAt))" }
    if let worker = attempt.worker { head += "  on \(Plain.line(worker))" }
    return [head] + details(of: attempt, terminal).map { "     \($0)" }
  }

  /// Nil where there is none to tell of.
  static func result(of task: RemoteTask) -> String? {
    if task.resultTruncated { return "left out: over \(Limits.resultBytes / 1024) KiB" }
    return task.result.map { shortened($0) }
  }

  /// JSON of any length on a line; the whole is in `--json`.
  static func shortened(_ json: [UInt8], to limit: Int = 2000) -> String {
    let text = String(decoding: json.prefix(limit), as: UTF8.self)
    return json.count > limit ? "\(text)… (\(json.count) bytes, see --json)" : text
  }
}
