// What the engine counts about tasks as it goes: each call is one look-up of the lane's handles and an update or two of them,
// cheap enough for every submission and every attempt. Called by `TaskService`, the worker and the background services.

package import MartletCore
package import Metrics
internal import Synchronization

package final class TaskMetrics: Sendable {
  /// Lanes measured apart: clients choose the names, so there must be an end. Further ones are measured as `other`.
  private let laneLimit: Int
  private let factory: any MetricsFactory
  private let lanes = Mutex<[Lane: LaneHandles]>([:])
  let store: StoreMetrics
  let depths: DepthGauges
  let outside: OutsideMetrics
  private let workers: any RecorderHandler
  private let worker = Mutex<WorkerGauges?>(nil)

  package init(
    factory: any MetricsFactory, laneLimit: Int = 1000, queueLimit: Int = 500, withoutWorkerLimit: Int = 100
  ) {
    self.factory = factory
    self.laneLimit = laneLimit
    store = StoreMetrics(factory: factory)
    depths = DepthGauges(factory: factory, queueLimit: queueLimit, laneLimit: withoutWorkerLimit)
    outside = OutsideMetrics(factory: factory)
    workers = factory.makeGauge(.workers)
  }

  package func submitted(_ lane: Lane, count: Int = 1) {
    handles(of: lane).submitted.increment(by: Int64(count))
  }

  package func started(_ lane: Lane, waited: Duration) {
    let handles = handles(of: lane)
    handles.started.increment(by: 1)
    handles.wait.recordNanoseconds(waited.wholeNanoseconds)
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

  /// Of all nodes.
  package func setWorkers(_ count: Int) { workers.record(Int64(count)) }

  /// Of the worker of this node.
  package func setWorker(slots: Int, busy: Int, leases: Int) {
    let gauges = worker.withLock { worker in
      let gauges = worker ?? WorkerGauges(factory: factory)
      worker = gauges
      return gauges
    }
    gauges.slots.record(Int64(slots))
    gauges.busy.record(Int64(busy))
    gauges.leases.record(Int64(leases))
  }

  private func handles(of lane: Lane) -> LaneHandles {
    lanes.withLock { lanes in
      if let handles = lanes[lane] { return handles }
      let lane = lanes.count < laneLimit ? lane : .other
      if let handles = lanes[lane] { return handles }
      let handles = LaneHandles(lane, factory: factory)
      lanes[lane] = handles
      return handles
    }
  }
}

/// Made when first needed: a node without the role `worker` has none.
private struct WorkerGauges {
  let slots: any RecorderHandler
  let busy: any RecorderHandler
  let leases: any RecorderHandler

  init(factory: any MetricsFactory) {
    slots = factory.makeGauge(.workerSlots)
    busy = factory.makeGauge(.workerBusy)
    leases = factory.makeGauge(.leases)
  }
}

private final class LaneHandles: Sendable {
  let submitted: any CounterHandler
  let started: any CounterHandler
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
    started = factory.makeCounter(label: MetricName.attemptsStarted.text, dimensions: labels)
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

extension MetricsFactory {
  func makeGauge(_ name: MetricName, _ labels: [(String, String)] = []) -> any RecorderHandler {
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
