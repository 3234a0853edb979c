// The duty that finds workers which fell silent: the only other actor if anything dies between claim and finish. Part of the
// role `scheduler`.

internal import Logging
internal import MartletCore
internal import Synchronization

extension PeriodicService {
  /// Attempts whose leases are over end LOST or TIMED_OUT. After an outage of the store those who hold results get a moment to
  /// report them first: their leases ended because nobody could renew them, and the work is done.
  static func rescuer(_ engine: EngineParts) -> PeriodicService {
    let outage = Mutex(Outage())
    return PeriodicService("rescuer", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      do throws(StoreError) {
        if outage.withLock(\.isOne) {
          _ = try await engine.store.now()
          outage.withLock { $0.end() }
          return Outage.grace
        }
        let rescue = try await engine.timed("rescue") { () throws(StoreError) in
          try await engine.store.rescue(limit: 500, randomness: engine.random.fraction())
        }
        outage.withLock { $0.end() }
        for rescued in rescue.rescued { tell(of: rescued, engine) }
        if let spans = engine.spans { await trace(rescue.rescued, spans, engine) }
        return rescue.isPartial ? .zero : .milliseconds(500)
      } catch {
        outage.withLock { $0.failed(at: engine.clock.now) }
        throw error
      }
    }
  }

  /// Their workers are gone and tell nothing. Of many that went together the first stand for all.
  private static func trace(_ rescued: [Rescue.Rescued], _ spans: SpanSource, _ engine: EngineParts) async {
    do throws(StoreError) {
      let some = rescued.prefix(20)
      guard !some.isEmpty else { return }
      for (rescued, record) in zip(some, try await engine.store.tasks(some.map(\.id))) {
        guard let record else { continue }
        // It may have been claimed again meanwhile.
        let latest = try await engine.store.attempts(of: record.id, after: max(0, record.attempt - 2), limit: 2)
        guard let attempt = latest?.elements.last(where: { $0.outcome == rescued.outcome }) else { continue }
        AttemptTrace.lost(record, attempt, by: spans)
      }
    } catch {
      engine.logger.debug("lost attempts are not traced: \(error.message)")
    }
  }

  private static func tell(of rescued: Rescue.Rescued, _ engine: EngineParts) {
    engine.logger.warning(
      "an attempt ended without a word from its worker",
      metadata: [
        "task_id": "\(rescued.id)", "type": "\(rescued.lane.type)", "outcome": "\(rescued.outcome.rawValue)",
        "status": "\(rescued.status.rawValue)",
      ])
    engine.metrics.ended(rescued.lane, outcome: rescued.outcome, after: nil)
    engine.settled(rescued.id, lane: rescued.lane, status: rescued.status)
  }
}

/// Failures of the store that last longer than the shortest lease; a single one is none.
private struct Outage {
  /// A little longer than the longest pause between two attempts to report (`Backoff`).
  static let grace = Duration.seconds(3)

  private var since: MonotonicTime?
  private(set) var isOne = false

  mutating func failed(at now: MonotonicTime) {
    let since = since ?? now
    self.since = since
    if now - since >= .seconds(1) { isOne = true }
  }

  mutating func end() {
    (since, isOne) = (nil, false)
  }
}
