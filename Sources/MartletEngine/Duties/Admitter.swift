// The duty that keeps the lines for concurrency keys moving, where a store does not do it in the transactions that free a slot.
// Part of the role `scheduler`.

internal import MartletCore

extension PeriodicService {
  /// Free slots are given to those that wait for them, and given on by those whom nobody takes.
  static func admitter(_ engine: EngineParts) -> PeriodicService {
    let alarm = Alarm()
    engine.wakeUp.onUnadmitted { alarm.ring() }
    return PeriodicService(
      "admitter", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      let admission = try await engine.timed("admit") { () throws(StoreError) in
        try await engine.store.admit(limit: 500)
      }
      engine.wakeUp.work(in: admission.lanes)
      return admission.isPartial ? .zero : min(admission.nextIn ?? .seconds(5), .seconds(5))
    }
  }
}
