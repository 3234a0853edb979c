// Bounds the event stream in time. Runs where the stream is fed: those nodes know how long it is to be kept.

internal import MartletCore

extension PeriodicService {
  static func streamPruner(_ engine: EngineParts, kept: Duration) -> PeriodicService {
    PeriodicService("stream-pruner", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      let pruned = try await engine.timed("prune-stream") { () throws(StoreError) in
        try await engine.store.pruneStream(olderThan: kept, limit: 1000)
      }
      // A page a 20th of a second is more than any relay writes.
      return pruned == 1000 ? .milliseconds(50) : max(.milliseconds(500), min(.seconds(10), kept / 4))
    }
  }
}
