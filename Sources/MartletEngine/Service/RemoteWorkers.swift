// Which workers elsewhere this node hears from. Their calls cost no write: a duty registers the new ones at once and the others
// every few seconds (`remoteWorkers` in `Duties`).

internal import MartletCore
internal import Synchronization

final class RemoteWorkers: Sendable {
  /// Rung when there is a new one.
  let alarm = Alarm()
  private let state = Mutex<[String: Known]>([:])

  fileprivate struct Known {
    var host: String
    /// What it asks for, in one call or in turns.
    var types = Names()
    var queues = Names()
    /// Calls for work under way.
    var asking = 0
    var seenAt: MonotonicTime
    var registeredAt: MonotonicTime?
    /// What is registered, or about to be.
    var told: WorkerRecord?

    /// What it asks for is registered.
    var isTold: Bool {
      told.map { types.all.isSubset(of: $0.types) && queues.all.isSubset(of: $0.queues) } ?? false
    }
  }

  /// Names by when a call with them began or ended last.
  fileprivate struct Names {
    private var seen: [String: MonotonicTime] = [:]
    /// Several calls', each of which has at most a hundred.
    private static let most = 1000

    var all: Set<String> { Set(seen.keys) }

    mutating func see(_ names: [String], at now: MonotonicTime) {
      if seen.count > Self.most { seen = [:] }
      for name in names { seen[name] = now }
    }

    mutating func forget(before time: MonotonicTime) {
      seen = seen.filter { $0.value >= time }
    }
  }

  static let beat = Duration.seconds(10)
  /// More names than these are not listed; a client that thinks up names must not fill the memory.
  private static let most = 10_000

  /// A call for work begins.
  func asks(_ request: LeaseRequest, at now: MonotonicTime) {
    let hasNews = state.withLock { known in
      guard known.count < Self.most || known[request.worker] != nil else { return false }
      var worker = known[request.worker] ?? Known(host: request.host, seenAt: now)
      worker.host = request.host
      worker.see(request, at: now)
      worker.asking += 1
      known[request.worker] = worker
      return !worker.isTold
    }
    if hasNews { alarm.ring() }
  }

  /// It ends.
  func asked(_ request: LeaseRequest, at now: MonotonicTime) {
    state.withLock { known in
      guard var worker = known[request.worker] else { return }
      worker.asking = max(0, worker.asking - 1)
      worker.see(request, at: now)
      known[request.worker] = worker
    }
  }

  func seen(_ workers: Set<String>, at now: MonotonicTime) {
    guard !workers.isEmpty else { return }
    state.withLock { known in
      for worker in workers { known[worker]?.seenAt = now }
    }
  }

  /// Those to be registered now: new ones, those that ask for more than they did, and at each beat those that gave a sign of life
  /// since the last.
  func due(at now: MonotonicTime, running: [String: Int]) -> [WorkerRecord] {
    state.withLock { known in
      known = known.filter { $0.value.asking > 0 || now - $0.value.seenAt < WorkerRecord.lifetime }
      var due: [WorkerRecord] = []
      for (id, worker) in known {
        if let last = worker.registeredAt, worker.isTold {
          guard now - last >= Self.beat, worker.asking > 0 || worker.seenAt > last else { continue }
        }
        let record = worker.record(id, running: running[id] ?? 0)
        known[id]?.told = record
        due.append(record)
      }
      return due.sorted { $0.id < $1.id }
    }
  }

  func registered(_ worker: String, at now: MonotonicTime) {
    state.withLock { $0[worker]?.registeredAt = now }
  }
}

extension RemoteWorkers.Known {
  /// What it has not asked for as long as a silent worker is listed is not its own any more.
  mutating func see(_ request: LeaseRequest, at now: MonotonicTime) {
    types.see(request.types, at: now)
    queues.see(request.queues ?? [ClaimRequest.allQueues], at: now)
    if asking == 0 {
      types.forget(before: now + (.zero - WorkerRecord.lifetime))
      queues.forget(before: now + (.zero - WorkerRecord.lifetime))
    }
    seenAt = now
  }

  func record(_ id: String, running: Int) -> WorkerRecord {
    WorkerRecord(
      id: id, host: host, kind: .remote, types: types.all.sorted(), queues: queues.all.sorted(), running: running,
      lastSeenAt: Timestamp(milliseconds: 0))
  }
}
