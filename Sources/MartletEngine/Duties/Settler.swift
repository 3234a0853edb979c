// The duty that carries on where the end of a task concerns more others than one transaction should touch. Part of the role
// `scheduler`.

internal import MartletCore

extension PeriodicService {
  /// Tasks that wait for ended ones are told of it. Rests until the bell says that something was left over.
  static func settler(_ engine: EngineParts) -> PeriodicService {
    let alarm = Alarm()
    engine.wakeUp.onUnsettled { alarm.ring() }
    return PeriodicService(
      "settler", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      let settlement = try await engine.timed("settle") { () throws(StoreError) in
        try await engine.store.settle(limit: 500)
      }
      engine.wakeUp.work(in: settlement.lanes)
      return settlement.isPartial ? .zero : .seconds(5)
    }
  }
}
