// Compiled time zones. They come with the operating system, and are believed no more for that.

#if DEBUG || MARTLET_FUZZ
  @testable import MartletCore

  enum ZoneTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let rules: ZoneRules
      do throws(UnreadableZone) {
        rules = try ZoneFile.rules(named: "Fuzz/Zone", in: bytes)
      } catch {
        return try require(!error.reason.isEmpty, "a file is refused without a reason")
      }
      try periods(rules)
      guard let expression = try? CronExpression("30 2 * * *"), let hourly = try? CronExpression("*/20 * * * *") else {
        throw Finding("no expression")
      }
      for expression in [expression, hourly] {
        let times = CronTimes(expression: expression, zone: rules)
        for begin in starts {
          guard let tick = times.first(after: begin, through: begin + 400 * 86_400) else { continue }
          try require(tick > begin, "the tick after \(begin) is \(tick)")
          try require(times.last(after: begin, through: tick) == tick, "the tick \(tick) is not the last up to itself")
        }
      }
      for begin in starts { _ = rules.local(Timestamp(milliseconds: begin * 1000)) }
    }

    private static let starts: [Int64] = [
      -62_167_219_200, -2_000_000_000, 0, 1_774_744_000, 2_147_483_647, 4_102_444_800, 253_402_300_799,
    ]

    /// Each moment belongs to one period, and the periods follow each other without a gap.
    private static func periods(_ rules: ZoneRules) throws(Finding) {
      for begin in starts {
        var second = begin
        for _ in 0..<6 {
          let period = rules.period(at: second)
          try require(
            period.start <= second && second < period.end, "\(second) is not in \(period.start)..<\(period.end)")
          guard period.end < ZoneRules.latest else { break }
          try require(rules.period(at: period.end).start == period.end, "there is a gap at \(period.end)")
          second = period.end
        }
      }
    }
  }
#endif
