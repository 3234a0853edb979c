// The duty that finds workers which fell silent: the only other actor if anything dies between claim and finish. Part of the
// role `scheduler`.

internal import Logging
internal import MartletCore

extension PeriodicService {
  /// Attempts whose leases are over end LOST or TIMED_OUT.
  static func rescuer(_ engine: EngineParts) -> PeriodicService {
    PeriodicService("rescuer", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      let rescue = try await engine.timed("rescue") { () throws(StoreError) in
        try await engine.store.rescue(limit: 500, randomness: engine.random.fraction())
      }
      for rescued in rescue.rescued {
        engine.logger.warning(
          "an attempt ended without a word from its worker",
          metadata: [
            "task_id": "\(rescued.id)", "type": "\(rescued.lane.type)", "outcome": "\(rescued.outcome.rawValue)",
            "status": "\(rescued.status.rawValue)",
          ])
        engine.metrics.ended(rescued.lane, outcome: rescued.outcome, after: nil)
        engine.settled(rescued.id, lane: rescued.lane, status: rescued.status)
      }
      return rescue.isPartial ? .zero : .milliseconds(500)
    }
  }
}
