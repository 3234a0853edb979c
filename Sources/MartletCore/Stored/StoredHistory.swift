// The history of a task as the stores' columns tell it: the run row tells the running attempt and a plain success, the rows of
// `attempts` the rest. The stores read the columns, what they mean is said here once. The run row is read first: an attempt that ended
// before the others were read is told by both, and counts once.

/// What the run row tells of the history.
package struct StoredRun: Sendable {
  package var createdAt: Timestamp
  package var submittedBy: String
  package var attempt: Int
  package var sequence: Int
  package var readyBy: Int64
  package var readyAt: Timestamp?
  package var readySequence: Int
  package var startedAt: Timestamp?
  package var startedSequence: Int
  package var worker: String
  package var outcome: AttemptOutcome?
  package var finishedAt: Timestamp?

  package init(
    createdAt: Timestamp, submittedBy: String?, attempt: Int, sequence: Int, readyBy: Int64, readyAt: Timestamp?,
    readySequence: Int,
    startedAt: Timestamp?, startedSequence: Int, worker: String, outcome: AttemptOutcome?, finishedAt: Timestamp?
  ) {
    self.createdAt = createdAt
    self.submittedBy = submittedBy ?? Actor.api
    self.attempt = attempt
    self.sequence = sequence
    self.readyBy = readyBy
    self.readyAt = readyAt
    self.readySequence = readySequence
    self.startedAt = startedAt
    self.startedSequence = startedSequence
    self.worker = worker
    self.outcome = outcome
    self.finishedAt = finishedAt
  }

  /// The attempt that has no row of its own: the running one, or a plain success.
  package var attemptRecord: AttemptRecord? {
    guard startedSequence > 0, let startedAt else { return nil }
    return AttemptRecord(
      number: attempt, worker: worker, startedAt: startedAt, finishedAt: finishedAt, outcome: outcome, error: nil,
      logs: [])
  }

  /// - Parameter ended: those within the page.
  package func page(_ range: HistoryRange, ended: [StoredAttempt], sentBefore lines: [Int: [String]])
    -> HistoryPage<AttemptRecord>
  {
    let ownRecord = attemptRecord.flatMap { own in ended.contains { $0.record.number == own.number } ? nil : own }
    let attempts = ended.map(\.record) + (ownRecord.map { [$0] } ?? [])
    return range.page(attempts.filter { range.contains($0.number) }.with(sentBefore: lines), latest: attempt)
  }

  /// - Parameters: may have more than the page.
  package func page(_ range: HistoryRange, ended: [StoredAttempt], told: [TaskEvent]) -> HistoryPage<TaskEvent> {
    let events = (events + ended.flatMap(\.events) + told).filter { range.contains($0.sequence) }
    let bySequence = Dictionary(events.map { ($0.sequence, $0) }, uniquingKeysWith: { first, _ in first })
    return range.page(bySequence.values.sorted { $0.sequence < $1.sequence }, latest: sequence)
  }

  /// `received` among them, which no row but the body tells.
  package var events: [TaskEvent] {
    var events = [TaskEvent(sequence: 1, type: .received, at: createdAt, actor: submittedBy)]
    if readySequence > 0, let readyAt {
      events.append(TaskEvent(sequence: readySequence, type: .ready, at: readyAt, actor: Actor.readyBy(readyBy)))
    }
    if startedSequence > 0, let startedAt {
      events.append(
        TaskEvent(
          sequence: startedSequence, type: .started, at: startedAt, actor: worker, cause: "attempt \(attempt)"))
      if outcome == .success, let finishedAt {
        events.append(TaskEvent(sequence: sequence, type: .succeeded, at: finishedAt, actor: worker))
      }
    }
    return events
  }
}

/// A row of `attempts`.
package struct StoredAttempt: Sendable {
  package var record: AttemptRecord
  package var readyBy: Int64
  package var readyAt: Timestamp?
  package var readySequence: Int
  package var startedSequence: Int
  /// Of the first event that tells its end.
  package var finishedSequence: Int
  package var statusAfter: TaskStatus
  package var reason: FinalReason?
  package var rescued: Bool

  package init(
    record: AttemptRecord, readyBy: Int64, readyAt: Timestamp?, readySequence: Int, startedSequence: Int,
    finishedSequence: Int, statusAfter: TaskStatus, reason: FinalReason?, rescued: Bool
  ) {
    self.record = record
    self.readyBy = readyBy
    self.readyAt = readyAt
    self.readySequence = readySequence
    self.startedSequence = startedSequence
    self.finishedSequence = finishedSequence
    self.statusAfter = statusAfter
    self.reason = reason
    self.rescued = rescued
  }

  /// At most so many events tell the end of an attempt.
  package static let mostEnds = 4

  package var events: [TaskEvent] {
    guard let outcome = record.outcome, let finishedAt = record.finishedAt else { return [] }
    var events: [TaskEvent] = []
    if readySequence > 0, let readyAt {
      events.append(TaskEvent(sequence: readySequence, type: .ready, at: readyAt, actor: Actor.readyBy(readyBy)))
    }
    events.append(
      TaskEvent(
        sequence: startedSequence, type: .started, at: record.startedAt, actor: record.worker,
        cause: "attempt \(record.number)"))
    for (offset, type) in Transition.events(outcome: outcome, status: statusAfter).enumerated() {
      let cause: String? =
        switch type {
        case .failed: outcome.rawValue
        case .dead, .cancelled: reason?.rawValue
        default: nil
        }
      events.append(
        TaskEvent(
          sequence: finishedSequence + offset, type: type, at: finishedAt,
          actor: rescued ? Actor.rescuer : record.worker, cause: cause))
    }
    return events
  }
}

extension Actor {
  /// `ready_by`
  package static func readyBy(_ code: Int64) -> String { code == 1 ? scheduler : api }
}

extension [AttemptRecord] {
  /// Puts what came with renewals, by the attempt's number, before what came with the report.
  package func with(sentBefore lines: [Int: [String]]) -> [AttemptRecord] {
    guard !lines.isEmpty else { return self }
    return map { record in
      guard let earlier = lines[record.number] else { return record }
      var record = record
      record.logs = keptLogs(earlier + record.logs)
      return record
    }
  }
}
