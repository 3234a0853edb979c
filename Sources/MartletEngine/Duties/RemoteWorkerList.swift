// Workers elsewhere are listed while they give signs of life to this node, and what they left behind is forgotten.

internal import MartletCore

extension PeriodicService {
  static func remoteWorkers(_ engine: EngineParts, _ workers: RemoteWorkers, _ book: LeaseBook) -> PeriodicService {
    PeriodicService(
      "remote-workers", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: workers.alarm
    ) { () throws(StoreError) in
      let now = engine.clock.now
      book.forgetEnded(before: now + (.zero - WorkerRecord.lifetime))
      for record in workers.due(at: now, running: book.running(at: now)) {
        try await engine.store.register(record)
        workers.registered(record.id, at: now)
      }
      return RemoteWorkers.beat / 2
    }
  }
}
