// What the engine counts about tasks as it goes: each call is one look-up of the lane's handles and an update or two of them,
// cheap enough for every submission and every attempt. Called by `TaskService`, the worker and the background services.

package import MartletCore
package import Metrics
internal import Synchronization

package final class TaskMetrics: Sendable {
  /// Lanes measured apart: clients choose the names, so there must be an end. Further ones are measured as `other`.
  private let laneLimit: Int
  private static let otherLane = Lane(queue: "other", type: "other")
  private let factory: any MetricsFactory
  private let lanes = Mutex<[Lane: LaneHandles]>([:])
  private let operations = Mutex<[String: any TimerHandler]>([:])
  private let queues = Mutex<[String: QueueGauges]>([:])
  private let sinks = Mutex<[String: SinkHandles]>([:])
  private let redis = Mutex<RedisHandles?>(nil)
  private let workers: any RecorderHandler
  private let leases: any RecorderHandler
  private let noticesWaiting: any RecorderHandler
  private let noticesOldest: any RecorderHandler
  private let notices = Mutex<[String: any CounterHandler]>([:])

  package init(factory: any MetricsFactory, laneLimit: Int = PrometheusRegistry.defaultSeriesLimit) {
    self.factory = factory
    self.laneLimit = laneLimit
    workers = factory.makeGauge(.workers)
    leases = factory.makeGauge(.leases)
    noticesWaiting = factory.makeGauge(.noticesWaiting)
    noticesOldest = factory.makeGauge(.noticesOldest)
  }

  package func submitted(_ lane: Lane, count: Int = 1) {
    handles(of: lane).submitted.increment(by: Int64(count))
  }

  package func started(_ lane: Lane, waited: Duration) {
    handles(of: lane).wait.recordNanoseconds(waited.wholeNanoseconds)
  }

  /// `duration` is nil where nobody measured, as when the worker fell silent: then the attempt is counted and not timed.
  package func ended(_ lane: Lane, outcome: AttemptOutcome, after duration: Duration?) {
    let handles = handles(of: lane)
    handles.attempts(outcome).increment(by: 1)
    if let duration { handles.run.recordNanoseconds(duration.wholeNanoseconds) }
  }

  package func retried(_ lane: Lane) {
    handles(of: lane).retries.increment(by: 1)
  }

  package func deadLettered(_ lane: Lane) {
    handles(of: lane).deadLetters.increment(by: 1)
  }

  package func leaseLost(_ lane: Lane) {
    handles(of: lane).leasesLost.increment(by: 1)
  }

  /// `operation` is one of the few names in the code, never a client's.
  package func storeCall(_ operation: String, took duration: Duration) {
    let timer = operations.withLock { operations in
      if let timer = operations[operation] { return timer }
      let timer = factory.makeTimer(label: MetricName.store.text, dimensions: [("operation", operation)])
      operations[operation] = timer
      return timer
    }
    timer.recordNanoseconds(duration.wholeNanoseconds)
  }

  /// `sink` is one of the few kinds that there are.
  package func delivered(_ events: Int, to sink: String) {
    handles(of: sink).delivered.increment(by: Int64(events))
  }

  package func setOutbox(_ sink: String, waiting: Int, oldest: Duration) {
    let handles = handles(of: sink)
    handles.waiting.record(Int64(waiting))
    handles.oldest.record(oldest.secondsAsDouble)
  }

  package func notice(_ channel: NoticeChannel, outcome: String) {
    let counter = notices.withLock { notices in
      let labels = [("channel", channel.rawValue), ("outcome", outcome)]
      let counter =
        notices["\(channel) \(outcome)"]
        ?? factory.makeCounter(label: MetricName.noticeDeliveries.text, dimensions: labels)
      notices["\(channel) \(outcome)"] = counter
      return counter
    }
    counter.increment(by: 1)
  }

  package func setNotices(_ waiting: Int, oldest: Duration) {
    noticesWaiting.record(Int64(waiting))
    noticesOldest.record(oldest.secondsAsDouble)
  }

  private func handles(of sink: String) -> SinkHandles {
    sinks.withLock { sinks in
      let handles = sinks[sink] ?? SinkHandles(sink, factory: factory)
      sinks[sink] = handles
      return handles
    }
  }

  package func setRedis(isUp: Bool) { handlesOfRedis.up.record(Int64(isUp ? 1 : 0)) }

  package func dispatched(claimed: Int, refused: Int) {
    handlesOfRedis.claimed.increment(by: Int64(claimed))
    handlesOfRedis.refused.increment(by: Int64(refused))
  }

  package func dispatchFellBack() { handlesOfRedis.fallbacks.increment(by: 1) }

  /// Made when first needed: most installations have no Redis.
  private var handlesOfRedis: RedisHandles {
    redis.withLock { redis in
      let handles = redis ?? RedisHandles(factory: factory)
      redis = handles
      return handles
    }
  }

  package func setWorkers(_ count: Int) { workers.record(Int64(count)) }
  package func setLeases(_ count: Int) { leases.record(Int64(count)) }

  /// Missing statuses count as 0.
  package func setQueue(_ queue: String, counts: [TaskStatus: Int], oldestReady: Double?) {
    queues.withLock { queues in
      let gauges = queues[queue] ?? QueueGauges(queue, factory: factory)
      for (status, gauge) in gauges.tasks { gauge.record(Int64(counts[status] ?? 0)) }
      gauges.oldestReady.record(oldestReady ?? 0)
      queues[queue] = gauges
    }
  }

  /// To be called after all `setQueue` of a round: a queue that is there no more shows 0 for one round and is then left out,
  /// so that queues of long ago do not use up the room for new ones.
  package func resetQueues(except present: Set<String>) {
    queues.withLock { queues in
      for (queue, gauges) in queues where !present.contains(queue) {
        if gauges.isReset {
          factory.destroyRecorder(gauges.oldestReady)
          for gauge in gauges.tasks.values { factory.destroyRecorder(gauge) }
          queues[queue] = nil
        } else {
          for gauge in gauges.tasks.values { gauge.record(Int64(0)) }
          gauges.oldestReady.record(0.0)
          queues[queue]?.isReset = true
        }
      }
      for queue in present { queues[queue]?.isReset = false }
    }
  }

  private func handles(of lane: Lane) -> LaneHandles {
    lanes.withLock { lanes in
      if let handles = lanes[lane] { return handles }
      let lane = lanes.count < laneLimit ? lane : Self.otherLane
      if let handles = lanes[lane] { return handles }
      let handles = LaneHandles(lane, factory: factory)
      lanes[lane] = handles
      return handles
    }
  }
}

