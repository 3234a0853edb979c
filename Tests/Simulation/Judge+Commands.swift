// Holds each task's history against what was commanded: an acknowledged command has happened once, one of unknown outcome at most once,
// a refused one not, and nothing else has.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit

extension Judge {
  private static let cancelRequested = "cancel requested"

  func checkCommands(_ commands: [String: Commands], _ task: TaskImage) throws(Violation) {
    let id = task.record.id
    func bounds(_ kind: String) -> ClosedRange<Int> {
      let known = commands[kind] ?? Commands()
      return known.acknowledged...known.acknowledged + known.unknown
    }
    let isInBulk = task.events.contains { $0.actor.hasPrefix(World.bulkActor) }
    let events = task.events.filter { !$0.actor.hasPrefix(World.bulkActor) }
    let retries = events.count { $0.type == .retried }
    guard bounds("retry").contains(retries) else {
      throw Violation("G11", "retried \(retries) times by hand, of \(bounds("retry"))", tasks: [id])
    }
    let patches = events.count { $0.type == .updated && $0.cause != Self.cancelRequested }
    guard bounds("patch").contains(patches) else {
      throw Violation("G11", "patched \(patches) times, of \(bounds("patch"))", tasks: [id])
    }
    // To cancel what is cancelled changes nothing, so that of their number only the upper bound is sure.
    let cancels = events.count {
      $0.type == .updated && $0.cause == Self.cancelRequested
        || $0.type == .cancelled && $0.actor == Credential.unguarded.actor
    }
    guard cancels <= bounds("cancel").upperBound else {
      throw Violation("G11", "cancelled \(cancels) times, of \(bounds("cancel"))", tasks: [id])
    }
    for answer in commands["cancel"]?.answers ?? [] { try checkCancel(answer, task) }
    try checkRequests(of: task)
    if task.record.reason == .requested, bounds("cancel").upperBound == 0, !isInBulk {
      throw Violation("G11", "cancelled on request, and nobody asked", tasks: [id])
    }
    try checkRefusals(commands, task)
  }

  /// The history says the same as the answer: cancelled then, or asked to stop in the attempt that ran. (`Rules` see to it that nothing
  /// but a success comes between such a request and its end.)
  private func checkCancel(_ answer: TaskRecord, _ task: TaskImage) throws(Violation) {
    let events = task.events.prefix(answer.sequence)
    let isSo =
      switch answer.status {
      case .cancelled: events.last?.type == .cancelled
      case .running: answer.cancelRequested && isRequested(in: events)
      default: false
      }
    guard isSo, events.count == answer.sequence else {
      throw Violation(
        "G11", "a cancel was answered with \(answer.status.rawValue) (event \(answer.sequence)), and not done",
        tasks: [answer.id])
    }
    counters.count("cancel acknowledged and done")
  }

  private func isRequested(in events: ArraySlice<TaskEvent>) -> Bool {
    let begun = events.lastIndex { $0.type == .started } ?? events.startIndex
    return events[begun...].contains { $0.type == .updated && $0.cause == Self.cancelRequested }
  }

  /// One attempt is asked to stop once, whoever asks how often.
  private func checkRequests(of task: TaskImage) throws(Violation) {
    var isAsked = false
    for event in task.events {
      if event.type == .started { isAsked = false }
      guard event.type == .updated, event.cause == Self.cancelRequested else { continue }
      if isAsked { throw Violation("G11", "one attempt was asked to stop twice", tasks: [task.record.id]) }
      isAsked = true
    }
  }

  /// A command is refused for a state in which it cannot be carried out, and in which the task has been.
  private func checkRefusals(_ commands: [String: Commands], _ task: TaskImage) throws(Violation) {
    let refusing: [String: [TaskStatus: TaskEventType]] = [
      "cancel": [.success: .succeeded, .dead: .dead],
      "retry": [.pending: .received, .ready: .ready, .running: .started, .success: .succeeded],
      "patch": [.running: .started, .success: .succeeded, .dead: .dead, .cancelled: .cancelled],
    ]
    for (kind, states) in refusing {
      for status in commands[kind]?.refusals ?? [] {
        guard let event = states[status], task.events.contains(where: { $0.type == event }) else {
          throw Violation("G11", "a \(kind) was refused for \(status.rawValue)", tasks: [task.record.id])
        }
      }
    }
  }
}
