// How much this node's worker has to do, for `/metrics`.

internal import MartletCore

extension PeriodicService {
  static func workerGauge(_ engine: EngineParts, _ worker: Worker) -> PeriodicService {
    PeriodicService("worker-gauge", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      engine.metrics.setWorker(slots: worker.slots, busy: worker.busy, leases: worker.leases)
      return .seconds(5)
    }
  }
}