private final class LaneHandles: Sendable {
  let submitted: any CounterHandler
  let retries: any CounterHandler
  let deadLetters: any CounterHandler
  let leasesLost: any CounterHandler
  let wait: any TimerHandler
  let run: any TimerHandler
  private let outcomes = Mutex<[AttemptOutcome: any CounterHandler]>([:])
  private let labels: [(String, String)]
  private let factory: any MetricsFactory

  init(_ lane: Lane, factory: any MetricsFactory) {
    let labels = [("queue", lane.queue), ("type", lane.type)]
    submitted = factory.makeCounter(label: MetricName.tasksSubmitted.text, dimensions: labels)
    retries = factory.makeCounter(label: MetricName.retries.text, dimensions: labels)
    deadLetters = factory.makeCounter(label: MetricName.deadLetters.text, dimensions: labels)
    leasesLost = factory.makeCounter(label: MetricName.leasesLost.text, dimensions: labels)
    wait = factory.makeTimer(label: MetricName.taskWait.text, dimensions: labels)
    run = factory.makeTimer(label: MetricName.taskRun.text, dimensions: labels)
    self.labels = labels
    self.factory = factory
  }

  /// Made when first needed: most lanes only ever see two or three of the outcomes.
  func attempts(_ outcome: AttemptOutcome) -> any CounterHandler {
    outcomes.withLock { outcomes in
      if let counter = outcomes[outcome] { return counter }
      let counter = factory.makeCounter(
        label: MetricName.attempts.text, dimensions: labels + [("outcome", outcome.rawValue)])
      outcomes[outcome] = counter
      return counter
    }
  }
}

private struct SinkHandles {
  let delivered: any CounterHandler
  let waiting: any RecorderHandler
  let oldest: any RecorderHandler

  init(_ sink: String, factory: any MetricsFactory) {
    delivered = factory.makeCounter(label: MetricName.eventsDelivered.text, dimensions: [("sink", sink)])
    waiting = factory.makeGauge(.outboxEvents, [("sink", sink)])
    oldest = factory.makeGauge(.outboxOldest, [("sink", sink)])
  }
}

private struct RedisHandles {
  let up: any RecorderHandler
  let claimed: any CounterHandler
  let refused: any CounterHandler
  let fallbacks: any CounterHandler

  init(factory: any MetricsFactory) {
    up = factory.makeGauge(.redisUp)
    claimed = factory.makeCounter(label: MetricName.dispatched.text, dimensions: [("result", "claimed")])
    refused = factory.makeCounter(label: MetricName.dispatched.text, dimensions: [("result", "refused")])
    fallbacks = factory.makeCounter(label: MetricName.dispatchFallbacks.text, dimensions: [])
  }
}

private struct QueueGauges {
  let tasks: [TaskStatus: any RecorderHandler]
  let oldestReady: any RecorderHandler
  /// Absent from the last round.
  var isReset = false

  init(_ queue: String, factory: any MetricsFactory) {
    tasks = Dictionary(
      uniqueKeysWithValues: TaskStatus.allCases.map { status in
        (status, factory.makeGauge(.queueTasks, [("queue", queue), ("status", status.rawValue)]))
      })
    oldestReady = factory.makeGauge(.queueOldestReady, [("queue", queue)])
  }
}

extension MetricsFactory {
  fileprivate func makeGauge(_ name: MetricName, _ labels: [(String, String)] = []) -> any RecorderHandler {
    makeRecorder(label: name.text, dimensions: labels, aggregate: false)
  }
}

extension Duration {
  /// Saturating; negative spans, which only clocks that were set back can give, count as zero.
  var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, overflowed) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflow || overflowed ? .max : sum
  }
}
