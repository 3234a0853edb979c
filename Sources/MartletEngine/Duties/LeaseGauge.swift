// How many leases this node holds, for `/metrics`.

internal import MartletCore

extension PeriodicService {
  static func leaseGauge(_ engine: EngineParts, leases: @escaping @Sendable () -> Int) -> PeriodicService {
    PeriodicService("lease-gauge", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      engine.metrics.setLeases(leases())
      return .seconds(5)
    }
  }
}
