// What cron expressions do where a zone's clocks jump, in the words of an operator: real zones, real days, past ones, since
// governments change future ones.

import MartletCore
import Testing

@Suite struct ClockChangeTests {
  /// Europe/Berlin, 2024-03-31: 02:00 became 03:00, at 01:00Z.
  @Suite struct Gap {
    private func ticks(_ expression: String, _ lower: String, _ upper: String) throws -> [String] {
      try MartletCoreTests.ticks(
        cron(expression, "Europe/Berlin"), after: "2024-03-\(lower):00Z", through: "2024-03-\(upper):00Z"
      ).map { String($0.dropFirst(8).dropLast()) }
    }

    @Test func `a skipped local time runs at the first moment after the gap`() throws {
      #expect(try ticks("30 2 * * *", "29T12:00", "31T23:00") == ["30T01:30", "31T01:00"])
      #expect(try ticks("0 2 * * *", "29T12:00", "31T23:00") == ["30T01:00", "31T01:00"])
      #expect(try ticks("59 2 31 3 *", "29T12:00", "31T23:00") == ["31T01:00"])
    }

    @Test func `all that was skipped runs once, together with what is due then anyway`() throws {
      #expect(try ticks("0,20,40 2 * * *", "31T00:00", "31T23:00") == ["31T01:00"])
      #expect(try ticks("30 2,3 * * *", "31T00:00", "31T23:00") == ["31T01:00", "31T01:30"])
      #expect(try ticks("0 2,3 * * *", "31T00:00", "31T23:00") == ["31T01:00"])
    }

    @Test func `what is not skipped runs at its local time`() throws {
      #expect(try ticks("0 3 * * *", "30T00:00", "31T23:00") == ["30T02:00", "31T01:00"])
      #expect(try ticks("59 1 * * *", "30T00:00", "31T23:00") == ["30T00:59", "31T00:59"])
      #expect(try ticks("0 12 * * *", "30T00:00", "31T23:00") == ["30T11:00", "31T10:00"])
    }

    @Test func `what runs every hour goes on as if nothing had happened`() throws {
      #expect(try ticks("*/20 * * * *", "31T00:30", "31T01:30") == ["31T00:40", "31T01:00", "31T01:20"])
      #expect(try ticks("7 * * * *", "30T23:30", "31T02:30") == ["31T00:07", "31T01:07", "31T02:07"])
      #expect(try ticks("7 0-23 * * *", "30T23:30", "31T02:30") == ["31T00:07", "31T01:07", "31T02:07"])
    }

