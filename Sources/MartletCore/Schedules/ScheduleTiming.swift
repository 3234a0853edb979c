// When a schedule recurs: as a definition that can be compared and kept, and as a timing that knows its ticks. The scheduler
// asks the timing, the API shows it.

/// One of the two ways to say when.
package enum Recurrence: Sendable, Hashable {
  /// By the clocks of a time zone of the IANA database.
  case cron(CronExpression, timeZone: String)
  /// In steps of the same length, at least a second, counted from when the schedule was created.
  case every(milliseconds: Int64)
}

/// The ticks of a recurrence: the moments at which tasks are due. They follow from the recurrence, the anchor and the rules of
/// the zone alone, so that all nodes agree on them, before and after a restart.
package struct ScheduleTiming: Sendable {
  private let ticks: Ticks

  private enum Ticks {
    case cron(CronTimes)
    case every(IntervalTimes)
  }

  /// `anchor` is what intervals are counted from: the schedule's time of creation. Cron takes no notice of it.
  package init(_ recurrence: Recurrence, anchor: Timestamp, zones: ZoneDatabase) throws(ZoneProblem) {
    switch recurrence {
    case .cron(let expression, let timeZone):
      ticks = .cron(CronTimes(expression: expression, zone: try zones.rules(named: timeZone)))
    case .every(let milliseconds):
      ticks = .every(IntervalTimes(period: milliseconds, anchor: anchor.withinCalendar.milliseconds))
    }
  }

  /// The first tick later than this; nil only where it would be after the year 9999.
  package func next(after time: Timestamp) -> Timestamp? {
    let time = time.withinCalendar
    return switch ticks {
    case .cron(let times):
      times.first(after: time.wholeSeconds, through: Timestamp.latest.wholeSeconds).map(Timestamp.init(wholeSeconds:))
    case .every(let times):
      times.first(after: time.milliseconds, through: Timestamp.latest.milliseconds).map(Timestamp.init(milliseconds:))
    }
  }

  /// The first ticks later than this, at most `count`.
  package func next(_ count: Int, after time: Timestamp) -> [Timestamp] {
    var found: [Timestamp] = []
    while found.count < count, let tick = next(after: found.last ?? time) { found.append(tick) }
    return found
  }

  /// The last tick that is later than `lower` and not later than `upper`, at a cost that does not depend on how many there are.
  package func latest(after lower: Timestamp, through upper: Timestamp) -> Timestamp? {
    let (lower, upper) = (lower.withinCalendar, upper.withinCalendar)
    return switch ticks {
    case .cron(let times):
      times.last(after: lower.wholeSeconds, through: upper.wholeSeconds).map(Timestamp.init(wholeSeconds:))
    case .every(let times):
      times.last(after: lower.milliseconds, through: upper.milliseconds).map(Timestamp.init(milliseconds:))
    }
  }
}

/// All times are milliseconds since 1970-01-01T00:00:00Z.
private struct IntervalTimes: Sendable {
  let period: Int64
  let anchor: Int64

  func first(after lower: Int64, through upper: Int64) -> Int64? {
    let tick = anchor + (floorDivide(lower - anchor, period) + 1) * period
    return tick <= upper ? tick : nil
  }

  func last(after lower: Int64, through upper: Int64) -> Int64? {
    let tick = anchor + floorDivide(upper - anchor, period) * period
    return tick > lower ? tick : nil
  }
}

extension Timestamp {
  fileprivate init(wholeSeconds: Int64) {
    self.init(milliseconds: wholeSeconds * 1000)
  }

  /// Ticks of cron are on whole seconds, so that nothing is lost between this and the time itself.
  fileprivate var wholeSeconds: Int64 {
    floorDivide(milliseconds, 1000)
  }

  fileprivate var withinCalendar: Timestamp {
    min(max(self, .earliest), .latest)
  }
}
