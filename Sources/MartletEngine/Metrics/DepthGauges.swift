// What waits where, as the store tells it at each scrape: part of `TaskMetrics`. Names of queues and types are chosen by clients, so
// there must be an end: what is beyond it is told together as `other`.

internal import MartletCore
internal import Metrics
internal import Synchronization

struct QueueDepth: Sendable, Hashable {
  var name: String
  /// Missing statuses count as 0.
  var counts: [TaskStatus: Int]
  var oldestReady: Double?

  init(_ name: String, counts: [TaskStatus: Int], oldestReady: Double?) {
    self.name = name
    self.counts = counts
    self.oldestReady = oldestReady
  }
}

final class DepthGauges: Sendable {
  private let factory: any MetricsFactory
  private let queueLimit: Int
  private let laneLimit: Int
  private let queues = Mutex<[String: QueueGauges]>([:])
  private let lanes = Mutex<[Lane: LaneGauge]>([:])

  init(factory: any MetricsFactory, queueLimit: Int, laneLimit: Int) {
    self.factory = factory
    self.queueLimit = queueLimit
    self.laneLimit = laneLimit
  }

  /// All queues that there are. One that is there no more shows 0 for one round and is then left out, so that queues of long ago do
  /// not use up the room for new ones.
  func set(_ all: [QueueDepth]) {
    queues.withLock { queues in
      var kept = kept(of: all.map(\.name), known: { queues[$0] != nil }, limit: queueLimit)
      if kept.count < all.count { kept.remove(Lane.other.queue) }  // somebody's own queue of that name
      var apart = all.filter { kept.contains($0.name) }
      let rest = all.filter { !kept.contains($0.name) }
      if !rest.isEmpty { apart.append(Self.sum(rest)) }
      for queue in apart {
        var gauges = queues[queue.name] ?? QueueGauges(queue.name, factory: factory)
        gauges.show(queue)
        queues[queue.name] = gauges
      }
      let present = Set(apart.map(\.name))
      for (name, gauges) in queues where !present.contains(name) {
        queues[name] = gauges.isReset ? nil : gauges.reset()
        if gauges.isReset { gauges.destroy(factory) }
      }
    }
  }

  /// The lanes whose READY tasks nobody takes, with how many these are.
  func set(withoutWorker all: [Lane: Int]) {
    lanes.withLock { lanes in
      let largest = all.sorted { ($0.value, $1.key.queue, $1.key.type) > ($1.value, $0.key.queue, $0.key.type) }
      let kept = kept(of: largest.map(\.key), known: { lanes[$0] != nil }, limit: laneLimit)
      var apart = all.filter { kept.contains($0.key) }
      let rest = all.filter { !kept.contains($0.key) }
      if !rest.isEmpty { apart[.other, default: 0] += rest.values.reduce(0, +) }
      for (lane, count) in apart {
        let gauge = lanes[lane] ?? LaneGauge(lane, factory: factory)
        gauge.handle.record(Int64(count))
        lanes[lane] = LaneGauge(handle: gauge.handle)
      }
      for (lane, gauge) in lanes where apart[lane] == nil {
        gauge.handle.record(Int64(0))
        if gauge.isReset { factory.destroyRecorder(gauge.handle) }
        lanes[lane] = gauge.isReset ? nil : LaneGauge(handle: gauge.handle, isReset: true)
      }
    }
  }

  /// At most so many; those that are told apart already stay so, and the others follow in their order.
  private func kept<Name: Hashable>(of all: [Name], known: (Name) -> Bool, limit: Int) -> Set<Name> {
    if all.count <= limit { return Set(all) }
    return Set((all.filter(known) + all.filter { !known($0) }).prefix(limit))
  }

  private static func sum(_ queues: [QueueDepth]) -> QueueDepth {
    queues.reduce(into: QueueDepth(Lane.other.queue, counts: [:], oldestReady: nil)) { sum, queue in
      sum.counts.merge(queue.counts, uniquingKeysWith: +)
      sum.oldestReady = [sum.oldestReady, queue.oldestReady].compactMap(\.self).max()
    }
  }
}

extension Lane {
  /// All those that are not told apart.
  static let other = Lane(queue: "other", type: "other")
}

private struct LaneGauge {
  let handle: any RecorderHandler
  /// Absent from the last round.
  var isReset = false

  init(handle: any RecorderHandler, isReset: Bool = false) {
    self.handle = handle
    self.isReset = isReset
  }

  init(_ lane: Lane, factory: any MetricsFactory) {
    handle = factory.makeGauge(.tasksWithoutWorker, [("queue", lane.queue), ("type", lane.type)])
  }
}

private struct QueueGauges {
  private let tasks: [TaskStatus: any RecorderHandler]
  private let oldestReady: any RecorderHandler
  /// Absent from the last round.
  private(set) var isReset = false

  init(_ queue: String, factory: any MetricsFactory) {
    tasks = Dictionary(
      uniqueKeysWithValues: TaskStatus.allCases.map { status in
        (status, factory.makeGauge(.queueTasks, [("queue", queue), ("status", status.rawValue)]))
      })
    oldestReady = factory.makeGauge(.queueOldestReady, [("queue", queue)])
  }

  mutating func show(_ depth: QueueDepth) {
    for (status, gauge) in tasks { gauge.record(Int64(depth.counts[status] ?? 0)) }
    oldestReady.record(depth.oldestReady ?? 0)
    isReset = false
  }

  func reset() -> QueueGauges {
    var gauges = self
    gauges.show(QueueDepth("", counts: [:], oldestReady: nil))
    gauges.isReset = true
    return gauges
  }

  func destroy(_ factory: any MetricsFactory) {
    factory.destroyRecorder(oldestReady)
    for gauge in tasks.values { factory.destroyRecorder(gauge) }
  }
}
