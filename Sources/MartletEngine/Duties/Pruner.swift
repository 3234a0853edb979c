// The duty of forgetting, in small steps so that nobody waits for it. Part of the role `scheduler`.

internal import Logging
internal import MartletCore

extension PeriodicService {
  /// Final tasks and entries of the audit past their retention are deleted, a few at a time.
  static func pruner(_ engine: EngineParts) -> PeriodicService {
    PeriodicService("pruner", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      let policy = engine.tuning.current.retention
      let pruned = try await engine.timed("prune") { () throws(StoreError) in
        try await engine.store.prune(policy, limit: 500)
      }
      if pruned > 0 { engine.logger.debug("pruned \(pruned) tasks") }
      // An audit grows slowly; what it has too much of is found in its order.
      let forgotten = try await engine.store.pruneAudit(olderThan: AuditEntry.retention, limit: 500)
      let abandoned = try await engine.store.abandonNotices(limit: 500)
      if abandoned > 0 { engine.logger.error("\(abandoned) notices are given up: nobody could send them") }
      _ = try await engine.store.pruneBulk(olderThan: BulkJob.retention, limit: 500)
      // Some thousand tasks a second go so, more than come in.
      return max(pruned, forgotten) == 500 ? .milliseconds(50) : .seconds(10)
    }
  }
}
