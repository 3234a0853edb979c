// Where time zones come from and what is made of them: names, places, files that are not what they should be, and the rules
// for all years to come.

import Foundation
import MartletCore
import Testing

/// What is wrong with a zone; nil if nothing is.
private func zoneFault(_ name: String, in database: ZoneDatabase = zones) -> String? {
  do {
    _ = try database.rules(named: name)
    return nil
  } catch {
    return error.description
  }
}

private func zoneFault(of file: [UInt8]) throws -> String? {
  let directory = try ZoneDirectory([file])
  return zoneFault("Test/0", in: directory.database)?.replacingOccurrences(of: directory.path, with: "…")
}

/// When the clocks of a zone show noon on some days, in UTC.
private func noons(_ file: CompiledZone, after start: String, _ count: Int) throws -> [String] {
  let directory = try ZoneDirectory([file.bytes])
  return try cron("0 12 * * *", "Test/0", directory.database).next(count, after: time(start)).map(short)
}

@Suite struct ZoneDatabaseTests {
  @Test(arguments: [
    "UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia", "America/Port-au-Prince", "Etc/GMT+12",
    "GMT0",
    "EST5EDT", "Asia/Ho_Chi_Minh", "GB",
  ])
  func `the zones of the IANA database are known by their names`(name: String) {
    #expect(zoneFault(name) == nil)
  }

  @Test(arguments: [
    "Europe/Berln", "Mars/Phobos", "America", "Etc", "BERLIN", "GMT+1", "Z", "A", "Europe/Berlin/Mitte",
  ])
  func `a zone that does not exist is named`(name: String) {
    #expect(zoneFault(name) == "is \(name), which is no time zone; names are as in Europe/Berlin or UTC")
  }

  @Test(arguments: [
    "", " ", "europe/berlin", "/etc/passwd", "../../etc/passwd", "Europe/../UTC", "Europe/./Berlin", "Europe//Berlin",
    "Europe/", "/UTC", "UTC\0", "UTC ", " UTC", "Europe/Berlin\n", "posixrules", "localtime", "right/UTC", "zone.tab",
    "Zone.tab", "+02:00", "-5", "UTC+02:00", "Köln", "Europe\\Berlin", "\u{202E}UTC", String(repeating: "A", count: 65),
  ])
  func `what cannot be a zone's name is refused unseen`(name: String) {
    #expect(zoneFault(name) == "must be the name of a time zone, such as Europe/Berlin or UTC")
  }

  @Test func `a name of ten megabytes is refused unseen`() {
    for part in ["Europe/", "A", "../", "\0"] {
      let name = String(repeating: part, count: 10_000_000 / part.utf8.count)
      #expect(zoneFault(name) == "must be the name of a time zone, such as Europe/Berlin or UTC")
    }
  }

