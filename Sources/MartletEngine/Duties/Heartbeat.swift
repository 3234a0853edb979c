// A worker says that it lives, so that it is listed and its types count as handled.

internal import MartletCore

extension PeriodicService {
  static func heartbeat(_ engine: EngineParts, worker: WorkerRecord, running: @escaping @Sendable () -> Int)
    -> PeriodicService
  {
    PeriodicService("heartbeat", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      var record = worker
      record.running = running()
      try await engine.store.register(record)
      return .seconds(10)
    }
  }
}
