// The ticks of intervals, and what holds for the ticks of every recurrence.

import MartletCore
import Testing

@Suite struct ScheduleTimingTests {
  @Test func `an interval counts from its anchor, whoever asks and whenever`() throws {
    let timing = try every(90, from: "2026-01-01T00:00:10.250Z")
    #expect(
      timing.next(3, after: try time("2026-01-01T00:00:10.250Z")).map(\.description)
        == ["2026-01-01T00:01:40.250Z", "2026-01-01T00:03:10.250Z", "2026-01-01T00:04:40.250Z"])
    #expect(timing.next(after: try time("2026-01-01T00:01:40.249Z")) == (try time("2026-01-01T00:01:40.250Z")))
    #expect(timing.next(after: try time("2027-01-01T00:00:00Z")) == (try time("2027-01-01T00:00:10.250Z")))
  }

  @Test func `an interval may have fractions of a second`() throws {
    let timing = try every(1.5, from: "2026-01-01T00:00:00Z")
    #expect(
      timing.next(3, after: try time("2026-01-01T00:00:00Z")).map { $0.description.dropFirst(17) }
        == ["01.500Z", "03.000Z", "04.500Z"])
  }

  @Test func `a daily interval does not care for clocks that jump`() throws {
    let timing = try every(86_400, from: "2024-03-30T02:30:00Z")
    #expect(
      timing.next(2, after: try time("2024-03-30T02:30:00Z")).map(short) == ["2024-03-31T02:30Z", "2024-04-01T02:30Z"])
  }

  @Test func `what lies between two moments is told by its last, and an end belongs to what is before it`() throws {
    for timing in [try every(60, from: "2026-01-01T00:00:00Z"), try cron("* * * * *")] {
      func latest(_ lower: String, _ upper: String) throws -> String? {
        try timing.latest(after: time("2026-01-01T00:\(lower)Z"), through: time("2026-01-01T00:\(upper)Z")).map(short)
      }
      #expect(try latest("00:00", "01:00") == "2026-01-01T00:01Z")
      #expect(try latest("00:00", "00:59.999") == nil)
      #expect(try latest("01:00", "01:00") == nil)
      #expect(try latest("00:59.999", "01:00") == "2026-01-01T00:01Z")
      #expect(try latest("00:00", "59:59") == "2026-01-01T00:59Z")
      #expect(try latest("30:00", "10:00") == nil)
      // Fractions of a second before 1970 are on its other side.
      #expect(timing.next(after: try time("1969-12-31T23:59:59.500Z")).map(short) == "1970-01-01T00:00Z")
      #expect(
        timing.latest(after: try time("1969-12-31T23:00:00Z"), through: try time("1969-12-31T23:59:59.500Z")).map(short)
          == "1969-12-31T23:59Z")
    }
  }

  @Test func `a century of ticks each second costs as much as one`() throws {
    let timing = try every(1, from: "1926-01-01T00:00:00Z")
    let (begin, end) = (try time("1926-01-01T00:00:00Z"), try time("2026-01-01T00:00:00.999Z"))
    for _ in 0..<1000 { #expect(timing.latest(after: begin, through: end) == (try time("2026-01-01T00:00:00Z"))) }
    let minutes = try cron("* * * * *", "Europe/Berlin")
    for _ in 0..<1000 { #expect(minutes.latest(after: begin, through: end) == (try time("2026-01-01T00:00:00Z"))) }
    // The last of them was on a Sunday in 2004, with 40 years and eighty changes of clocks to look through.
    let rare = try cron("0 0 29 2 */7", "Europe/Berlin")
    #expect(rare.latest(after: begin, through: try time("2032-02-28T00:00:00Z")).map(short) == "2004-02-28T23:00Z")
  }

  @Test func `before the calendar begins and after it ends there is nothing, and nothing overflows`() throws {
    for timing in [try every(1.001, from: "2026-01-01T00:00:00Z"), try cron("*/7 3 * * *", "America/New_York")] {
      let extremes = [Timestamp(milliseconds: .min), .earliest, .latest, Timestamp(milliseconds: .max)]
      #expect(timing.next(after: extremes[0]) != nil)
      #expect(timing.next(after: extremes[1]) != nil)
      #expect(timing.next(after: extremes[2]) == nil)
      #expect(timing.next(after: extremes[3]) == nil)
      #expect(timing.latest(after: extremes[0], through: extremes[3]) != nil)
      #expect(timing.latest(after: extremes[3], through: extremes[0]) == nil)
      #expect(timing.next(5, after: extremes[2]).isEmpty)
      #expect(timing.next(0, after: extremes[1]).isEmpty)
      #expect(timing.next(-1, after: extremes[1]).isEmpty)
    }
    let farthest = try ScheduleTiming(
      .every(milliseconds: Int64(Limits.farthestSeconds) * 1000), anchor: Timestamp(milliseconds: .max), zones: zones)
    #expect(farthest.next(after: try time("2026-01-01T00:00:00Z")) != nil)
  }

  @Test func `from tick to tick forwards is from tick to tick backwards`() throws {
    var random = SplitMix64(state: 4)
    let timings = [
      try every(3.25, from: "2024-01-01T00:00:00.123Z"), try cron("*/7 1-4 * * *", "Europe/Berlin"),
      try cron("30 2 * * 0", "America/New_York"), try cron("15 * 1,15 * MON", "Australia/Lord_Howe"),
      try cron("@weekly"),
    ]
    for timing in timings {
      for _ in 0..<50 {
        let start = Timestamp(milliseconds: Int64.random(in: 1_700_000_000_000...1_800_000_000_000, using: &random))
        let found = timing.next(20, after: start)
        #expect(found.count == 20)
        #expect(zip([start] + found, found).allSatisfy { $0 < $1 })
        var back: [Timestamp] = []
        while let tick = timing.latest(after: start, through: (back.last.map { $0 + .milliseconds(-1) }) ?? found[19]) {
          back.append(tick)
        }
        #expect(back.reversed() == found)
      }
    }
  }
}
