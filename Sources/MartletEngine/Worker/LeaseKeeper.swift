// Holds on to the leases of a worker: renews them together at a third of their length, tells an attempt when its time is up,
// when its cancellation was asked for, and to stop before a lease ends that could not be renewed. All on the monotonic clock,
// counted from before each call was sent.

internal import Logging
internal import MartletCore
internal import Synchronization

final class LeaseKeeper: Sendable {
  private let source: any WorkSource
  private let clock: any EngineClock
  private let logger: Logger
  private let alarm = Alarm()
  private let held = Mutex<[LeaseID: Held]>([:])
  private let nextWake = Mutex(MonotonicTime(nanoseconds: .max))

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

    /// When to look at it next.
    var nextLook: MonotonicTime { isStopped ? renewAt : min(renewAt, deadline, stopAt) }
    /// Early enough for a handler to stop before the lease is somebody else's.
    var stopAt: MonotonicTime { endsAt < deadline ? endsAt + (.zero - min(length / 10, .seconds(2))) : deadline }
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
    held.withLock { $0[task.lease] = entry }
    wake(by: entry.nextLook)
  }

  /// Whether its work may still be begun: a process that stood still may have lost it meanwhile.
  func mayBegin(_ lease: LeaseID) -> Bool {
    let now = clock.now
    return held.withLock { held in held[lease].map { !$0.isStopped && $0.stopAt > now } ?? false }
  }

  func letGo(_ lease: LeaseID) {
    _ = held.withLock { $0.removeValue(forKey: lease) }
  }

  var count: Int { held.withLock(\.count) }

  /// Asks about this task's lease now rather than at its next renewal.
  func nudge(_ id: TaskID) {
    let now = clock.now
    let isHeld = held.withLock { held in
      guard let lease = held.keys.first(where: { $0.task == id }) else { return false }
      held[lease]?.renewAt = now
      return true
    }
    if isHeld { wake(by: now) }
  }

  func run() async {
    while !Task.isCancelled {
      let wakeAt = held.withLock { held in held.values.lazy.map(\.nextLook).min() }
      nextWake.withLock { $0 = wakeAt ?? MonotonicTime(nanoseconds: .max) }
      if let wakeAt {
        if wakeAt > clock.now { await alarm.wait(until: wakeAt, on: clock) }
      } else {
        await alarm.wait()
      }
      if Task.isCancelled { return }
      stopOverdue()
      await renewDue()
    }
  }

  private func wake(by time: MonotonicTime) {
    let isEarlier = nextWake.withLock { next in
      guard time < next else { return false }
      next = time
      return true
    }
    if isEarlier { alarm.ring() }
  }

  private func stopOverdue() {
    let now = clock.now
    let stopped = held.withLock { held -> [(AttemptSignal, StopCause)] in
      var stopped: [(AttemptSignal, StopCause)] = []
      for (lease, entry) in held where !entry.isStopped && entry.stopAt <= now {
        held[lease]?.isStopped = true
        stopped.append((entry.signal, entry.stopAt == entry.deadline ? .timedOut : .leaseLost))
      }
      return stopped
    }
    for (signal, cause) in stopped { signal.stop(cause) }
  }

  private func renewDue() async {
    let sentAt = clock.now
    let due = held.withLock { held in
      held.compactMap { lease, entry in entry.renewAt <= sentAt ? (lease: lease, context: entry.context) : nil }
    }
    guard !due.isEmpty else { return }
    do throws(StoreError) {
      let verdicts = try await source.renew(due.map { Renewal(lease: $0.lease, progress: $0.context.takeProgress()) })
      for ((lease, _), verdict) in zip(due, verdicts) { note(verdict, of: lease, sentAt: sentAt) }
    } catch {
      logger.warning("cannot renew \(due.count) leases: \(error.message)")
      held.withLock { held in
        for (lease, _) in due {
          guard let entry = held[lease] else { continue }
          held[lease]?.renewAt = clock.now + entry.length / 10
        }
      }
    }
  }

  private func note(_ verdict: RenewalVerdict, of lease: LeaseID, sentAt: MonotonicTime) {
    let stop = held.withLock { held -> (AttemptSignal, StopCause)? in
      guard var entry = held[lease] else { return nil }
      defer { held[lease] = entry }
      switch verdict {
      case .renewed(_, let expiresIn), .cancelRequested(_, let expiresIn):
        entry.endsAt = sentAt + expiresIn
        entry.renewAt = sentAt + entry.length / 3
        if case .cancelRequested = verdict { return (entry.signal, .cancelRequested) }
        return nil
      case .lost:
        entry.isStopped = true
        entry.renewAt = MonotonicTime(nanoseconds: .max)
        return (entry.signal, .leaseLost)
      }
    }
    if let (signal, cause) = stop { signal.stop(cause) }
  }
}
