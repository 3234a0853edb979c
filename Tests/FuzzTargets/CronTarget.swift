// Cron expressions: `expression`, and beneath it perhaps a time zone and a time, each on a line of its own. What a tick should be
// is worked out once more, minute by minute.

#if DEBUG || MARTLET_FUZZ
  @testable import MartletCore

  enum CronTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let lines = bytes.lines(atMost: 3)
      let expression: CronExpression
      do throws(CronProblem) {
        expression = try CronExpression(lines[0])
      } catch {
        return try require(
          !error.description.isEmpty && !error.description.hasSuffix(".")
            && error.description.unicodeScalars.allSatisfy { $0 >= " " && $0 != "\u{7F}" },
          "a problem is no sentence: \(error.description)")
      }
      try normal(expression)
      let zone = lines.count > 1 ? zones[lines[1]] ?? .utc : .utc
      let begin = lines.count > 2 ? Timestamp(lines[2]) ?? usual : usual
      let after = floorDivide(begin.milliseconds, 1000)
      try ticks(CronTimes(expression: expression, zone: zone), after: after)
      if zone == .utc { try naive(expression, after: after) }
    }

    private static let usual = Timestamp(milliseconds: 1_774_744_000_123)  // the night before clocks change in Europe
    private static let last = Timestamp.latest.milliseconds / 1000

    private static let zones: [String: ZoneRules] = {
      let names = [
        "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia",
        "America/Sao_Paulo", "Asia/Kathmandu", "Antarctica/Troll", "Asia/Tehran", "America/Asuncion",
      ]
      var zones: [String: ZoneRules] = [:]
      for name in names { zones[name] = try? ZoneDatabase.system.rules(named: name) }
      return zones
    }()

    /// The normal form means the same, and is its own.
    private static func normal(_ expression: CronExpression) throws(Finding) {
      let again: CronExpression
      do throws(CronProblem) { again = try CronExpression(expression.description) } catch {
        // What is written out may be longer than what may be written.
        guard expression.description.utf8.count > CronParser.longest else {
          throw Finding("the normal form is refused: \(error)")
        }
        return
      }
      try require(again.description == expression.description && again == expression, "the normal form has another one")
      try require(
        [again.minutes, again.hours, again.days, again.months, again.weekdays]
          == [expression.minutes, expression.hours, expression.days, expression.months, expression.weekdays]
          && again.daysAreAlternatives == expression.daysAreAlternatives,
        "the normal form means something else")
    }

    /// Some ticks forwards, and the same backwards.
    private static func ticks(_ times: CronTimes, after begin: Int64) throws(Finding) {
      var time = begin
      for _ in 0..<8 {
        guard let tick = times.first(after: time, through: last) else {
          // Every expression comes within 400 years.
          return try require(time > last - 400 * 366 * 86_400, "there is no tick after \(time)")
        }
        try require(tick > time && tick <= last, "the tick after \(time) is \(tick)")
        try require(times.last(after: time, through: tick) == tick, "the tick \(tick) is not the last up to itself")
        try require(
          times.last(after: time, through: tick - 1) == nil, "there is a tick between \(time) and its first, \(tick)")
        time = tick
      }
    }

    /// The first tick is the first minute that suits, looked for in the next minutes one by one.
    private static func naive(_ expression: CronExpression, after begin: Int64) throws(Finding) {
      let first = CronTimes(expression: expression, zone: .utc).first(after: begin, through: last)
      var minute = floorDivide(begin, 60) + 1
      for _ in 0..<200 where minute * 60 <= last {
        if suits(expression, minute) {
          return try require(first == minute * 60, "minute \(minute) suits, and the tick is \(first ?? -1)")
        }
        try require(first != minute * 60, "minute \(minute) does not suit, and is a tick")
        minute += 1
      }
    }

    private static func suits(_ expression: CronExpression, _ minute: Int64) -> Bool {
      let day = Int(floorDivide(minute, 1440))
      let date = Timestamp.date(daysSinceEpoch: day)
      func has(_ bits: UInt64, _ value: Int) -> Bool { bits >> UInt64(value) & 1 == 1 }
      let suitsDay = has(expression.days, date.day)
      let suitsWeekday = has(expression.weekdays, floorModulo(day + 4, 7))
      return has(expression.minutes, Int(floorModulo(minute, 60)))
        && has(expression.hours, Int(floorModulo(floorDivide(minute, 60), 24))) && has(expression.months, date.month)
        && (expression.daysAreAlternatives ? suitsDay || suitsWeekday : suitsDay && suitsWeekday)
    }
  }
#endif
