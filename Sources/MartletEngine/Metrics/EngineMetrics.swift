// Both ways of counting behind one door: the series for `/metrics`, and the last minute for `/stats`.

internal import MartletCore

final class EngineMetrics: Sendable {
  private let series: TaskMetrics
  private let recent: RecentRates
  private let clock: any EngineClock

  init(_ series: TaskMetrics, clock: any EngineClock) {
    self.series = series
    self.clock = clock
    recent = RecentRates(since: clock.now)
  }

  func submitted(_ lane: Lane, count: Int) {
    series.submitted(lane, count: count)
    recent.submitted(count, to: lane.queue, at: clock.now)
  }

  func started(_ lane: Lane, waited: Duration) {
    series.started(lane, waited: waited)
    recent.started(waited: waited, at: clock.now)
  }

  /// `ran` is nil where nobody measured: the worker fell silent.
  func ended(_ lane: Lane, outcome: AttemptOutcome, after ran: Duration?) {
    series.ended(lane, outcome: outcome, after: ran)
    if let ran { recent.ended(lane.queue, after: ran, at: clock.now) }
  }

  /// What an ended attempt left its task in.
  func settled(_ lane: Lane, _ status: TaskStatus) {
    switch status {
    case .retry: series.retried(lane)
    case .dead: series.deadLettered(lane)
    default: break
    }
  }

  func leaseLost(_ lane: Lane) {
    series.leaseLost(lane)
  }

  func storeCall(_ operation: String, took duration: Duration) {
    series.storeCall(operation, took: duration)
  }

  func delivered(_ events: Int, to sink: String) {
    series.delivered(events, to: sink)
  }

  func setOutbox(_ sinks: [(name: String, waiting: Int, oldest: Duration)]) {
    for sink in sinks { series.setOutbox(sink.name, waiting: sink.waiting, oldest: sink.oldest) }
  }

  func notice(_ channel: NoticeChannel, outcome: String) { series.notice(channel, outcome: outcome) }
  func setNotices(_ waiting: Int, oldest: Duration) { series.setNotices(waiting, oldest: oldest) }
  func setAccelerator(isUp: Bool) { series.setRedis(isUp: isUp) }
  func dispatched(claimed: Int, refused: Int) { series.dispatched(claimed: claimed, refused: refused) }
  func dispatchFellBack() { series.dispatchFellBack() }

  func setLeases(_ count: Int) { series.setLeases(count) }
  func setWorkers(_ count: Int) { series.setWorkers(count) }

  func setQueues(_ queues: [(name: String, counts: [TaskStatus: Int], oldestReady: Double?)]) {
    for queue in queues { series.setQueue(queue.name, counts: queue.counts, oldestReady: queue.oldestReady) }
    series.resetQueues(except: Set(queues.map(\.name)))
  }

  var lastMinute: RecentRates.Summary { recent.summary(at: clock.now) }
}