  @Test func `without a database UTC works and anything else is told what is missing`() throws {
    let empty = try ZoneDirectory([])
    let none = ZoneDatabase(directories: ["/nowhere/zoneinfo", empty.path])
    #expect(zoneFault("UTC", in: none) == nil)
    #expect(zoneFault("Etc/UTC", in: none) == nil)
    #expect(
      zoneFault("Europe/Berlin", in: none) == """
        needs the time zone database, which is in none of /nowhere/zoneinfo, \(empty.path); install the package tzdata, \
        name its place in TZDIR, or use UTC
        """)
  }

  @Test func `the first directory that has a zone wins`() throws {
    let first = try ZoneDirectory([CompiledZone(types: [3600]).bytes])
    let second = try ZoneDirectory([CompiledZone(types: [7200]).bytes, CompiledZone(types: [-3600]).bytes])
    let both = ZoneDatabase(directories: ["/nowhere", first.path, second.path])
    let start = try time("2026-01-01T00:00:00Z")
    #expect(try cron("0 12 * * *", "Test/0", both).next(after: start).map(short) == "2026-01-01T11:00Z")
    #expect(try cron("0 12 * * *", "Test/1", both).next(after: start).map(short) == "2026-01-01T13:00Z")
  }

  @Test func `a pipe in a zone's place keeps nobody waiting`() throws {
    let directory = try ZoneDirectory([])
    #expect(mkfifo("\(directory.path)/Test/Pipe", 0o600) == 0)
    let database = ZoneDatabase(directories: [directory.path] + zones.directories)
    #expect(zoneFault("Test/Pipe", in: database)?.hasPrefix("is Test/Pipe, which is no time zone") == true)
  }

  @Test func `a real zone agrees with what Foundation knows of it`() throws {
    var random = SplitMix64(state: 1970)
    for name in [
      "Europe/Berlin", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
      "Asia/Kathmandu", "Antarctica/Troll", "America/Caracas", "Asia/Pyongyang", "Europe/Dublin", "Asia/Tehran",
      "Atlantic/Azores", "America/Sao_Paulo", "Pacific/Chatham", "Europe/Moscow",
    ] {
      let known = try #require(TimeZone(identifier: name))
      // A tick of each local hour tells the offset at that moment, wherever it is.
      let timing = try cron("0 * * * *", name)
      for _ in 0..<300 {
        // 1973 to 2019: both databases agree on that by now.
        let start = Timestamp(milliseconds: Int64.random(in: 94_694_400...1_577_836_799, using: &random) * 1000)
        let tick = try #require(timing.next(after: start))
        let seconds = Double(tick.milliseconds) / 1000
        #expect((Int(seconds) + known.secondsFromGMT(for: Date(timeIntervalSince1970: seconds))) % 3600 == 0)
      }
      let noon = try cron("0 12 * * *", name)
      for _ in 0..<100 {
        let start = Timestamp(milliseconds: Int64.random(in: 94_694_400...1_577_836_799, using: &random) * 1000)
        let tick = try #require(noon.next(after: start))
        let seconds = Double(tick.milliseconds) / 1000
        let local = Int(seconds) + known.secondsFromGMT(for: Date(timeIntervalSince1970: seconds))
        // Pacific/Apia made up at midnight for the noon of the day that it left out.
        #expect(local % 86_400 == 43_200 || name == "Pacific/Apia" && short(tick) == "2011-12-30T10:00Z")
      }
    }
  }

  @Test func `rules go on for ever`() throws {
    #expect(
      try ticks(cron("30 2 * * *", "Europe/Berlin"), after: "9000-03-29T12:00:00Z", through: "9000-03-31T12:00:00Z")
        == ["9000-03-30T01:00Z", "9000-03-31T00:30Z"])
    #expect(
      try cron("0 0 31 12 *", "America/New_York").next(after: time("9999-12-31T04:59:59Z")).map(short)
        == "9999-12-31T05:00Z")
    #expect(try cron("0 0 31 12 *", "America/New_York").next(after: time("9999-12-31T05:00:00Z")) == nil)
  }
}

