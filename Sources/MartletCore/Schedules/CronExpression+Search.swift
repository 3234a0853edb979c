// Finds the minutes of a calendar that suit a cron expression, forwards and backwards, a month at a time. No time zones here:
// the minutes are those of a clock on a wall that never jumps. Called by `CronTimes` for stretches in which that is true.

extension CronExpression {
  /// The first suitable one of some minutes, which are counted from 1970-01-01T00:00 of the local calendar.
  func first(in range: Range<Int>) -> Int? {
    guard !range.isEmpty else { return nil }
    var (year, month, day) = Timestamp.date(daysSinceEpoch: floorDivide(range.lowerBound, 1440))
    while true {
      let firstDay = Timestamp.daysSinceEpoch(year: year, month: month, day: 1)
      guard firstDay * 1440 < range.upperBound else { return nil }
      var candidates = days(year: year, month: month, firstDay: firstDay) & (.max << UInt64(day))
      while candidates != 0 {
        let midnight = (firstDay + candidates.trailingZeroBitCount - 1) * 1440
        if let minute = minute(atOrAfter: max(0, range.lowerBound - midnight)) {
          return midnight + minute < range.upperBound ? midnight + minute : nil
        }
        candidates &= candidates - 1
      }
      (year, month, day) = month == 12 ? (year + 1, 1, 1) : (year, month + 1, 1)
    }
  }

  /// The last suitable one of some minutes.
  func last(in range: Range<Int>) -> Int? {
    guard !range.isEmpty else { return nil }
    var (year, month, day) = Timestamp.date(daysSinceEpoch: floorDivide(range.upperBound - 1, 1440))
    while true {
      let firstDay = Timestamp.daysSinceEpoch(year: year, month: month, day: 1)
      var candidates = days(year: year, month: month, firstDay: firstDay) & ~(.max << UInt64(day + 1))
      while candidates != 0 {
        let latest = 63 - candidates.leadingZeroBitCount
        let midnight = (firstDay + latest - 1) * 1440
        if let minute = minute(atOrBefore: min(1439, range.upperBound - 1 - midnight)) {
          return midnight + minute >= range.lowerBound ? midnight + minute : nil
        }
        candidates &= ~(1 << UInt64(latest))
      }
      guard firstDay * 1440 > range.lowerBound else { return nil }
      (year, month, day) = month == 1 ? (year - 1, 12, 31) : (year, month - 1, 31)
    }
  }

  /// The suitable days of a month; bit n is day n. `firstDay` is its first one, counted from 1970-01-01.
  private func days(year: Int, month: Int, firstDay: Int) -> UInt64 {
    guard months >> UInt64(month) & 1 == 1 else { return 0 }
    // 1970-01-01 was a Thursday.
    let firstWeekday = floorModulo(firstDay + 4, 7)
    var suitableWeekdays: UInt64 = 0
    for day in 1...7 where weekdays >> UInt64((firstWeekday + day - 1) % 7) & 1 == 1 {
      suitableWeekdays |= 0b10000_00100000_01000000_10000001 << UInt64(day)
    }
    let suitable = daysAreAlternatives ? days | suitableWeekdays : days & suitableWeekdays
    return suitable & ~(.max << UInt64(Timestamp.daysIn(month: month, year: year) + 1))
  }

  /// The first suitable minute of a day from this one (0…1439) on.
  private func minute(atOrAfter minute: Int) -> Int? {
    let hour = minute / 60
    let restOfHour = minutes & (.max << UInt64(minute % 60))
    if hours >> UInt64(hour) & 1 == 1, restOfHour != 0 { return hour * 60 + restOfHour.trailingZeroBitCount }
    let laterHours = hours & (.max << UInt64(hour + 1))
    guard laterHours != 0 else { return nil }
    return laterHours.trailingZeroBitCount * 60 + minutes.trailingZeroBitCount
  }

  /// The last suitable minute of a day up to this one (0…1439).
  private func minute(atOrBefore minute: Int) -> Int? {
    let hour = minute / 60
    let startOfHour = minutes & ~(.max << UInt64(minute % 60 + 1))
    if hours >> UInt64(hour) & 1 == 1, startOfHour != 0 { return hour * 60 + 63 - startOfHour.leadingZeroBitCount }
    let earlierHours = hours & ~(.max << UInt64(hour))
    guard earlierHours != 0 else { return nil }
    return (63 - earlierHours.leadingZeroBitCount) * 60 + 63 - minutes.leadingZeroBitCount
  }
}

/// Rounded towards the past.
func floorDivide<Number: FixedWidthInteger>(_ value: Number, _ divisor: Number) -> Number {
  let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
  return remainder < 0 ? quotient - 1 : quotient
}

func floorModulo<Number: FixedWidthInteger>(_ value: Number, _ divisor: Number) -> Number {
  let remainder = value % divisor
  return remainder < 0 ? remainder + divisor : remainder
}
