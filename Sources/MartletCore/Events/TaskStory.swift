// What entries of the outbox tell, put together from a task's rows as its history is.

/// What entries of one task tell.
package struct TaskStory: Sendable, Hashable {
  /// As it is now, without payload and result.
  package var record: TaskRecord
  /// Those of the entries, and those between them, in order.
  package var events: [TaskEvent]
  /// By the sequences of events that tell of an attempt: which one.
  package var attempts: [Int: Int]
  /// Why attempts failed that ended among these events, by their numbers.
  package var errors: [Int: TaskError]

  package init(record: TaskRecord, events: [TaskEvent], attempts: [Int: Int], errors: [Int: TaskError]) {
    self.record = record
    self.events = events
    self.attempts = attempts
    self.errors = errors
  }
}

extension StoredRun {
  /// What entries of the outbox tell.
  /// - Parameters: may have more than the range.
  package func story(
    of record: TaskRecord, _ range: HistoryRange, ended: [StoredAttempt], told: [TaskEvent]
  ) -> TaskStory {
    let events = page(range, ended: ended, told: told).elements
    let running =
      self.events.map { ($0, attempt) } + ended.flatMap { end in end.events.map { ($0, end.record.number) } }
    let attempts = running.filter { $0.0.type.tellsOfAttempt && range.contains($0.0.sequence) }
      .map { ($0.0.sequence, $0.1) }
    let errors = ended.compactMap { attempt in attempt.record.error.map { (attempt.record.number, $0) } }
    return TaskStory(
      record: record, events: events, attempts: Dictionary(attempts, uniquingKeysWith: { first, _ in first }),
      errors: Dictionary(errors, uniquingKeysWith: { first, _ in first }))
  }
}

extension TaskEventType {
  /// Always of one attempt, unlike `cancelled` and `ready`.
  package var tellsOfAttempt: Bool {
    switch self {
    case .started, .succeeded, .failed, .retry, .dead, .snoozed, .released: true
    case .received, .ready, .cancelled, .retried, .updated: false
    }
  }
}
