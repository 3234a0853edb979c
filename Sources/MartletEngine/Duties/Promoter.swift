// The duty that lets time pass: what is due becomes READY. Part of the role `scheduler`.

internal import MartletCore
internal import Synchronization

extension PeriodicService {
  /// Due tasks become READY, expired ones CANCELLED. Rests until the next is due, or until the bell tells of an earlier one.
  static func promoter(_ engine: EngineParts) -> PeriodicService {
    let alarm = Alarm()
    let plan = Mutex(PromotionPlan())
    engine.wakeUp.onDue { duration in
      let time = engine.clock.now + duration
      if plan.withLock({ $0.mustLook(by: time) }) { alarm.ring() }
    }
    return PeriodicService(
      "promoter", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      let pause = plan.withLock { $0.begin(at: engine.clock.now) }
      guard pause <= .zero else { return pause }
      do throws(StoreError) {
        let promotion = try await engine.timed("promote") { () throws(StoreError) in
          try await engine.store.promote(limit: 500)
        }
        engine.wakeUp.work(in: promotion.lanes)
        return plan.withLock { $0.end(at: engine.clock.now, nextIn: promotion.nextIn) }
      } catch {
        plan.withLock { $0.nextLook = engine.clock.now }
        throw error
      }
    }
  }
}

/// When to look for due tasks. A ring for a later time than is planned already costs nothing.
private struct PromotionPlan {
  var nextLook = MonotonicTime(nanoseconds: .min / 2)
  /// However many rings come, the store is asked at most fifty times a second.
  private var earliest = MonotonicTime(nanoseconds: .min / 2)

  /// True if that is earlier than was planned.
  mutating func mustLook(by time: MonotonicTime) -> Bool {
    guard time < nextLook else { return false }
    nextLook = time
    return true
  }

  /// How long there is to wait yet. If nothing, a look begins: whoever rings from now on may have come too late for it.
  mutating func begin(at now: MonotonicTime) -> Duration {
    let pause = max(nextLook, earliest) - now
    if pause <= .zero { nextLook = MonotonicTime(nanoseconds: .max) }
    return pause
  }

  /// How long to rest.
  mutating func end(at now: MonotonicTime, nextIn: Duration?) -> Duration {
    if nextIn == .zero {
      nextLook = now
      return .zero
    }
    earliest = now + .milliseconds(20)
    nextLook = min(nextLook, now + min(nextIn ?? .seconds(5), .seconds(5)))  // whatever was missed is found
    return max(nextLook, earliest) - now
  }
}
