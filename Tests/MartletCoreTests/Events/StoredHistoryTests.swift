// A task's history from rows that were not read at one moment.

import Testing

@testable import MartletCore

@Suite struct StoredHistoryTests {
  private static let time = Timestamp(milliseconds: 1_800_000_000_000)

  /// As it was while its first attempt ran.
  private static let run = StoredRun(
    createdAt: time, submittedBy: nil, attempt: 1, sequence: 3, readyBy: 0, readyAt: time, readySequence: 2,
    startedAt: time, startedSequence: 3, worker: "w", outcome: nil, finishedAt: nil)

  /// The same attempt, when it had failed a moment later.
  private static let ended = StoredAttempt(
    record: AttemptRecord(
      number: 1, worker: "w", startedAt: time, finishedAt: time + .seconds(1), outcome: .failed, error: nil, logs: []),
    readyBy: 0, readyAt: time, readySequence: 2, startedSequence: 3, finishedSequence: 4, statusAfter: .retry,
    reason: nil, rescued: false)

  @Test func `an attempt that ends while its task is read is told once`() {
    let range = HistoryRange(after: 0, limit: 100)
    let events = Self.run.page(range, ended: [Self.ended], told: []).elements
    #expect(events.map(\.sequence) == [1, 2, 3, 4, 5])
    #expect(events.map(\.type) == [.received, .ready, .started, .failed, .retry])
    let attempts = Self.run.page(range, ended: [Self.ended], sentBefore: [:]).elements
    #expect(attempts.map(\.number) == [1])
    #expect(attempts.first?.outcome == .failed, "as it ended")
  }
}
