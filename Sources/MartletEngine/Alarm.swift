// The two ways of waiting inside the engine: an `Alarm` that somebody may ring early, and a `PeriodicService`, on which every
// background duty is built.

package import Logging
package import MartletCore
internal import Synchronization

/// Wakes one waiter. Rings that come while nobody waits are kept, as one.
package final class Alarm: Sendable {
  private let state = Mutex(State())

  private struct State {
    var isRung = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  package init() {}

  package func ring() {
    let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard let waiter = state.waiter else {
        state.isRung = true
        return nil
      }
      state.waiter = nil
      return waiter
    }
    waiter?.resume()
  }

  /// Returns when rung (perhaps before), or when the task is cancelled.
  package func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isRung = state.withLock { state -> Bool in
          if state.isRung || Task.isCancelled {
            state.isRung = false
            return true
          }
          state.waiter = continuation
          return false
        }
        if isRung { continuation.resume() }
      }
    } onCancel: {
      ring()
    }
  }

  /// Also returns at `deadline`.
  package func wait(until deadline: MonotonicTime, on clock: any EngineClock) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        do {
          try await clock.sleep(until: deadline)
          self.ring()
        } catch {}  // cancelled: somebody else rang
      }
      await wait()
      group.cancelAll()
    }
  }
}

/// A duty done again and again until its task is cancelled. A failing store is asked again after a growing pause, and told of
/// once.
package struct PeriodicService: Sendable {
  let name: String
  let clock: any EngineClock
  let random: RandomSource
  let logger: Logger
  let alarm: Alarm
  /// Does the duty and says how long to rest; a ring of the alarm ends the rest early.
  let body: @Sendable () async throws(StoreError) -> Duration

  package init(
    _ name: String, clock: any EngineClock, random: RandomSource, logger: Logger, alarm: Alarm = Alarm(),
    body: @escaping @Sendable () async throws(StoreError) -> Duration
  ) {
    self.name = name
    self.clock = clock
    self.random = random
    self.logger = logger
    self.alarm = alarm
    self.body = body
  }

  package func run() async {
    var backoff = Backoff(random: random)
    while !Task.isCancelled {
      let rest: Duration
      do throws(StoreError) {
        rest = try await body()
        if backoff.succeeded() { logger.info("works again", metadata: ["duty": "\(name)"]) }
      } catch {
        if backoff.isFirst { logger.error("\(error.message)", metadata: ["duty": "\(name)"]) }
        rest = backoff.failed()
      }
      if rest > .zero { await alarm.wait(until: clock.now + rest, on: clock) }
    }
  }
}

/// Pauses between attempts to reach a store that fails: 50 ms, doubling up to 2 s, each shortened at random by up to half.
struct Backoff: Sendable {
  private let random: RandomSource
  private var failures = 0

  init(random: RandomSource) {
    self.random = random
  }

  var isFirst: Bool { failures == 0 }

  /// True when it had failed before.
  mutating func succeeded() -> Bool {
    defer { failures = 0 }
    return failures > 0
  }

  mutating func failed() -> Duration {
    let longest = min(2000, 50 << min(failures, 6))
    failures += 1
    return .milliseconds(longest - random.below(longest / 2))
  }
}

extension Bool {
  /// What it was before: so that the first failure of many is told, and the first success after them.
  mutating func turn(to value: Bool) -> Bool {
    defer { self = value }
    return self
  }
}
