// What must hold of every history, whatever happened: events without a gap, times that never go back, only legal moves, and
// a record and attempts that agree with them.

package import MartletCore

package enum HistoryRules {
  /// Everything wrong with a task's history; empty when all is well.
  package static func problems(of task: TaskRecord, events: [TaskEvent], attempts: [AttemptRecord]) -> [String] {
    var problems: [String] = []
    func require(_ holds: Bool, _ problem: String) {
      if !holds { problems.append("\(task.id): \(problem)") }
    }
    require(events.first?.type == .received, "the first event is not received")
    require(events.map(\.sequence) == Array(1...max(1, events.count)), "the sequence of events has a gap")
    require(events.last?.sequence == task.sequence, "the task's sequence is not that of its latest event")
    require(zip(events, events.dropFirst()).allSatisfy { $0.at <= $1.at }, "an event is earlier than the one before")
    require(events.last?.at == task.updatedAt, "updatedAt is not the time of the latest event")
    problems += illegalMoves(of: task, events: events)

    require(attempts.map(\.number) == Array(1..<(task.attempt + 1)), "the attempts are not numbered 1 to attempt")
    require(events.count { $0.type == .started } == task.attempt, "not every attempt has one event started")
    require(attempts.dropLast().allSatisfy { $0.outcome != nil }, "an attempt runs that is not the latest")
    require(
      (attempts.last.map { $0.outcome == nil } ?? false) == (task.status == .running), "RUNNING without an attempt")
    require(attempts.allSatisfy { ($0.outcome == nil) == ($0.finishedAt == nil) }, "an end without a time or outcome")
    require(task.status.isFinal == (task.finishedAt != nil), "finishedAt is not set exactly when final")
    require([.dead, .cancelled].contains(task.status) == (task.reason != nil), "a reason is missing or should not be")
    require(task.result == nil || task.status == .success, "a result without success")
    require(task.maxAttempts >= task.attempt, "more attempts than the budget allows")
    return problems
  }

  /// Follows the statuses that the events tell of. A patch of a READY task may make it PENDING without an event of its own.
  private static func illegalMoves(of task: TaskRecord, events: [TaskEvent]) -> [String] {
    var possible: Set<TaskStatus> = [.pending]
    for event in events.dropFirst() {
      let next: Set<TaskStatus>
      switch event.type {
      case .received: next = []
      case .updated: next = possible.contains(.ready) ? possible.union([.pending]) : possible
      case .failed, .released: next = possible.intersection([.running])
      case .retried:
        next = possible.intersection([.dead, .cancelled, .retry])
          .union(reached(.pending, from: possible.intersection([.dead, .cancelled])))
      case .ready: next = reached(.ready, from: possible)
      case .started: next = reached(.running, from: possible)
      case .succeeded: next = reached(.success, from: possible)
      case .retry: next = reached(.retry, from: possible)
      case .dead: next = reached(.dead, from: possible)
      case .cancelled: next = reached(.cancelled, from: possible)
      case .snoozed: next = reached(.pending, from: possible.intersection([.running]))
      }
      guard !next.isEmpty else {
        let from = possible.map(\.rawValue).sorted().joined(separator: " or ")
        return ["\(task.id): event \(event.sequence), \(event.type.rawValue), is not legal from \(from)"]
      }
      possible = next
    }
    return possible.contains(task.status) ? [] : ["\(task.id): \(task.status.rawValue) is not where its events lead"]
  }

  private static func reached(_ status: TaskStatus, from possible: Set<TaskStatus>) -> Set<TaskStatus> {
    possible.contains { $0.successors.contains(status) } ? [status] : []
  }
}