@Suite struct ZoneFileTests {
  @Test func `a table says how far ahead the clocks are, and the first type holds before it`() throws {
    let zone = CompiledZone(times: [1_767_225_600, 1_767_312_000], kinds: [1, 2], types: [3600, -7200, 20_700])
    #expect(
      try noons(zone, after: "2025-12-30T12:00:00Z", 4)
        == ["2025-12-31T11:00Z", "2026-01-01T14:00Z", "2026-01-02T06:15Z", "2026-01-03T06:15Z"])
  }

  @Test func `offsets may have seconds, and ticks then have them too`() throws {
    // As in Liberia until 1972.
    #expect(try noons(CompiledZone(types: [-2670]), after: "1971-06-01T00:00:00Z", 1) == ["1971-06-01T12:44:30.000Z"])
  }

  @Test(arguments: [
    // The rule of Berlin.
    ("CET-1CEST,M3.5.0,M10.5.0/3", 3600, "2027-03-27T12:00:00Z", ["2027-03-28T10:00Z"]),
    ("CET-1CEST,M3.5.0,M10.5.0/3", 3600, "2027-10-30T12:00:00Z", ["2027-10-31T11:00Z"]),
    // The last Sunday is the last day.
    ("CET-1CEST,M3.5.0,M10.5.0/3", 3600, "2030-03-29T12:00:00Z", ["2030-03-30T11:00Z", "2030-03-31T10:00Z"]),
    // Quoted names, minutes, two hours of daylight saving, and a time that is a day late.
    ("<+1030>-10:30<+1230>-12:30,M1.1.1/24,M2.1.1/24", 37_800, "2026-01-05T12:00:00Z", ["2026-01-05T23:30Z"]),
    // Before midnight, and 167 hours later: Monday to the Sunday after.
    ("XXX0YYY,M3.2.1/-1,M6.1.1/167", 0, "2026-03-07T12:00:00Z", ["2026-03-08T12:00Z", "2026-03-09T11:00Z"]),
    ("XXX0YYY,M3.2.1/-1,M6.1.1/167", 0, "2026-06-06T12:00:00Z", ["2026-06-07T11:00Z", "2026-06-08T12:00Z"]),
    // The 60th day, without and with counting the 29th of February.
    ("XXX0YYY,J60/0,J300", 0, "2028-02-28T12:00:00Z", ["2028-02-29T12:00Z", "2028-03-01T11:00Z"]),
    ("XXX0YYY,59/0,300", 0, "2028-02-28T12:00:00Z", ["2028-02-29T11:00Z", "2028-03-01T11:00Z"]),
    // Daylight saving all year (RFC 9636 §3.3.1).
    ("EST5EDT,0/0,J365/25", -14_400, "2026-12-30T18:00:00Z", ["2026-12-31T16:00Z", "2027-01-01T16:00Z"]),
    // Winter time is the exception, as in Ireland.
    ("IST-1GMT0,M10.5.0,M3.5.0/1", 3600, "2027-03-27T13:00:00Z", ["2027-03-28T11:00Z"]),
    // South of the equator, and west.
    ("<-04>4<-03>,M9.1.6/24,M4.1.6/24", -14_400, "2027-04-03T12:00:00Z", ["2027-04-03T15:00Z", "2027-04-04T16:00Z"]),
    // Another step than an hour, as on Lord Howe Island.
    ("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 37_800, "2027-10-02T12:00:00Z", ["2027-10-03T01:00Z"]),
    // Nothing changes any more.
    ("<+0545>-5:45", 20_700, "2030-01-01T00:00:00Z", ["2030-01-01T06:15Z"]),
    ("AAA-0:00:30", 30, "2030-01-01T00:00:00Z", ["2030-01-01T11:59:30.000Z"]),
  ])
  func `the footer says how it goes on`(rule: String, offset: Int32, start: String, expected: [String]) throws {
    #expect(try noons(.footer(rule, offset: offset), after: start, expected.count) == expected)
  }

  @Test func `the table holds until its last change, the footer from then on`() throws {
    // To +2 in 2026, for good as far as the table goes; from then on as the footer says.
    var zone = CompiledZone.footer("AAA-2BBB,M3.5.0,M10.5.0")
    (zone.times, zone.kinds, zone.types) = ([1_780_272_000], [1], [0, 7200])
    #expect(
      try noons(zone, after: "2026-05-30T18:00:00Z", 3) == [
        "2026-05-31T12:00Z", "2026-06-01T10:00Z", "2026-06-02T10:00Z",
      ])
    #expect(try noons(zone, after: "2027-06-30T18:00:00Z", 1) == ["2027-07-01T09:00Z"])
  }

  @Test(arguments: [
    "EST5EDT", "EST5EDT,M3.2.0", "EST5EDT,M3.2.0,", "AB3", "AAA", "AAA25", "AAA1:60", "<AAA3", "AAA3BBB,M13.1.0,M1.1.0",
    "AAA3BBB,M3.6.0,M10.1.0", "AAA3BBB,M3.0.0,M10.1.0", "AAA3BBB,M3.1.7,M10.1.0", "AAA3BBB,J0,J1", "AAA3BBB,366,1",
    "AAA3BBB,M3.1.0/168,M10.1.0", "AAA3BBB,M3.1.0,M10.1.0,", "AAA3 ", ":America/New_York", "AAA999999999999999999999",
  ])
  func `a footer that is not understood makes the file useless`(rule: String) throws {
    #expect(
      try zoneFault(of: CompiledZone.footer(rule).bytes)
        == "cannot be read: …/Test/0 ends with a rule that is not understood: \(rule)")
  }

  @Test func `a file that is none, or of a kind that would mislead, is refused`() throws {
    func reason(_ file: CompiledZone) throws -> String? {
      try zoneFault(of: file.bytes)?.replacingOccurrences(of: "cannot be read: …/Test/0 ", with: "")
    }
    #expect(try zoneFault(of: []) == "cannot be read: …/Test/0 ends too soon")
    #expect(try zoneFault(of: Array("Hello".utf8)) == "cannot be read: …/Test/0 is not a TZif file")
    #expect(try zoneFault(of: [UInt8](repeating: 0, count: 1_000_000))?.hasPrefix("cannot be read: …/Test/0: ") == true)
    #expect(try reason(CompiledZone(magic: "TZig")) == "is not a TZif file")
    #expect(try reason(CompiledZone(version: 0)) == "is of the first version, which ends in 2037")
    #expect(try reason(CompiledZone(types: [])) == "has no types of local time")
    #expect(try reason(CompiledZone(leapSeconds: 1)) == "counts leap seconds")
    #expect(try reason(CompiledZone(types: [100_000])) == "has an offset of 100000 seconds")
    #expect(try reason(CompiledZone(times: [1, 2], kinds: [0, 1])) == "names a type that it does not have")
    #expect(try reason(CompiledZone(times: [2, 1], kinds: [0, 0])) == "has changes that are out of order")
    #expect(try reason(CompiledZone(times: [1, 1], kinds: [0, 0])) == "has changes that are out of order")
    #expect(try reason(CompiledZone(footer: "")) == "ends too soon")
    #expect(try reason(CompiledZone(footer: "\nUTC0")) == "ends too soon")
  }

  @Test func `a file cut anywhere is refused`() throws {
    var zone = CompiledZone.footer("CET-1CEST,M3.5.0,M10.5.0/3")
    (zone.times, zone.kinds, zone.types) = ([0, 1000], [0, 1], [0, 3600])
    let whole = zone.bytes
    let directory = try ZoneDirectory(whole.indices.map { Array(whole.prefix($0)) } + [whole])
    for length in whole.indices { #expect(zoneFault("Test/\(length)", in: directory.database) != nil) }
    #expect(zoneFault("Test/\(whole.count)", in: directory.database) == nil)
  }

  @Test func `a file with flipped bits is refused or of some use, and nothing runs for ever`() throws {
    var random = SplitMix64(state: 9636)
    var zone = CompiledZone.footer("CET-1CEST,M3.5.0,M10.5.0/3")
    (zone.times, zone.kinds, zone.types) = (
      [-1_000_000_000_000_000, 0, 86_400, 90_000], [1, 0, 1, 2], [0, 3600, -43_200]
    )
    let whole = zone.bytes
    let directory = try ZoneDirectory(
      (0..<2000).map { _ in
        var bytes = whole
        for _ in 0..<Int.random(in: 1...3, using: &random) {
          bytes[Int.random(in: bytes.indices, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        }
        return bytes
      })
    var useful = 0
    for index in 0..<2000 {
      guard let timing = try? cron("30 2 29 2 *", "Test/\(index)", directory.database) else { continue }
      useful += 1
      for start in ["0000-01-01T00:00:00Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"] {
        let tick = try #require(timing.next(after: time(start)))
        #expect(timing.latest(after: try time(start), through: tick) == tick)
      }
    }
    #expect(useful > 100)
    #expect(useful < 1900)
  }
}
