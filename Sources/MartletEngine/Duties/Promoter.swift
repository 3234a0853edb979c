// The duty that lets time pass: what is due becomes READY. Part of the role `scheduler`.

internal import MartletCore
internal import Synchronization

extension PeriodicService {
  /// Due tasks become READY, expired ones CANCELLED. Rests until the next is due, or until the bell tells of an earlier one.
  static func promoter(_ engine: EngineParts) -> PeriodicService {
    let alarm = Alarm()
    engine.wakeUp.onDue { _ in alarm.ring() }
    let lastLook = Mutex(MonotonicTime(nanoseconds: .min / 2))
    return PeriodicService(
      "promoter", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      // However many rings come, the store is asked at most fifty times a second.
      let earliest = lastLook.withLock(\.self) + .milliseconds(20)
      if earliest > engine.clock.now { try? await engine.clock.sleep(until: earliest) }  // cancelled: the service ends
      let promotion = try await engine.timed("promote") { () throws(StoreError) in
        try await engine.store.promote(limit: 500)
      }
      engine.wakeUp.work(in: promotion.lanes)
      guard promotion.nextIn != .zero else { return .zero }
      lastLook.withLock { $0 = engine.clock.now }
      return min(promotion.nextIn ?? .seconds(5), .seconds(5))  // whatever was missed is found
    }
  }
}
