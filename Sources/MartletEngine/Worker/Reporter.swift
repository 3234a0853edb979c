// Tells the store of ended attempts, as many at once as have gathered while the call before was under way. A slot need not wait
// for it: the lease is held until the answer is there, and a store that is down is asked again until it listens.

internal import Logging
internal import MartletCore
internal import Synchronization

final class Reporter: Sendable {
  struct Report: Sendable {
    var task: ClaimedTask
    var finish: Finish
    var ranFor: Duration
  }

  private let source: any WorkSource
  private let clock: any EngineClock
  private let random: RandomSource
  private let logger: Logger
  private let onVerdict: @Sendable (Report, FinishVerdict) -> Void
  private let alarm = Alarm()
  private let state = Mutex(State())
  /// Reports that may wait; slots stop for more, so that memory is bounded while the store is down.
  private let capacity: Int

  private struct State {
    var waiting: [Report] = []
    var isClosed = false
    var blocked: [CheckedContinuation<Void, Never>] = []
  }

  /// - Parameter onVerdict: told once per report, when the store has answered.
  init(
    source: any WorkSource, clock: any EngineClock, random: RandomSource, logger: Logger, capacity: Int,
    onVerdict: @escaping @Sendable (Report, FinishVerdict) -> Void
  ) {
    self.source = source
    self.clock = clock
    self.random = random
    self.logger = logger
    self.capacity = capacity
    self.onVerdict = onVerdict
  }

  /// Returns when there is room for it, not when it is told.
  func report(_ report: Report) async {
    let isFull = state.withLock { state in
      state.waiting.append(report)
      return state.waiting.count > capacity
    }
    alarm.ring()
    guard isFull else { return }
    await withCheckedContinuation { continuation in
      let isFull = state.withLock { state in
        guard state.waiting.count > capacity, !state.isClosed else { return false }
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

  /// Runs until closed and empty, or cancelled.
  func run() async {
    defer { unblock() }
    var backoff = Backoff(random: random)
    while !Task.isCancelled {
      let (batch, isClosed) = state.withLock { state in (Array(state.waiting.prefix(1000)), state.isClosed) }
      if batch.isEmpty {
        if isClosed { return }
        await alarm.wait()
        continue
      }
      do throws(StoreError) {
        let verdicts = try await source.finish(batch.map(\.finish))
        if backoff.succeeded() { logger.info("reporting works again") }
        free(batch.count)
        for (report, verdict) in zip(batch, verdicts) { onVerdict(report, verdict) }
      } catch {
        // A repeated report gets the same answer, so an unknown outcome is no trouble.
        if backoff.isFirst { logger.error("cannot report \(batch.count) ended attempts: \(error.message)") }
        try? await clock.sleep(for: backoff.failed())  // cancelled: the loop ends
      }
    }
  }

  private func free(_ count: Int) {
    let hasRoom = state.withLock { state in
      state.waiting.removeFirst(count)
      return state.waiting.count <= capacity
    }
    if hasRoom { unblock() }
  }

  private func unblock() {
    let blocked = state.withLock { state in
      defer { state.blocked = [] }
      return state.blocked
    }
    for continuation in blocked { continuation.resume() }
  }
}
