// Holds on to the leases of a worker: renews them together at a third of their length, tells an attempt when its time is up,
// when its cancellation was asked for, and to stop before a lease ends that could not be renewed. All on the monotonic clock,
// counted from before each call was sent; a call that takes long keeps nobody from being stopped in time.

internal import Logging
internal import MartletCore
internal import Synchronization

final class LeaseKeeper: Sendable {
  private let source: any WorkSource
  private let clock: any EngineClock
  private let logger: Logger
  private let alarm = Alarm()
  private let state = Mutex(State())
  private let isFailing = Mutex(false)

  private struct State {
    var held: [LeaseID: Held] = [:]
    /// When `run` looks at them next. Guarded together with them, or one that is added just then would be overlooked.
    var nextWake = MonotonicTime.far

    /// True if `run` has to be woken for it.
    mutating func mustWake(by time: MonotonicTime) -> Bool {
      guard time < nextWake else { return false }
      nextWake = time
      return true
    }

    mutating func planWake() -> MonotonicTime {
      nextWake = held.values.lazy.map(\.nextLook).min() ?? .far
      return nextWake
    }
  }

  private struct Held {
    let signal: AttemptSignal
    let context: AttemptContext
    let length: Duration
    /// The lease's end as far as this process can know.
    var endsAt: MonotonicTime
    /// The attempt's end by its timeout.
    let deadline: MonotonicTime
    var renewAt: MonotonicTime
    var isStopped = false
    /// Asked about while a renewal was under way, which may have been too early to know.
    var isNudged = false
    var isRenewing = false

    /// When to look at it next.
    var nextLook: MonotonicTime {
      let renewal = isRenewing ? .far : renewAt
      return isStopped ? renewal : min(renewal, deadline, stopAt)
    }
    /// Early enough for a handler to stop before the lease is somebody else's.
    var stopAt: MonotonicTime { endsByTimeout ? min(endsAt, deadline) : endsAt + (.zero - margin) }
    /// No lease goes past the attempt's timeout. From far away such a one seems to end a little before it, by the time that the
    /// answer was under way.
    var endsByTimeout: Bool { deadline - endsAt < margin }
    private var margin: Duration { min(length / 10, .seconds(2)) }
  }

  init(source: any WorkSource, clock: any EngineClock, logger: Logger) {
    self.source = source
    self.clock = clock
    self.logger = logger
  }

  /// - Parameter sentAt: when the claim that won it was sent.
  func hold(_ task: ClaimedTask, sentAt: MonotonicTime, context: AttemptContext, signal: AttemptSignal) {
    let entry = Held(
      signal: signal, context: context, length: task.leaseDuration, endsAt: sentAt + task.expiresIn,
      deadline: sentAt + task.timeout, renewAt: sentAt + task.leaseDuration / 3)
    let mustWake = state.withLock { state in
      state.held[task.lease] = entry
      return state.mustWake(by: entry.nextLook)
    }
    if mustWake { alarm.ring() }
  }

  /// Whether its work may still be begun: a process that stood still may have lost it meanwhile.
  func mayBegin(_ lease: LeaseID) -> Bool {
    let now = clock.now
    return state.withLock { state in state.held[lease].map { !$0.isStopped && $0.stopAt > now } ?? false }
  }

  func letGo(_ lease: LeaseID) {
    _ = state.withLock { $0.held.removeValue(forKey: lease) }
  }

  var count: Int { state.withLock(\.held.count) }

  /// Asks about this task's lease now rather than at its next renewal.
  func nudge(_ id: TaskID) {
    let now = clock.now
    let mustWake = state.withLock { state in
      guard let lease = state.held.keys.first(where: { $0.task == id }) else { return false }
      state.held[lease]?.renewAt = now
      state.held[lease]?.isNudged = true
      return state.mustWake(by: now)
    }
    if mustWake { alarm.ring() }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled {
        let wakeAt = state.withLock { $0.planWake() }
        if wakeAt == .far {
          await alarm.wait()
        } else if wakeAt > clock.now {
          await alarm.wait(until: wakeAt, on: clock)
        }
        if Task.isCancelled { return }
        stopOverdue()
        let sentAt = clock.now
        let due = takeDue(at: sentAt)
        if !due.isEmpty { group.addTask { await self.renew(due, sentAt: sentAt) } }
      }
    }
  }

  private func stopOverdue() {
    let now = clock.now
    let stopped = state.withLock { state -> [(AttemptSignal, StopCause)] in
      var stopped: [(AttemptSignal, StopCause)] = []
      for (lease, entry) in state.held where !entry.isStopped && entry.stopAt <= now {
        state.held[lease]?.isStopped = true
        stopped.append((entry.signal, entry.endsByTimeout ? .timedOut : .leaseLost))
      }
      return stopped
    }
    for (signal, cause) in stopped { signal.stop(cause) }
  }

  private func takeDue(at now: MonotonicTime) -> [(lease: LeaseID, context: AttemptContext)] {
    state.withLock { state in
      var due: [(lease: LeaseID, context: AttemptContext)] = []
      for (lease, entry) in state.held where !entry.isRenewing && entry.renewAt <= now {
        state.held[lease]?.isRenewing = true
        state.held[lease]?.isNudged = false
        due.append((lease, entry.context))
      }
      return due
    }
  }

  private func renew(_ due: [(lease: LeaseID, context: AttemptContext)], sentAt: MonotonicTime) async {
    do throws(StoreError) {
      let verdicts = try await source.renew(due.map { Renewal(lease: $0.lease, news: $0.context.takeNews()) })
      for (_, context) in due { context.newsAreStored() }
      if isFailing.withLock({ $0.turn(to: false) }) { logger.info("renewing works again") }
      for ((lease, _), verdict) in zip(due, verdicts) { note(verdict, of: lease, sentAt: sentAt) }
    } catch {
      if !isFailing.withLock({ $0.turn(to: true) }) {
        logger.warning("cannot renew \(due.count) leases: \(error.message)")
      }
      for (_, context) in due { context.newsAreNotStored() }
      let now = clock.now
      state.withLock { state in
        for (lease, _) in due {
          guard let entry = state.held[lease] else { continue }
          state.held[lease]?.isRenewing = false
          state.held[lease]?.renewAt = now + entry.length / 10
        }
      }
    }
    alarm.ring()  // there are new times to wake by
  }

  private func note(_ verdict: RenewalVerdict, of lease: LeaseID, sentAt: MonotonicTime) {
    let stop = state.withLock { state -> (AttemptSignal, StopCause)? in
      guard var entry = state.held[lease] else { return nil }
      defer { state.held[lease] = entry }
      entry.isRenewing = false
      switch verdict {
      case .renewed(_, let expiresIn), .cancelRequested(_, let expiresIn):
        entry.endsAt = sentAt + expiresIn
        entry.renewAt = entry.isNudged ? clock.now : sentAt + entry.length / 3
        if case .cancelRequested = verdict { return (entry.signal, .cancelRequested) }
        return nil
      case .lost:
        entry.isStopped = true
        entry.renewAt = .far
        return (entry.signal, .leaseLost)
      }
    }
    if let (signal, cause) = stop { signal.stop(cause) }
  }
}

extension MonotonicTime {
  fileprivate static let far = MonotonicTime(nanoseconds: .max)
}

extension Renewal {
  fileprivate init(lease: LeaseID, news: (progress: Progress?, logs: [String])) {
    self.init(lease: lease, progress: news.progress, logs: news.logs)
  }
}
