// Tells the store of ended attempts, as many at once as have gathered while the calls before were under way. A slot need not
// wait for it: the lease is held until the answer is there, and a store that is down is asked again until it listens.

internal import Logging
internal import MartletCore
internal import Synchronization

final class Reporter: Sendable {
  struct Report: Sendable {
    var task: ClaimedTask
    var finish: Finish
    var ranFor: Duration
    var trace: AttemptTrace?
    /// When the handler was done.
    var endedAt: SpanSource.Moment?
    /// The call that told it, where it is traced.
    var call: Call?

    /// The end of its spans, once its verdict is there.
    func endTrace(_ verdict: FinishVerdict, isStored: Bool) {
      guard let trace, let endedAt else { return }
      if isStored, let call { trace.reported(from: call.begin, to: call.end, batch: call.batch) }
      switch verdict {
      case .applied(let status):
        trace.end(finish.outcome.attemptOutcome, error: finish.outcome.error, status: status, at: endedAt)
      case .lost: trace.end(.lost, error: Outcome.lost.error, status: nil, at: endedAt)
      }
    }
  }

  struct Call: Sendable {
    var begin: SpanSource.Moment
    var end: SpanSource.Moment
    var batch: Int
  }

  private let source: any WorkSource
  private let clock: any EngineClock
  private let random: RandomSource
  private let logger: Logger
  private let onVerdict: @Sendable (Report, FinishVerdict) -> Void
  private let alarm = Alarm()
  private let state = Mutex(State())
  /// Reports that may wait for their answer; slots stop for more, so that memory is bounded while the store is down.
  private let capacity: Int
  private let lanes: Int
  private static let largestBatch = 1000

  private struct State {
    var waiting: [Report] = []
    /// Reports under way, and the calls that carry them.
    var told = 0
    var calls = 0
    var isFailing = false
    var isClosed = false
    var blocked: [CheckedContinuation<Void, Never>] = []

    var count: Int { waiting.count + told }
  }

  /// - Parameters:
  ///   - lanes: calls in flight at once; reports of different attempts are in no order.
  ///   - onVerdict: told once per report, when the store has answered.
  init(
    source: any WorkSource, clock: any EngineClock, random: RandomSource, logger: Logger, capacity: Int, lanes: Int,
    onVerdict: @escaping @Sendable (Report, FinishVerdict) -> Void
  ) {
    self.source = source
    self.clock = clock
    self.random = random
    self.logger = logger
    self.capacity = capacity
    self.lanes = lanes
    self.onVerdict = onVerdict
  }

  /// Returns when there is room for it, not when it is told.
  func report(_ report: Report) async {
    let isFull = state.withLock { state in
      state.waiting.append(report)
      return state.count > capacity
    }
    alarm.ring()
    guard isFull else { return }
    await withCheckedContinuation { continuation in
      let isFull = state.withLock { state in
        guard state.count > capacity, !state.isClosed else { return false }
        state.blocked.append(continuation)
        return true
      }
      if !isFull { continuation.resume() }
    }
  }

  /// What waits is still told; then `run` returns.
  func close() {
    state.withLock { $0.isClosed = true }
    alarm.ring()
  }

  /// Runs until closed and all is told, or cancelled.
  func run() async {
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled {
        switch next() {
        case .tell(let batch): group.addTask { await self.tell(batch) }
        case .wait: await alarm.wait()
        case .done: return
        }
      }
    }
    unblock()
  }

  private enum Step {
    case tell([Report])
    case wait
    case done
  }

  private func next() -> Step {
    state.withLock { state in
      if state.waiting.isEmpty { return state.isClosed ? .done : .wait }
      guard state.calls < lanes else { return .wait }
      let batch = Array(state.waiting.prefix(Self.largestBatch))
      state.waiting.removeFirst(batch.count)
      state.told += batch.count
      state.calls += 1
      return .tell(batch)
    }
  }

  /// Until the store has answered, or the task is cancelled.
  private func tell(_ batch: [Report]) async {
    var backoff = Backoff(random: random)
    let spans = batch.lazy.compactMap(\.trace?.spans).first
    while !Task.isCancelled {
      do throws(StoreError) {
        let begin = spans?.now
        let verdicts = try await source.finish(batch.map(\.finish))
        let call = begin.flatMap { begin in spans.map { Call(begin: begin, end: $0.now, batch: batch.count) } }
        if state.withLock({ $0.isFailing.turn(to: false) }) { logger.info("reporting works again") }
        finished(batch.count)
        for (report, verdict) in zip(batch, verdicts) {
          var report = report
          report.call = call
          onVerdict(report, verdict)
        }
        return
      } catch {
        // A repeated report gets the same answer, so an unknown outcome is no trouble.
        if !state.withLock({ $0.isFailing.turn(to: true) }) {
          logger.error("cannot report \(batch.count) ended attempts: \(error.message)")
        }
        try? await clock.sleep(for: backoff.failed())  // cancelled: the loop ends
      }
    }
  }

  private func finished(_ count: Int) {
    let hasRoom = state.withLock { state in
      state.told -= count
      state.calls -= 1
      return state.count <= capacity
    }
    if hasRoom { unblock() }
    alarm.ring()
  }

  private func unblock() {
    let blocked = state.withLock { state in
      defer { state.blocked = [] }
      return state.blocked
    }
    for continuation in blocked { continuation.resume() }
  }
}
