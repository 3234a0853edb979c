// Random expressions against a clock on the wall that somebody watches for days, minute by minute, with the rules applied in
// the plainest way. The zones' offsets come from Foundation, which has a database of its own.

import Foundation
import MartletCore
import Testing

/// Eleven days around a change of clocks; ticks are looked for in the last seven.
private struct Window: Sendable, CustomTestStringConvertible {
  var zone: String
  /// The first of the eleven days.
  var day: String
  var testDescription: String { "\(zone) \(day)" }
}

private let windows = [
  ("UTC", "2021-01-01"), ("Europe/Berlin", "2021-03-22"), ("Europe/Berlin", "2021-10-25"),
  ("America/New_York", "2021-03-08"), ("America/New_York", "2021-11-01"), ("Europe/Dublin", "2021-03-22"),
  ("Europe/Dublin", "2021-10-25"), ("Australia/Lord_Howe", "2021-09-27"), ("Australia/Lord_Howe", "2021-03-29"),
  ("America/Santiago", "2021-08-30"), ("America/Santiago", "2021-03-29"), ("America/Havana", "2021-03-08"),
  ("America/Havana", "2021-11-01"), ("Antarctica/Troll", "2021-03-22"), ("Antarctica/Troll", "2021-10-25"),
  ("Africa/Casablanca", "2019-04-29"), ("Africa/Casablanca", "2019-06-03"), ("Pacific/Apia", "2011-12-24"),
  ("Pacific/Kwajalein", "1993-08-15"), ("Asia/Kathmandu", "1985-12-26"), ("Asia/Pyongyang", "2015-08-09"),
  ("America/Caracas", "2016-04-25"), ("Asia/Gaza", "2019-03-24"), ("Europe/Volgograd", "2018-10-22"),
].map { Window(zone: $0.0, day: $0.1) }

/// An expression together with what it was made from.
private struct Draft {
  var text: String
  /// What each field takes, by value.
  var fields: [[Bool]]
  var daysAreAlternatives: Bool

  var runsEveryHour: Bool { fields[1].prefix(24).allSatisfy { $0 } }

  init(using random: inout SplitMix64) {
    let limits = [0...59, 0...23, 1...31, 1...12, 0...6]
    var texts: [String] = []
    fields = []
    for (index, limit) in limits.enumerated() {
      // Dates are mostly left open, or few expressions would run at all.
      if index >= 2, Int.random(in: 0..<10, using: &random) < (index == 3 ? 9 : 7) {
        texts.append("*")
        fields.append(Array(repeating: true, count: limit.upperBound + 1))
        continue
      }
      let entries = (0..<Int.random(in: 1...3, using: &random)).map { _ in Self.entry(limit, using: &random) }
      texts.append(entries.map(\.text).joined(separator: ","))
      fields.append((0...limit.upperBound).map { value in entries.contains { $0.values.contains(value) } })
    }
    text = texts.joined(separator: " ")
    daysAreAlternatives = !texts[2].hasPrefix("*") && !texts[4].hasPrefix("*")
  }

  private static func entry(_ limit: ClosedRange<Int>, using random: inout SplitMix64) -> (text: String, values: [Int])
  {
    let step = Int.random(in: 1...limit.count, using: &random)
    let first = Int.random(in: limit, using: &random)
    let last = Int.random(in: first...limit.upperBound, using: &random)
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return ("*/\(step)", Array(stride(from: limit.lowerBound, through: limit.upperBound, by: step)))
    case 1: return ("\(first)/\(step)", Array(stride(from: first, through: limit.upperBound, by: step)))
    case 2: return ("\(first)-\(last)/\(step)", Array(stride(from: first, through: last, by: step)))
    case 3: return ("\(first)-\(last)", Array(first...last))
    default: return ("\(first)", [first])
    }
  }

  func runs(on date: DateComponents) -> Bool {
    let day = fields[2][date.day!]
    let weekday = fields[4][date.weekday! - 1]
    return fields[3][date.month!] && (daysAreAlternatives ? day || weekday : day && weekday)
  }
}

/// The clock on the wall.
private struct Wall {
  /// In minutes since 1970.
  let start: Int
  /// What the clock shows, for each minute from the start on, in minutes since 1970-01-01T00:00 as it would show it.
  let shown: [Int]
  /// The dates that it shows or skips, by days since 1970.
  let dates: [Int: DateComponents]

