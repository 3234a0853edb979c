// Which workers elsewhere this node hears from. Their calls cost no write: a duty registers the new ones at once and the others
// every few seconds (`remoteWorkers` in `Duties`).

internal import MartletCore
internal import Synchronization

final class RemoteWorkers: Sendable {
  /// Rung when there is a new one.
  let alarm = Alarm()
  private let state = Mutex<[String: Known]>([:])

  private struct Known {
    var record: WorkerRecord
    /// Calls for work under way.
    var asking = 0
    var seenAt: MonotonicTime
    var registeredAt: MonotonicTime?
  }

  static let beat = Duration.seconds(10)
  /// More names than these are not listed; a client that thinks up names must not fill the memory.
  private static let most = 10_000

  /// A call for work begins.
  func asks(_ request: LeaseRequest, at now: MonotonicTime) {
    let record = WorkerRecord(
      id: request.worker, host: request.host, kind: .remote, types: Array(Set(request.types)).sorted(),
      queues: Array(Set(request.queues ?? [ClaimRequest.allQueues])).sorted(), running: 0,
      lastSeenAt: Timestamp(milliseconds: 0))
    let isNew = state.withLock { known in
      guard known.count < Self.most || known[request.worker] != nil else { return false }
      var worker = known[request.worker] ?? Known(record: record, seenAt: now)
      worker.record = record
      worker.asking += 1
      worker.seenAt = now
      known[request.worker] = worker
      return worker.registeredAt == nil
    }
    if isNew { alarm.ring() }
  }

  /// It ends.
  func asked(_ worker: String, at now: MonotonicTime) {
    state.withLock { known in
      guard var entry = known[worker] else { return }
      entry.asking = max(0, entry.asking - 1)
      entry.seenAt = now
      known[worker] = entry
    }
  }

  func seen(_ workers: Set<String>, at now: MonotonicTime) {
    guard !workers.isEmpty else { return }
    state.withLock { known in
      for worker in workers { known[worker]?.seenAt = now }
    }
  }

  /// Those to be registered now: new ones, and at each beat those that gave a sign of life since the last.
  func due(at now: MonotonicTime, running: [String: Int]) -> [WorkerRecord] {
    state.withLock { known in
      known = known.filter { $0.value.asking > 0 || now - $0.value.seenAt < WorkerRecord.lifetime }
      return known.values.compactMap { worker in
        if let last = worker.registeredAt {
          guard now - last >= Self.beat, worker.asking > 0 || worker.seenAt > last else { return nil }
        }
        var record = worker.record
        record.running = running[record.id] ?? 0
        return record
      }.sorted { $0.id < $1.id }
    }
  }

  func registered(_ worker: String, at now: MonotonicTime) {
    state.withLock { $0[worker]?.registeredAt = now }
  }
}
