// What is counted for a scrape and not as it happens. A scrape reads counts that the store keeps anyway, never tasks: it costs the
// same however many there are.

package import MartletCore

extension TaskService {
  /// Prometheus gives up after ten seconds, and then nothing of this node is known.
  private static let patience = Duration.seconds(5)

  /// Brings the gauges up to date. A scrape must not fail with the store: what cannot be counted now keeps its last value, and
  /// `martlet_store_up` says so.
  /// - Returns: what is wrong with the store; nil where nothing is.
  package func refreshGauges() async -> StoreError? {
    for relay in relays {
      parts.metrics.outside.setRelay(relay.name, isUp: relay.trouble == nil, isDelivering: relay.isDelivering)
    }
    notifier?.showChannels()
    if let accelerators { parts.metrics.outside.setRedis(isUp: accelerators.trouble() == nil) }
    let failure: StoreError? =
      switch await counting.ask(for: Self.patience) {
      case .success: nil
      case .failure(let error): error
      case nil: .unavailable("the store has given no answer to a scrape within \(Self.patience)")
      }
    parts.metrics.store.set(isUp: failure == nil)
    return failure
  }

  /// Asked by `counting` for all scrapes that wait for it.
  static func count(_ parts: EngineParts) async throws(StoreError) {
    let (store, metrics) = (parts.store, parts.metrics)
    // A full disk, or a server that has become a standby, can still be read.
    try await parts.timed("check") { () throws(StoreError) in try await store.check() }
    let counts = try await parts.timed("counts") { () throws(StoreError) in try await store.counts() }
    let oldest = try await parts.timed("oldest-ready") { () throws(StoreError) in try await store.oldestReady() }
    let settings = try await parts.timed("queue-settings") { () throws(StoreError) in
      try await store.queueSettings()
    }
    let workers = try await parts.timed("workers") { () throws(StoreError) in try await store.workers() }
    let sinks = try await parts.timed("sinks") { () throws(StoreError) in try await store.sinks() }
    let notices = try await parts.timed("waiting-notices") { () throws(StoreError) in
      try await store.waitingNotices()
    }
    let now = try await parts.storeTime.now()

    metrics.depths.set(depths(counts, oldest, settings.keys.map(\.self), now: now))
    metrics.depths.set(withoutWorker: waiting(counts, besides: workers))
    metrics.setWorkers(workers.count)
    for sink in sinks {
      metrics.outside.setOutbox(
        sink.name, waiting: sink.waiting, oldest: sink.oldest.map { max(.zero, now - $0) } ?? .zero)
    }
    metrics.outside.setNotices(notices.count, oldest: notices.oldest.map { max(.zero, now - $0) } ?? .zero)
  }

  private static func depths(
    _ counts: [TaskCount], _ oldest: [String: Timestamp], _ known: [String], now: Timestamp
  ) -> [QueueDepth] {
    let counted = Dictionary(grouping: counts, by: \.lane.queue)
    return Set(counted.keys).union(known).sorted().map { queue in
      QueueDepth(
        queue,
        counts: counted[queue, default: []].reduce(into: [:]) { $0[$1.status, default: 0] += $1.count },
        oldestReady: oldest[queue].map { max(0, (now - $0).secondsAsDouble) })
    }
  }

  /// READY tasks by the lanes that none of the workers takes from.
  private static func waiting(_ counts: [TaskCount], besides workers: [WorkerRecord]) -> [Lane: Int] {
    let served = workers.reduce(into: [String: Set<String>]()) { served, worker in
      for type in worker.types { served[type, default: []].formUnion(worker.queues) }
    }
    return counts.reduce(into: [:]) { waiting, count in
      let queues = served[count.lane.type, default: []]
      guard count.status == .ready, !queues.contains(count.lane.queue), !queues.contains(ClaimRequest.allQueues)
      else { return }
      waiting[count.lane, default: 0] += count.count
    }
  }
}