  init(_ window: Window) throws {
    let begin = try time("\(window.day)T00:00:00Z")
    start = Int(begin.milliseconds / 60_000)
    let zone = try #require(TimeZone(identifier: window.zone))
    let first = start
    shown = (0..<11 * 1440).map { minute in
      let date = Date(timeIntervalSince1970: Double((first + minute) * 60))
      return first + minute + zone.secondsFromGMT(for: date) / 60
    }
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
    var dates: [Int: DateComponents] = [:]
    for day in (start / 1440 - 2)...(start / 1440 + 13) {
      dates[day] = calendar.dateComponents(
        [.day, .month, .weekday], from: Date(timeIntervalSince1970: Double(day * 86_400)))
    }
    self.dates = dates
  }

  /// In minutes since 1970, from the fifth day on.
  func ticks(_ draft: Draft) -> [Int] {
    let days = dates.mapValues(draft.runs(on:))
    func matches(_ minute: Int) -> Bool {
      draft.fields[0][minute % 60] && draft.fields[1][minute / 60 % 24] && days[minute / 1440] == true
    }
    var found: [Int] = []
    var highest = shown[0]
    for (index, now) in shown.enumerated() {
      let hasBeen = index > 0 && now <= highest
      var runs = matches(now) && (!hasBeen || draft.runsEveryHour)
      if now > highest + 1, !draft.runsEveryHour, (highest + 1..<now).contains(where: matches) { runs = true }
      if runs, index >= 4 * 1440 { found.append(start + index) }
      highest = max(highest, now)
    }
    return found
  }
}

@Suite struct CronWalkTests {
  @Test(arguments: windows)
  private func `next and latest find what somebody with a watch would`(window: Window) throws {
    var random = SplitMix64(state: window.testDescription.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
    let wall = try Wall(window)
    let (begin, end) = (wall.start + 4 * 1440, wall.start + 11 * 1440)
    var count = 0
    for _ in 0..<40 {
      let draft = Draft(using: &random)
      guard let timing = try? cron(draft.text, window.zone) else {
        #expect(cronFault(draft.text) == "the expression never runs: none of its months has one of its days")
        continue
      }
      let ticks = wall.ticks(draft)
      count += ticks.count
      let context = Comment(rawValue: "\(draft.text) in \(window.zone)")
      if ticks.count <= 200 {
        let found = sequence(first: stamp(begin) + .milliseconds(-1)) { timing.next(after: $0) }
          .dropFirst().prefix { $0 < stamp(end) }
        #expect(found.map { Int($0.milliseconds / 60_000) } == ticks, context)
      }
      for _ in 0..<40 {
        // Half of the probes are near a tick, where errors would be.
        let near = Bool.random(using: &random) ? ticks.randomElement(using: &random) : nil
        let probe = min(
          max((near ?? Int.random(in: begin..<end, using: &random)) + Int.random(in: -1...1, using: &random), begin),
          end - 1)
        let lower = Int.random(in: begin...probe, using: &random)
        #expect(
          timing.latest(after: stamp(lower), through: stamp(probe))
            == ticks.last { $0 > lower && $0 <= probe }.map(stamp),
          context)
        if let next = ticks.first(where: { $0 > probe }) {
          #expect(timing.next(after: stamp(probe)) == stamp(next), context)
        } else if let next = timing.next(after: stamp(probe)) {
          #expect(next >= stamp(end), context)
        }
      }
    }
    #expect(count > 0)
  }

  @Test func `dates are found years ahead and back as by turning the pages of a calendar`() throws {
    var random = SplitMix64(state: 29)
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
    let begin = 45_000  // in 2093, so that the pages pass a century without a leap day
    let pages = (begin..<begin + 20 * 366).map { day in
      calendar.dateComponents([.day, .month, .weekday], from: Date(timeIntervalSince1970: Double(day) * 86_400))
    }
    for _ in 0..<300 {
      let draft = Draft(using: &random)
      let fields = draft.text.split(separator: " ").dropFirst(2).joined(separator: " ")
      guard let timing = try? cron("0 0 \(fields)") else { continue }
      let days = pages.indices.filter { draft.runs(on: pages[$0]) }.map { begin + $0 }
      guard let first = days.first, let last = days.last else { continue }
      let found = timing.next(min(days.count, 50), after: stamp(begin * 1440 - 1))
      #expect(found == days.prefix(50).map { stamp($0 * 1440) }, Comment(rawValue: draft.text))
      #expect(timing.latest(after: .earliest, through: stamp((begin + pages.count) * 1440 - 1)) == stamp(last * 1440))
      #expect(timing.latest(after: stamp(begin * 1440 - 1), through: stamp(first * 1440 + 1439)) == stamp(first * 1440))
    }
  }
}

/// From minutes since 1970.
private func stamp(_ minutes: Int) -> Timestamp {
  Timestamp(milliseconds: Int64(minutes) * 60_000)
}
