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

  var store: StoreMetrics { series.store }
  var depths: DepthGauges { series.depths }
  var outside: OutsideMetrics { series.outside }

  func setWorkers(_ count: Int) { series.setWorkers(count) }

  func setWorker(slots: Int, busy: Int, leases: Int) { series.setWorker(slots: slots, busy: busy, leases: leases) }

  var lastMinute: RecentRates.Summary { recent.summary(at: clock.now) }
}
