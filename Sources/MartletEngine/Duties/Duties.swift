// The background duties of the role `scheduler`, and the heartbeat of a worker: each one call of the store, again and again.

internal import Logging
internal import MartletCore
internal import Synchronization

extension PeriodicService {
  /// Due tasks become READY, expired ones CANCELLED. Rests until the next is due, or until the bell tells of an earlier one.
  static func promoter(_ engine: EngineParts) -> PeriodicService {
    let alarm = Alarm()
    engine.wakeUp.onDue { _ in alarm.ring() }
    let lastLook = Mutex(MonotonicTime(nanoseconds: .min / 2))
    return PeriodicService(
      "promoter", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      // However many rings come, the store is asked at most fifty times a second.
      let earliest = lastLook.withLock(\.self) + .milliseconds(20)
      if earliest > engine.clock.now { try? await engine.clock.sleep(until: earliest) }  // cancelled: the service ends
      let promotion = try await engine.timed("promote") { () throws(StoreError) in
        try await engine.store.promote(limit: 500)
      }
      engine.wakeUp.work(in: promotion.lanes)
      guard promotion.nextIn != .zero else { return .zero }
      lastLook.withLock { $0 = engine.clock.now }
      return min(promotion.nextIn ?? .seconds(5), .seconds(5))  // whatever was missed is found
    }
  }

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

  /// Keeps the estimate of the store's time.
  static func storeTime(_ engine: EngineParts) -> PeriodicService {
    PeriodicService("store-time", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      try await engine.storeTime.refresh()
      return .seconds(10)
    }
  }
}
