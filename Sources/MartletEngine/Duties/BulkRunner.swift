// The duty that carries on actions in bulk: those with a rate, and those whose node has died. Part of the role `scheduler`.

internal import Logging
internal import MartletCore

extension PeriodicService {
  /// Rests until the next page of a job is due, or the bell tells of a new job.
  static func bulkRunner(_ engine: EngineParts) -> PeriodicService {
    PeriodicService(
      "bulk", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: engine.bulk
    ) { () throws(StoreError) in
      let due = try await engine.store.dueBulk()
      guard let id = due.job else { return min(due.nextIn ?? .seconds(5), .seconds(5)) }
      do throws(StoreError) {
        _ = try await engine.carryOn(bulk: id, hold: .zero)
      } catch {
        guard case .unusable(let message) = error else { throw error }
        // No repetition mends that: the job must not keep the others from their turn.
        engine.logger.error("an action in bulk failed: \(message)", metadata: ["bulk_id": "\(id)"])
        _ = try await engine.store.endBulk(id, error: message, actor: Actor.scheduler)
      }
      return .zero
    }
  }
}
