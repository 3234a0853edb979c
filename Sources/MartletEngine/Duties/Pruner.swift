// The duty of forgetting, in small steps so that nobody waits for it. Part of the role `scheduler`.

internal import Logging
internal import MartletCore

extension PeriodicService {
  /// Final tasks past their retention are deleted, a few at a time.
  static func pruner(_ engine: EngineParts, policy: RetentionPolicy) -> PeriodicService {
    PeriodicService("pruner", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      let pruned = try await engine.timed("prune") { () throws(StoreError) in
        try await engine.store.prune(policy, limit: 500)
      }
      if pruned > 0 { engine.logger.debug("pruned \(pruned) tasks") }
      return pruned == 500 ? .milliseconds(100) : .seconds(10)
    }
  }
}