    @Test func `steps that the gap falls into are made up for`() throws {
      #expect(try ticks("0 */2 * * *", "30T22:00", "31T05:00") == ["30T23:00", "31T01:00", "31T02:00", "31T04:00"])
      #expect(try ticks("*/15 2 * * *", "30T12:00", "31T23:00") == ["31T01:00"])
      #expect(
        try ticks("*/15 0-4 31 * *", "31T00:30", "31T01:45") == [
          "31T00:45", "31T01:00", "31T01:15", "31T01:30", "31T01:45",
        ])
    }
  }

  /// Europe/Berlin, 2024-10-27: 03:00 became 02:00, at 01:00Z.
  @Suite struct Repeat {
    private func ticks(_ expression: String, _ lower: String, _ upper: String) throws -> [String] {
      try MartletCoreTests.ticks(
        cron(expression, "Europe/Berlin"), after: "2024-10-\(lower):00Z", through: "2024-10-\(upper):00Z"
      ).map { String($0.dropFirst(8).dropLast()) }
    }

    @Test func `a local time that comes twice runs the first time`() throws {
      #expect(try ticks("30 2 * * *", "26T00:00", "28T12:00") == ["26T00:30", "27T00:30", "28T01:30"])
      #expect(try ticks("0 2 27 10 *", "26T00:00", "28T12:00") == ["27T00:00"])
      #expect(try ticks("0,30 2 27 * *", "26T12:00", "27T12:00") == ["27T00:00", "27T00:30"])
    }

    @Test func `what comes once runs once, on both sides`() throws {
      #expect(try ticks("0 3 * * *", "26T12:00", "28T00:00") == ["27T02:00"])
      #expect(try ticks("59 1 * * *", "26T12:00", "28T00:00") == ["26T23:59"])
    }

    @Test func `what runs every hour runs in each hour that passes`() throws {
      #expect(try ticks("15 * * * *", "27T00:00", "27T03:00") == ["27T00:15", "27T01:15", "27T02:15"])
      #expect(
        try ticks("*/30 * * * *", "26T23:45", "27T02:00") == [
          "27T00:00", "27T00:30", "27T01:00", "27T01:30", "27T02:00",
        ])
    }

    @Test func `minutes that come twice run the first time, also where they were written as a step`() throws {
      #expect(try ticks("*/30 2 * * *", "27T12:00", "28T12:00") == ["28T01:00", "28T01:30"])
      #expect(try ticks("*/30 2 27 * *", "26T12:00", "27T12:00") == ["27T00:00", "27T00:30"])
      #expect(try ticks("10-50/40 2 27 * *", "26T12:00", "27T12:00") == ["27T00:10", "27T00:50"])
      #expect(try ticks("* 2 27 * *", "26T12:00", "27T12:00").count == 60)
    }

    @Test(arguments: ["*/15 2 * * *", "0-59/15 2 * * *", "0,15,30,45 2 * * *", "0/15 2 31 10 *"])
    func `the same minutes run the same times, however they were written`(expression: String) throws {
      let found = try MartletCoreTests.ticks(
        cron(expression, "Europe/Berlin"), after: "2027-10-30T12:00:00Z", through: "2027-10-31T12:00:00Z")
      #expect(found == ["00", "15", "30", "45"].map { "2027-10-31T00:\($0)Z" })
    }

    @Test func `steps of hours run the first time only`() throws {
      #expect(try ticks("0 */2 * * *", "26T21:30", "27T04:00") == ["26T22:00", "27T00:00", "27T03:00"])
    }
  }

  @Test func `half an hour of daylight saving time skips and repeats half an hour`() throws {
    // Australia/Lord_Howe: 2024-10-06 02:00 became 02:30 at 15:30Z; 2024-04-07 02:00 became 01:30 at 15:00Z.
    func october(_ expression: String) throws -> [String] {
      try ticks(cron(expression, "Australia/Lord_Howe"), after: "2024-10-05T14:00:00Z", through: "2024-10-05T16:15:00Z")
        .map { String($0.dropFirst(11).dropLast()) }
    }
    #expect(try october("15 2 * * *") == ["15:30"])
    #expect(try october("30 2 * * *") == ["15:30"])
    #expect(try october("45 2 * * *") == ["15:45"])
    #expect(try october("0 * * * *") == ["14:30", "16:00"])
    #expect(try october("*/15 1-2 * * *") == ["14:30", "14:45", "15:00", "15:15", "15:30", "15:45"])
    func april(_ expression: String) throws -> [String] {
      try ticks(cron(expression, "Australia/Lord_Howe"), after: "2024-04-06T13:30:00Z", through: "2024-04-06T16:30:00Z")
        .map { String($0.dropFirst(11).dropLast()) }
    }
    #expect(try april("45 1 * * *") == ["14:45"])
    #expect(try april("15 1 * * *") == ["14:15"])
    #expect(try april("0 2 * * *") == ["15:30"])
    #expect(try april("45 * * * *") == ["13:45", "14:45", "15:15", "16:15"])
    #expect(try april("*/15 1 * * *") == ["14:00", "14:15", "14:30", "14:45"])
  }

  @Test func `two hours of daylight saving time skip and repeat two`() throws {
    // Antarctica/Troll, 2024: on 03-31 01:00 became 03:00 at 01:00Z, on 10-27 03:00 became 01:00 at 01:00Z.
    #expect(
      try ticks(
        cron("30 1,2 * * *", "Antarctica/Troll"), after: "2024-03-31T00:00:00Z", through: "2024-03-31T12:00:00Z")
        == ["2024-03-31T01:00Z"])
    #expect(
      try ticks(cron("0 1,2 * * *", "Antarctica/Troll"), after: "2024-10-26T12:00:00Z", through: "2024-10-27T12:00:00Z")
        == ["2024-10-26T23:00Z", "2024-10-27T00:00Z"])
  }

  @Test func `a midnight that is skipped runs at one, and late hours may come twice in the south`() throws {
    // America/Santiago: 2024-09-08 began at 01:00, at 04:00Z; 2024-04-06 had the hour from 23:00 on twice, until 04:00Z.
    func ticks(_ expression: String, _ lower: String, _ upper: String) throws -> [String] {
      try MartletCoreTests.ticks(
        cron(expression, "America/Santiago"), after: "2024-\(lower):00Z", through: "2024-\(upper):00Z"
      ).map { String($0.dropFirst(5).dropLast()) }
    }
    #expect(try ticks("@daily", "09-07T00:00", "09-09T12:00") == ["09-07T04:00", "09-08T04:00", "09-09T03:00"])
    #expect(try ticks("0 */12 * * *", "09-07T12:00", "09-08T18:00") == ["09-07T16:00", "09-08T04:00", "09-08T15:00"])
    #expect(try ticks("30 23 * * *", "04-06T00:00", "04-08T12:00") == ["04-06T02:30", "04-07T02:30", "04-08T03:30"])
    #expect(try ticks("@daily", "04-06T00:00", "04-08T12:00") == ["04-06T03:00", "04-07T04:00", "04-08T04:00"])
    #expect(try ticks("@hourly", "04-07T01:30", "04-07T04:30") == ["04-07T02:00", "04-07T03:00", "04-07T04:00"])
  }

  @Test func `a day that a zone leaves out runs once, when the next one begins`() throws {
    // Pacific/Apia had no 2011-12-30: the 31st began at 2011-12-30T10:00Z.
    func ticks(_ expression: String, _ lower: String, _ upper: String) throws -> [String] {
      try MartletCoreTests.ticks(
        cron(expression, "Pacific/Apia"), after: "2011-12-\(lower):00Z", through: "2011-12-\(upper):00Z"
      ).map { String($0.dropFirst(8).dropLast()) }
    }
    #expect(try ticks("0 12 * * *", "29T12:00", "31T12:00") == ["29T22:00", "30T10:00", "30T22:00"])
    #expect(try ticks("@daily", "29T00:00", "31T12:00") == ["29T10:00", "30T10:00", "31T10:00"])
    #expect(try ticks("*/10 8-17 30 12 *", "20T00:00", "31T12:00") == ["30T10:00"])
    #expect(try ticks("@hourly", "30T08:30", "30T11:30") == ["30T09:00", "30T10:00", "30T11:00"])
    #expect(try ticks("0 0 * * FRI", "20T00:00", "31T12:00") == ["23T10:00", "30T10:00"])
  }

  @Test func `clocks that jump twice in a day change nothing about what has been`() throws {
    func ticks(_ expression: String, _ offsets: [Int32]) throws -> [String] {
      // From 2026-01-01T00:00Z on, half an hour each.
      let zone = CompiledZone(
        times: [1_767_225_600, 1_767_227_400], kinds: [1, 2], types: [offsets[0], offsets[1], offsets[2]])
      let directory = try ZoneDirectory([zone.bytes])
      let timing = try cron(expression, "Test/0", directory.database)
      let found = try MartletCoreTests.ticks(timing, after: "2025-12-31T20:00:00Z", through: "2026-01-01T10:00:00Z")
      let end = try time("2026-01-01T10:00:00Z")
      #expect(try timing.latest(after: time("2025-12-31T20:00:00Z"), through: end).map(short) == found.last)
      return found.map { String($0.dropFirst(8).dropLast()) }
    }
    // Back by an hour, and back by another.
    #expect(try ticks("45 23 31 12 *", [0, -3600, -7200]) == ["31T23:45"])
    #expect(try ticks("15 23 31 12 *", [0, -3600, -7200]) == ["31T23:15"])
    #expect(try ticks("15 0 1 1 *", [0, -3600, -7200]) == ["01T02:15"])
    #expect(try ticks("*/15 23 31 12 *", [0, -3600, -7200]).count == 4)
    // On by an hour, and back again: what was skipped has been made up for when it comes.
    #expect(try ticks("45 0 1 1 *", [0, 3600, 0]) == ["01T00:00"])
    #expect(try ticks("45 1 1 1 *", [0, 3600, 0]) == ["01T01:45"])
    // On by an hour, and on by another.
    #expect(try ticks("45 0,1 1 1 *", [0, 3600, 7200]) == ["01T00:00", "01T00:30"])
  }

  @Test func `UTC never jumps`() throws {
    for day in ["2024-03-31", "2024-10-27"] {
      #expect(
        try ticks(cron("30 2 * * *"), after: "\(day)T00:00:00Z", through: "\(day)T23:00:00Z") == ["\(day)T02:30Z"])
      #expect(try ticks(cron("0 * * * *"), after: "\(day)T00:00:00Z", through: "\(day)T23:59:00Z").count == 23)
    }
  }

  @Test func `each day of many years has its one daily tick`() throws {
    for (zone, expression) in [
      ("Europe/Berlin", "30 2 * * *"), ("America/Havana", "0 0 * * *"), ("Asia/Gaza", "15 0 * * *"),
    ] {
      let timing = try cron(expression, zone)
      let (start, end) = (try time("2024-06-01T12:00:00Z"), try time("2049-06-01T12:00:00Z"))
      var tick = try #require(timing.next(after: start))
      var count = 0
      while tick <= end {
        count += 1
        let next = try #require(timing.next(after: tick))
        #expect((.seconds(22 * 3600)...Duration.seconds(26 * 3600)).contains(next - tick))
        #expect(timing.latest(after: start, through: next + .milliseconds(-1)) == tick)
        tick = next
      }
      #expect(count == 9131)
    }
  }
}
