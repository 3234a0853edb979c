// A time zone: since when its clocks have been how far ahead of UTC, and how they will go on. `ZoneFile` reads it from the
// IANA database, `CronTimes` asks it.

/// Offsets from UTC over time. All times are seconds since 1970-01-01T00:00:00Z, without leap seconds.
package struct ZoneRules: Sendable, Hashable {
  package let name: String
  /// When the offset changed, ascending.
  let changes: [Int64]
  /// Since each of `changes`, in seconds.
  let offsets: [Int64]
  /// Before the first change.
  let initialOffset: Int64
  /// What holds after the last change.
  let future: ZoneFuture?

  /// A stretch of time in which the offset stays the same. The next one may have the same offset.
  struct Period: Hashable {
    let start: Int64
    /// Exclusive.
    let end: Int64
    /// Local time less UTC.
    let offset: Int64
  }

  package static let utc = ZoneRules(name: "UTC", changes: [], offsets: [], initialOffset: 0, future: nil)

  /// What the zone's clocks show at a moment, as RFC 3339 with the offset: `2026-03-29T03:00:00+02:00`. Offsets with seconds, of
  /// the time before there were zones, are cut to minutes.
  package func local(_ time: Timestamp) -> String {
    let offset = period(at: floorDivide(time.milliseconds, 1000)).offset / 60 * 60
    let shown = Timestamp(milliseconds: time.milliseconds + offset * 1000).description.prefix(19)
    let minutes = abs(offset) / 60
    func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(shown)\(offset < 0 ? "-" : "+")\(two(minutes / 60)):\(two(minutes % 60))"
  }

  /// Far from anything that a calendar with four digits for the year can say, and from overflow.
  static let earliest: Int64 = -1_000_000_000_000
  static let latest: Int64 = 1_000_000_000_000

  /// The period to which a moment belongs.
  func period(at second: Int64) -> Period {
    let second = min(max(second, Self.earliest), Self.latest - 1)
    let lastChange = changes.last ?? Self.earliest
    if second >= lastChange, let future {
      return future.period(at: second, since: lastChange, offset: offsets.last ?? initialOffset)
    }
    let next = changes.partitioningIndex { $0 > second }
    return Period(
      start: next == 0 ? Self.earliest : changes[next - 1],
      end: next == changes.count ? Self.latest : changes[next],
      offset: next == 0 ? initialOffset : offsets[next - 1])
  }
}

/// Daylight saving time for ever after, two changes each year.
struct ZoneFuture: Sendable, Hashable {
  let standardOffset: Int64
  let daylightOffset: Int64
  let daylightBegins: YearlyMoment
  let daylightEnds: YearlyMoment

  /// A day of each year, and the seconds from its midnight on the clock that is in force until then; they may be negative, or
  /// more than a day.
  struct YearlyMoment: Sendable, Hashable {
    var day: Day
    var seconds: Int64

    enum Day: Sendable, Hashable {
      /// 1…365, without counting the 29th of February.
      case julian(Int)
      /// 0…365, counting it.
      case ofYear(Int)
      /// Month, which one of that weekday in it (5: the last), weekday with 0 for Sunday.
      case weekday(month: Int, week: Int, day: Int)
    }
  }

  /// `since` is the last change that the zone's table has, and `offset` is what holds from then on.
  func period(at second: Int64, since: Int64, offset: Int64) -> ZoneRules.Period {
    let year = Timestamp.date(daysSinceEpoch: Int(floorDivide(second, 86_400))).year
    var start = since
    var current = offset
    // The yearly moments may lie a week outside of their year, and so before those of the year before.
    let around = (year - 1...year + 1).flatMap(changes(in:)).sorted { $0.at < $1.at }
    for next in around where next.at > since {
      if next.at > second { return ZoneRules.Period(start: start, end: next.at, offset: current) }
      start = next.at
      current = next.offset
    }
    return ZoneRules.Period(start: start, end: ZoneRules.latest, offset: current)
  }

  private func changes(in year: Int) -> [(at: Int64, offset: Int64)] {
    let begin = (at: daylightBegins.local(year) - standardOffset, offset: daylightOffset)
    let end = (at: daylightEnds.local(year) - daylightOffset, offset: standardOffset)
    return begin.at < end.at ? [begin, end] : [end, begin]
  }
}

extension ZoneFuture.YearlyMoment {
  /// In seconds of the local calendar.
  fileprivate func local(_ year: Int) -> Int64 {
    Int64(dayNumber(year)) * 86_400 + seconds
  }

  private func dayNumber(_ year: Int) -> Int {
    switch day {
    case .julian(let number):
      let isAfterFebruary = number > 59 && Timestamp.daysIn(month: 2, year: year) == 29
      return Timestamp.daysSinceEpoch(year: year, month: 1, day: 1) + number - (isAfterFebruary ? 0 : 1)
    case .ofYear(let number):
      return Timestamp.daysSinceEpoch(year: year, month: 1, day: 1) + number
    case .weekday(let month, let week, let weekday):
      let first = Timestamp.daysSinceEpoch(year: year, month: month, day: 1)
      // 1970-01-01 was a Thursday.
      let firstOfWeekday = first + floorModulo(weekday - (first + 4), 7)
      let last = first + Timestamp.daysIn(month: month, year: year) - 1
      let wanted = firstOfWeekday + (week - 1) * 7
      return wanted <= last ? wanted : wanted - 7
    }
  }
}

extension [Int64] {
  /// The first index from which on a condition holds, if it holds from some index on.
  fileprivate func partitioningIndex(_ belongsAfter: (Int64) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongsAfter(self[middle]) {
        high = middle
      } else {
        low = middle + 1
      }
    }
    return low
  }
}
