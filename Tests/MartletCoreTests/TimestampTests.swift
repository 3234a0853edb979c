// Points in time: RFC 3339 in and out over its whole range, what is no time at all, and arithmetic that never
// overflows.

import Foundation
import MartletCore
import Testing

@Suite struct TimestampTests {
  @Test(arguments: [
    (0, "1970-01-01T00:00:00.000Z"),
    (-1, "1969-12-31T23:59:59.999Z"),
    (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (951_868_799_999, "2000-02-29T23:59:59.999Z"),
    (951_868_800_000, "2000-03-01T00:00:00.000Z"),
    (1_769_940_000_123, "2026-02-01T10:00:00.123Z"),
    (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
    (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
    (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
    (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
  ])
  func `known times are written and read`(milliseconds: Int64, text: String) {
    #expect(Timestamp(milliseconds: milliseconds).description == text)
    #expect(Timestamp(text) == Timestamp(milliseconds: milliseconds))
  }

  @Test func `every time of the range reads back as it was written`() {
    let random = RandomSource(seed: 7)
    let width = Timestamp.latest.milliseconds - Timestamp.earliest.milliseconds + 1
    var previous = Timestamp.earliest
    for step in 0..<20_000 {
      let start = Timestamp.earliest.milliseconds + width / 20_000 * Int64(step)
      let time = Timestamp(milliseconds: start + Int64(random.below(Int(width / 20_000))))
      let text = time.description
      #expect(text.utf8.count == 24)
      #expect(Timestamp(text) == time)
      #expect(text > previous.description || time == previous)  // texts sort as times do
      previous = time
    }
  }

  @Test func `times are those of another calendar`() throws {
    // Foundation's, from 1600 on: before, its calendar may turn to the Julian one.
    let formatter = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    let random = RandomSource(seed: 8)
    for _ in 0..<500 {
      let seconds = Int64(random.below(265_000_000_000)) - 11_600_000_000
      let time = Timestamp(milliseconds: seconds * 1000)
      let date = Date(timeIntervalSince1970: Double(seconds))
      #expect(time.description == date.formatted(formatter))
    }
  }

  @Test func `every day of four centuries follows the day before`() {
    // 1 January 1999 was day 10592; 400 years are 146 097 days.
    var expected = (year: 1999, month: 1, day: 1)
    for day in 10_592..<10_592 + 146_097 {
      let text = Timestamp(milliseconds: Int64(day) * 86_400_000).description
      let date = "\(expected.year)-\(two(expected.month))-\(two(expected.day))"
      guard text == date + "T00:00:00.000Z", Timestamp(text)?.milliseconds == Int64(day) * 86_400_000 else {
        Issue.record("day \(day) is \(text) instead of \(date)")
        return
      }
      let isLeap = expected.year % 400 == 0 || (expected.year % 4 == 0 && expected.year % 100 != 0)
      let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
      expected.day += 1
      if expected.day > lengths[expected.month - 1] { (expected.month, expected.day) = (expected.month + 1, 1) }
      if expected.month > 12 { (expected.year, expected.month) = (expected.year + 1, 1) }
    }
    #expect(expected == (2399, 1, 1))
  }

  private func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

  @Test(arguments: ["2023-02-29", "2100-02-29", "1900-02-29", "2024-02-30", "2026-04-31", "2026-06-31", "2026-09-31"])
  func `a day that its month does not have is no time`(date: String) {
    #expect(Timestamp(date + "T00:00:00Z") == nil)
  }

  @Test(arguments: ["2024-02-29", "2000-02-29", "2400-02-29", "1600-02-29", "0000-02-29", "2026-01-31", "2026-12-31"])
  func `the last day of a month is one`(date: String) {
    #expect(Timestamp(date + "T00:00:00Z")?.description == date + "T00:00:00.000Z")
  }

  @Test(arguments: [
    ("2026-02-01T10:00:00Z", "2026-02-01T10:00:00.000Z"),
    ("2026-02-01t10:00:00z", "2026-02-01T10:00:00.000Z"),
    ("2026-02-01 10:00:00Z", "2026-02-01T10:00:00.000Z"),
    ("2026-02-01T10:00:00+00:00", "2026-02-01T10:00:00.000Z"),
    ("2026-02-01T10:00:00-00:00", "2026-02-01T10:00:00.000Z"),
    ("2026-02-01T10:00:00+05:30", "2026-02-01T04:30:00.000Z"),
    ("2026-02-01T10:00:00-05:30", "2026-02-01T15:30:00.000Z"),
    ("2026-01-01T00:00:00+00:01", "2025-12-31T23:59:00.000Z"),
    ("2025-12-31T23:59:59.9-23:59", "2026-01-01T23:58:59.900Z"),
    ("2024-03-01T00:00:00+23:59", "2024-02-29T00:01:00.000Z"),
    ("0000-01-01T01:00:00+01:00", "0000-01-01T00:00:00.000Z"),
    ("9999-12-31T22:59:59.999-01:00", "9999-12-31T23:59:59.999Z"),
  ])
  func `an offset is taken off`(text: String, inUTC: String) {
    #expect(Timestamp(text)?.description == inUTC)
  }

  @Test(arguments: [
    ("1", 100), ("12", 120), ("123", 123), ("1239", 123), ("001", 1), ("0009", 0), ("999999999", 999),
    ("12345678901234567890123456789012345678901234567890", 123), ("0", 0),
  ])
  func `fractions are cut to milliseconds`(digits: String, milliseconds: Int64) {
    #expect(Timestamp("1970-01-01T00:00:00.\(digits)Z") == Timestamp(milliseconds: milliseconds))
    #expect(Timestamp("1970-01-01T00:00:01.\(digits)+00:00") == Timestamp(milliseconds: 1000 + milliseconds))
  }

  @Test func `a fraction before 1970 is cut and not rounded away from the epoch`() {
    #expect(Timestamp("1969-12-31T23:59:59.0019Z") == Timestamp(milliseconds: -999))
  }

  @Test func `a leap second is the first moment of the next minute`() {
    #expect(Timestamp("2016-12-31T23:59:60Z")?.description == "2017-01-01T00:00:00.000Z")
    #expect(Timestamp("2016-12-31T23:59:60.5Z")?.description == "2017-01-01T00:00:00.500Z")
    #expect(Timestamp("2016-12-31T23:59:61Z") == nil)
  }

  @Test(arguments: [
    "", "now", "2026", "2026-02-01", "2026-02-01T10:00", "2026-02-01T10:00:00", "2026-02-01T10:00Z", "10:00:00Z",
    "2026-2-01T10:00:00Z", "2026-02-1T10:00:00Z", "26-02-01T10:00:00Z", "02026-02-01T10:00:00Z",
    "2026-00-01T10:00:00Z", "2026-13-01T10:00:00Z", "2026-02-00T10:00:00Z", "2026-01-32T10:00:00Z",
    "2026-02-01T24:00:00Z", "2026-02-01T10:60:00Z", "2026-02-01T1:00:00Z", "2026-02-01T10:00:0Z",
    "2026-02-01T10:00:00.Z", "2026-02-01T10:00:00,5Z", "2026-02-01T10:00:00.5", "2026-02-01T10:00:00.-5Z",
    "2026-02-01T10:00:00+01", "2026-02-01T10:00:00+0100", "2026-02-01T10:00:00+1:00", "2026-02-01T10:00:00+24:00",
    "2026-02-01T10:00:00+01:60", "2026-02-01T10:00:00+-1:00", "2026-02-01T10:00:00Z ", " 2026-02-01T10:00:00Z",
    "2026-02-01T10:00:00ZZ", "2026-02-01T10:00:00Z+01:00", "2026-02-01T10:00:00 Z", "2026-02-01_10:00:00Z",
    "2026-02-01  10:00:00Z", "2026/02/01T10:00:00Z", "+2026-02-01T10:00:00Z", "-2026-02-01T10:00:00Z",
    "2026-02-01T10:00:00Z\0", "2026-02-01T10:00:00\u{2212}01:00", "\u{FF12}026-02-01T10:00:00Z",
    "2026-02-\u{0660}\u{0661}T10:00:00Z", "20260201T100000Z", "2026-W05-7T10:00:00Z", "1769940000000",
    "0000-01-01T00:00:00+00:01", "9999-12-31T23:59:60Z", "9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z",
  ])
  func `what is not RFC 3339 is no time`(text: String) {
    #expect(Timestamp(text) == nil)
  }

  @Test func `times that cannot be written are shown as the first or the last`() {
    #expect(Timestamp(milliseconds: .min).description == "0000-01-01T00:00:00.000Z")
    #expect(Timestamp(milliseconds: Timestamp.earliest.milliseconds - 1).description == "0000-01-01T00:00:00.000Z")
    #expect(Timestamp(milliseconds: .max).description == "9999-12-31T23:59:59.999Z")
    #expect(Timestamp(milliseconds: Timestamp.latest.milliseconds + 1).description == "9999-12-31T23:59:59.999Z")
  }

  // MARK: Arithmetic

  @Test func `a duration is added in whole milliseconds, rounded towards zero`() {
    let time = Timestamp(milliseconds: 1000)
    #expect(time + .milliseconds(1) == Timestamp(milliseconds: 1001))
    #expect(time + .microseconds(1999) == Timestamp(milliseconds: 1001))
    #expect(time + .microseconds(-1999) == Timestamp(milliseconds: 999))
    #expect(time + .seconds(-2) == Timestamp(milliseconds: -1000))
  }

  @Test func `sums stop at the ends`() {
    let last = Timestamp(milliseconds: .max)
    let first = Timestamp(milliseconds: .min)
    #expect(last + .milliseconds(1) == last)
    #expect(last + .milliseconds(-1) == Timestamp(milliseconds: .max - 1))
    #expect(first + .milliseconds(-1) == first)
    #expect(Timestamp(milliseconds: 1) + .seconds(Int64.max) == last)
    #expect(Timestamp(milliseconds: -1) + .seconds(Int64.min) == first)
  }

  @Test func `differences stop at the ends`() {
    let last = Timestamp(milliseconds: .max)
    let first = Timestamp(milliseconds: .min)
    #expect(Timestamp(milliseconds: 3) - Timestamp(milliseconds: 5) == .milliseconds(-2))
    #expect(last - first == .milliseconds(Int64.max))
    #expect(first - last == .milliseconds(Int64.min))
    #expect(last - last == .zero)
  }

  @Test func `whole milliseconds saturate`() {
    #expect(Duration.seconds(Int64.max).wholeMilliseconds == .max)
    #expect(Duration.seconds(Int64.min).wholeMilliseconds == .min)
    #expect(Duration.milliseconds(Int64.max).wholeMilliseconds == .max)
    #expect((Duration.milliseconds(Int64.max) + .milliseconds(1)).wholeMilliseconds == .max)
    #expect((Duration.milliseconds(Int64.min) - .milliseconds(1)).wholeMilliseconds == .min)
    #expect(Duration.microseconds(999).wholeMilliseconds == 0)
    #expect(Duration.microseconds(-999).wholeMilliseconds == 0)
  }

  @Test func `seconds keep their fraction`() {
    #expect(Duration.milliseconds(1500).secondsAsDouble == 1.5)
    #expect(Duration.milliseconds(-1500).secondsAsDouble == -1.5)
  }

  @Test func `times are ordered by when they are`() {
    let times = [Int64.min, -1, 0, 1, .max].map(Timestamp.init(milliseconds:))
    #expect(times.reversed().sorted() == times)
  }
}
