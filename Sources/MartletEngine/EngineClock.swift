// Time inside the engine: monotonic, and only ever from here. Wall-clock time is the store's alone. Tests and simulation bring
// a clock of their own.

/// A moment on this process's monotonic clock.
package struct MonotonicTime: Hashable, Comparable, Sendable {
  package var nanoseconds: Int64

  package init(nanoseconds: Int64) {
    self.nanoseconds = nanoseconds
  }

  package static func < (left: MonotonicTime, right: MonotonicTime) -> Bool { left.nanoseconds < right.nanoseconds }

  package static func + (time: MonotonicTime, duration: Duration) -> MonotonicTime {
    let (seconds, attoseconds) = duration.components
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, overflowed) = time.nanoseconds.addingReportingOverflow(scaled &+ attoseconds / 1_000_000_000)
    guard !overflow, !overflowed else { return MonotonicTime(nanoseconds: seconds < 0 ? .min : .max) }
    return MonotonicTime(nanoseconds: sum)
  }

  package static func - (left: MonotonicTime, right: MonotonicTime) -> Duration {
    .nanoseconds(left.nanoseconds - right.nanoseconds)
  }
}

package protocol EngineClock: Sendable {
  var now: MonotonicTime { get }
  /// Throws `CancellationError` as soon as the task is cancelled.
  func sleep(until deadline: MonotonicTime) async throws
}

extension EngineClock {
  package func sleep(for duration: Duration) async throws {
    try await sleep(until: now + duration)
  }
}

/// The system's clock that goes on while the machine sleeps, as leases do.
package struct SystemClock: EngineClock {
  private let origin = ContinuousClock.now

  package init() {}

  package var now: MonotonicTime {
    MonotonicTime(nanoseconds: 0) + origin.duration(to: ContinuousClock.now)
  }

  package func sleep(until deadline: MonotonicTime) async throws {
    try await Task.sleep(until: origin + .nanoseconds(deadline.nanoseconds), tolerance: .zero, clock: .continuous)
  }
}
