// What a cron expression means: sets of minutes, hours and days, and what it does where a clock jumps. `CronParser` makes it,
// `CronTimes` finds its moments in a time zone, `Schedule` keeps it.

/// Five fields, minute hour day-of-month month day-of-week, as in crontab(5). Equal are those with the same
/// normal form: `@daily` equals `0 0 * * *`, but `0-59` is not `*`.
package struct CronExpression: Sendable {
  /// As it was written, without the space around it.
  package let source: String
  /// The normal form: five fields, one space between them, numbers for words, lists in order. Reads back as the same.
  package let description: String

  /// Bit n is minute n, and so on; Sunday is bit 0 of `weekdays`.
  let minutes: UInt64
  let hours: UInt64
  let days: UInt64
  let months: UInt64
  let weekdays: UInt64

  /// A day must suit one of the two day fields rather than both: so when neither begins with `*` (crontab(5)).
  let daysAreAlternatives: Bool

  /// Whether it runs in each hour of the day: it keeps its pace, and a jump of the clock takes nothing from it and adds nothing.
  /// Otherwise what the clock skips is made up for, once, at the first moment after the gap, and a local time that comes twice
  /// runs the first time only, however its minutes were written.
  ///
  /// cron(8) of cronie makes up only for "jobs that run at a specific time", by which its code means that neither minute nor
  /// hour begins with `*`. There `*/15 2 * * *` would not run at all on the day on which two o'clock is skipped.
  let runsEveryHour: Bool

  /// Reads an expression, in time linear in its length and at most `CronParser.longest` bytes of it.
  package init(_ text: String) throws(CronProblem) {
    let (source, fields) = try CronParser.read(text)
    self.source = source
    description = fields.map(\.text).joined(separator: " ")
    minutes = fields[CronField.minute.rawValue].bits
    hours = fields[CronField.hour.rawValue].bits
    days = fields[CronField.dayOfMonth.rawValue].bits
    months = fields[CronField.month.rawValue].bits
    weekdays = fields[CronField.dayOfWeek.rawValue].bits
    daysAreAlternatives =
      !fields[CronField.dayOfMonth.rawValue].beginsWithStar && !fields[CronField.dayOfWeek.rawValue].beginsWithStar
    runsEveryHour = hours == (1 << 24) - 1
    guard everComes else {
      throw CronProblem("the expression never runs: none of its months has one of its days")
    }
  }

  /// In the 400 years after which the calendar repeats itself, each date falls on each day of the week.
  private var everComes: Bool {
    daysAreAlternatives
      || (1...12).contains { month in
        // 2000 was a leap year.
        months >> UInt64(month) & 1 == 1 && days.trailingZeroBitCount <= Timestamp.daysIn(month: month, year: 2000)
      }
  }
}

extension CronExpression: Hashable, CustomStringConvertible {
  package static func == (left: Self, right: Self) -> Bool {
    left.description == right.description
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(description)
  }
}

/// Why a text is no cron expression: one sentence, without a full stop, that names the field.
package struct CronProblem: Error, Sendable, Hashable, CustomStringConvertible {
  package let description: String

  init(_ sentence: String) {
    description = sentence
  }
}
