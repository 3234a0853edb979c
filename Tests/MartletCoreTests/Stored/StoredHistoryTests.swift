// A history put together from rows of which each was read at a time of its own.

import MartletCore
import Testing

@Suite struct StoredHistoryTests {
  private let start = Timestamp(milliseconds: 1_769_940_000_000)
  private let all = HistoryRange(after: 0, limit: 1000)

  /// Attempt 1 has failed and the task was retried by hand; of attempt 2, which runs, the run row tells.
  private var run: StoredRun {
    StoredRun(
      createdAt: start, submittedBy: nil, attempt: 2, sequence: 8, readyBy: 0, readyAt: start, readySequence: 0,
      startedAt: start, startedSequence: 8, worker: "w", outcome: nil, finishedAt: nil)
  }

  private let retried = [6, 7].map { sequence in
    TaskEvent(
      sequence: sequence, type: sequence == 6 ? .retried : .ready, at: Timestamp(milliseconds: 1_769_940_000_000),
      actor: "key")
  }

  private func ended(_ number: Int, started: Int, ready: Int = 0) -> StoredAttempt {
    StoredAttempt(
      record: AttemptRecord(
        number: number, worker: "w", startedAt: start, finishedAt: start, outcome: .failed, error: nil, logs: []),
      readyBy: 0, readyAt: start, readySequence: ready, startedSequence: started, finishedSequence: started + 1,
      statusAfter: .retry, reason: nil, rescued: false)
  }

  @Test func `what happened after the run row was read is not told`() {
    let later = TaskEvent(sequence: 11, type: .retried, at: start, actor: "key")
    let before = run.page(all, ended: [ended(1, started: 3, ready: 2)], told: retried)
    let after = run.page(
      all, ended: [ended(1, started: 3, ready: 2), ended(2, started: 8), ended(3, started: 13)], told: retried + [later]
    )
    #expect(before.elements.map(\.sequence) == Array(1...8))
    #expect(
      before.elements.map(\.type) == [.received, .ready, .started, .failed, .retry, .retried, .ready, .started])
    #expect(after == before)
  }

  @Test func `an attempt that ended after the run row was read is told as running, once`() {
    let before = run.page(all, ended: [ended(1, started: 3)], sentBefore: [:])
    let after = run.page(
      all, ended: [ended(1, started: 3), ended(2, started: 8), ended(3, started: 13)], sentBefore: [:])
    #expect(before.elements.map(\.outcome) == [.failed, nil])
    #expect(after == before)
  }

  @Test func `an attempt that had ended when the run row was read is told as it ended`() {
    var run = run
    (run.startedSequence, run.outcome, run.sequence) = (0, .failed, 10)
    let page = run.page(
      all, ended: [ended(1, started: 3), ended(2, started: 8), ended(3, started: 13)], sentBefore: [:])
    #expect(page.elements.map(\.number) == [1, 2])
    #expect(page.elements.map(\.outcome) == [.failed, .failed])
  }
}
