// Reads the line at the end of a TZif file that says how a zone goes on for ever: `CET-1CEST,M3.5.0,M10.5.0/3`. It is the TZ
// variable of POSIX (Base Definitions, chapter 8.3) with hours from -167 to 167 (RFC 9636 §3.3.1).

enum PosixZone {
  /// Nil where the zone stays as it is.
  static func future(_ text: ArraySlice<UInt8>) throws(UnreadableZone) -> ZoneFuture? {
    var reader = PosixReader(rest: text)
    guard let standardWest = reader.clock() else { throw unreadable(text) }
    if reader.rest.isEmpty { return nil }
    guard let future = reader.daylight(standardWest: standardWest), reader.rest.isEmpty else { throw unreadable(text) }
    return future
  }

  private static func unreadable(_ text: ArraySlice<UInt8>) -> UnreadableZone {
    UnreadableZone("ends with a rule that is not understood: \(String(decoding: text.prefix(60), as: UTF8.self))")
  }
}

private struct PosixReader {
  var rest: ArraySlice<UInt8>

  /// A name and how far west of UTC the clock is, in seconds. Nil if there is none.
  mutating func clock() -> Int64? {
    name() ? time(hours: 24) : nil
  }

  mutating func daylight(standardWest: Int64) -> ZoneFuture? {
    guard name() else { return nil }
    let isOneHourAhead = rest.first == UInt8(ascii: ",")
    guard let west = isOneHourAhead ? standardWest - 3600 : time(hours: 24),
      take(","), let begins = moment(), take(","), let ends = moment()
    else { return nil }
    return ZoneFuture(
      standardOffset: -standardWest, daylightOffset: -west, daylightBegins: begins, daylightEnds: ends)
  }

  /// Three letters or more, or anything of letters, digits and signs in angle brackets.
  private mutating func name() -> Bool {
    let isQuoted = take("<")
    let count = rest.prefix { byte in
      let isLetter = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte & ~0x20)
      return isLetter || isQuoted && (isDigit(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-"))
    }.count
    rest = rest.dropFirst(count)
    return count >= 3 && (!isQuoted || take(">"))
  }

  private mutating func moment() -> ZoneFuture.YearlyMoment? {
    guard let day = day() else { return nil }
    guard take("/") else { return ZoneFuture.YearlyMoment(day: day, seconds: 7200) }
    guard let seconds = time(hours: 167) else { return nil }
    return ZoneFuture.YearlyMoment(day: day, seconds: seconds)
  }

  private mutating func day() -> ZoneFuture.YearlyMoment.Day? {
    if take("M") {
      guard let month = number(1...12), take("."), let week = number(1...5), take("."), let weekday = number(0...6)
      else {
        return nil
      }
      return .weekday(month: month, week: week, day: weekday)
    }
    return take("J") ? number(1...365).map { .julian($0) } : number(0...365).map { .ofYear($0) }
  }

  /// `[+-]hh[:mm[:ss]]`, in seconds.
  private mutating func time(hours limit: Int) -> Int64? {
    let isNegative = take("-")
    if !isNegative { _ = take("+") }
    guard var seconds = number(0...limit).map({ $0 * 3600 }) else { return nil }
    for unit in [60, 1] {
      guard take(":") else { break }
      guard let part = number(0...59) else { return nil }
      seconds += part * unit
    }
    return Int64(isNegative ? -seconds : seconds)
  }

  private mutating func number(_ limits: ClosedRange<Int>) -> Int? {
    let digits = rest.prefix(while: isDigit)
    guard (1...3).contains(digits.count) else { return nil }
    let value = digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
    rest = rest.dropFirst(digits.count)
    return limits.contains(value) ? value : nil
  }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard rest.first == UInt8(ascii: scalar) else { return false }
    rest = rest.dropFirst()
    return true
  }
}

private func isDigit(_ byte: UInt8) -> Bool {
  (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
}
