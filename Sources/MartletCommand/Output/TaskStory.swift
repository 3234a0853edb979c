// What has happened to a task since it was last looked at, as lines. Pure: `Following` feeds it what the server says.

internal import MartletClient
internal import MartletCore

struct TaskStory {
  /// Set before each line where several tasks are told at once.
  var label: String?
  var terminal = Terminal.plain
  /// Whether the last of the latest lines tells a progress.
  private(set) var endsWithProgress = false
  private var told = 0
  private var starts = 0
  private var attemptsTold: Set<Int> = []
  private var progress: RemoteTask.Progress?
  private var isEnded = false

  init(label: String? = nil, terminal: Terminal = .plain) {
    self.label = label
    self.terminal = terminal
  }

  /// The lines for what is new. `events` and `attempts` are all there are; what was told before is passed over.
  mutating func lines(_ task: RemoteTask, events: [RemoteEvent], attempts: [RemoteAttempt]) -> [String] {
    var lines: [String] = []
    endsWithProgress = false
    for event in events where event.sequence > told {
      told = event.sequence
      lines += self.lines(event, task, attempts, isLatest: event.sequence == events.last?.sequence)
    }
    if let now = task.progress, now != progress, task.status == .running {
      progress = now
      endsWithProgress = true
      let message = now.message.map { "  \(Plain.line($0))" } ?? ""
      lines.append(line(at: task.updatedAt, "progress", "\(Format.number(now.percent)) %\(message)"))
    }
    if task.status.isFinal, !isEnded {
      isEnded = true
      // Ends of attempts that no event spoke of.
      for attempt in attempts where attempt.outcome != nil && !attemptsTold.contains(attempt.number) {
        lines += details(of: attempt)
      }
      lines += end(of: task)
    }
    guard let label else { return lines }
    return lines.map { "\(label)  \($0)" }
  }

  private mutating func lines(
    _ event: RemoteEvent, _ task: RemoteTask, _ attempts: [RemoteAttempt], isLatest: Bool
  ) -> [String] {
    var words: [String] = []
    var ended: RemoteAttempt?
    switch event.name {
    case "received":
      words.append("\(Plain.line(task.type)) in queue \(Plain.line(task.queue))")
      if isLatest, task.status == .pending, let due = task.availableAt { words.append("due at \(due)") }
    case "started":
      starts += 1
      words.append("attempt \(starts)")
      if let actor = event.actor { words.append("on \(Plain.line(actor))") }
    case "failed", "succeeded", "snoozed", "released", "cancelled":
      ended = attempts.first { attempt in
        attempt.number <= starts && !attemptsTold.contains(attempt.number)
          && attempt.outcome.map { Self.outcomes(of: event.name).contains($0) } ?? false
      }
      if let ended { words.append("attempt \(ended.number) \(Plain.line(ended.outcome ?? ""))") }
    case "retry" where isLatest && task.status == .retry:
      if let next = task.availableAt { words.append("next attempt at \(next)") }
    default: break
    }
    if let cause = event.cause, ended == nil, event.name != "started" { words.append(Plain.line(cause)) }
    return [line(at: event.at, event.name, words.joined(separator: " "))] + (ended.map { details(of: $0) } ?? [])
  }

  /// The outcomes of attempts whose end an event tells.
  private static func outcomes(of event: String) -> Set<String> {
    switch event {
    case "failed": ["FAILED", "TIMED_OUT", "LOST"]
    case "succeeded": ["SUCCESS"]
    case "snoozed": ["SNOOZED"]
    case "released": ["RELEASED"]
    default: ["CANCELLED", "SNOOZED", "RELEASED"]
    }
  }

  private mutating func details(of attempt: RemoteAttempt) -> [String] {
    attemptsTold.insert(attempt.number)
    return TaskSheet.details(of: attempt, terminal).map { "    \($0)" }
  }

  private func end(of task: RemoteTask) -> [String] {
    let status = terminal.styled(task.status.rawValue, TaskTable.style(of: task.status))
    let reason = task.reason.map { " (\(Plain.line($0)))" } ?? ""
    let attempts = "\(task.attempt) attempt\(task.attempt == 1 ? "" : "s")"
    var lines = ["\(status)\(reason) after \(attempts)"]
    if let result = TaskSheet.result(of: task) { lines.append("result \(Plain.line(result))") }
    return lines
  }

  private func line(at time: Timestamp, _ name: String, _ words: String) -> String {
    let name = Plain.line(name)
    guard !words.isEmpty else { return "\(time)  \(name)" }
    return "\(time)  \(name)\(String(repeating: " ", count: max(1, 10 - name.count)))\(words)"
  }
}
