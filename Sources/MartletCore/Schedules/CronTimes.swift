// The moments at which a cron expression runs in a time zone. A zone is a row of periods in which its clocks run evenly; the
// calendar is searched within them, and the rules for what a jump skips or repeats are applied between them.

/// All times are whole seconds since 1970-01-01T00:00:00Z.
struct CronTimes: Sendable {
  let expression: CronExpression
  let zone: ZoneRules

  /// The first moment later than `lower` and not later than `upper`.
  func first(after lower: Int64, through upper: Int64) -> Int64? {
    guard lower < upper else { return nil }
    var earliest = lower + 1
    while earliest <= upper {
      let stretch = stretch(at: earliest)
      if let gap = stretch.madeUp, gap >= earliest { return gap <= upper ? gap : nil }
      if let found = stretch.first(from: earliest, through: upper, expression) { return found }
      guard stretch.end <= upper else { return nil }
      earliest = stretch.end
    }
    return nil
  }

  /// The last such moment.
  func last(after lower: Int64, through upper: Int64) -> Int64? {
    guard lower < upper else { return nil }
    var latest = upper
    while latest > lower {
      let stretch = stretch(at: latest)
      if let found = stretch.last(from: lower + 1, through: latest, expression) { return found }
      if let gap = stretch.madeUp, gap <= latest { return gap > lower ? gap : nil }
      guard stretch.start > lower else { return nil }
      latest = stretch.start - 1
    }
    return nil
  }

  /// What happens in the period to which a moment belongs.
  private func stretch(at second: Int64) -> Stretch {
    let period = zone.period(at: second)
    var stretch = Stretch(start: period.start, end: period.end, offset: period.offset)
    guard let shown = latestShown(before: period) else { return stretch }
    let begin = period.start + period.offset
    if begin < shown, !expression.runsEveryHour {
      stretch.repeatedUntil = shown
    }
    if begin > shown, !expression.runsEveryHour, expression.first(in: minutes(from: shown, to: begin)) != nil {
      stretch.madeUp = period.start
    }
    return stretch
  }

  /// Up to where, exclusively, the zone's clocks had come at any time before a period. Clocks a few days ahead do not exist, so
  /// older periods cannot matter.
  private func latestShown(before period: ZoneRules.Period) -> Int64? {
    guard period.start > ZoneRules.earliest else { return nil }
    var earlier = zone.period(at: period.start - 1)
    var latest = earlier.end + earlier.offset
    while earlier.start > max(period.start - 3 * 86_400, ZoneRules.earliest) {
      earlier = zone.period(at: earlier.start - 1)
      latest = max(latest, earlier.end + earlier.offset)
    }
    return latest
  }
}

/// A period of a zone as one expression sees it.
private struct Stretch {
  let start: Int64
  /// Exclusive.
  let end: Int64
  /// Local time less UTC.
  let offset: Int64
  /// Local times before this one have been before and do not run again.
  var repeatedUntil: Int64?
  /// The start, if something has to be made up for there.
  var madeUp: Int64?

  func first(from: Int64, through upper: Int64, _ expression: CronExpression) -> Int64? {
    expression.first(in: range(from, upper)).map { Int64($0) * 60 - offset }
  }

  func last(from: Int64, through upper: Int64, _ expression: CronExpression) -> Int64? {
    expression.last(in: range(from, upper)).map { Int64($0) * 60 - offset }
  }

  /// The local minutes that begin between two moments of the period, except repeated ones.
  private func range(_ lower: Int64, _ upper: Int64) -> Range<Int> {
    let from = max(lower, start) + offset
    let to = min(upper, end - 1) + offset + 1
    return minutes(from: repeatedUntil.map { max(from, $0) } ?? from, to: to)
  }
}

/// The minutes that begin in `from..<to`, both in seconds.
private func minutes(from: Int64, to: Int64) -> Range<Int> {
  let lower = floorDivide(from + 59, 60)
  let upper = floorDivide(to + 59, 60)
  return Int(lower)..<Int(max(lower, upper))
}
