// Points in time as Martlet stores and shows them: milliseconds since 1970 in UTC, and RFC 3339 on the wire.
// `When` is how Core speaks of the future without a clock of its own: the store resolves it in its own statement.

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
public struct Timestamp: Hashable, Comparable, Sendable {
  public var milliseconds: Int64

  public init(milliseconds: Int64) {
    self.milliseconds = milliseconds
  }

  public static func < (left: Timestamp, right: Timestamp) -> Bool {
    left.milliseconds < right.milliseconds
  }

  /// The time `duration` later; stops at the ends of `Int64` rather than overflowing.
  public static func + (time: Timestamp, duration: Duration) -> Timestamp {
    let (sum, overflow) = time.milliseconds.addingReportingOverflow(duration.wholeMilliseconds)
    guard overflow else { return Timestamp(milliseconds: sum) }
    return Timestamp(milliseconds: duration < .zero ? .min : .max)
  }

  public static func - (left: Timestamp, right: Timestamp) -> Duration {
    let (difference, overflow) = left.milliseconds.subtractingReportingOverflow(right.milliseconds)
    guard overflow else { return .milliseconds(difference) }
    return .milliseconds(left > right ? Int64.max : Int64.min)
  }

  /// The last time that RFC 3339 can write: 9999-12-31T23:59:59.999Z.
  public static let latest = Timestamp(milliseconds: 253_402_300_799_999)
  /// The first time that RFC 3339 can write: 0000-01-01T00:00:00.000Z.
  public static let earliest = Timestamp(milliseconds: -62_167_219_200_000)
}

/// When something shall happen, said without knowing what time it is.
package enum When: Hashable, Sendable {
  case now
  case after(Duration)
  case at(Timestamp)

  /// The time meant, never before `now`.
  package func resolved(now: Timestamp) -> Timestamp {
    switch self {
    case .now: now
    case .after(let duration): duration > .zero ? min(now + duration, .latest) : now
    case .at(let time): max(min(time, .latest), now)
    }
  }
}

extension Duration {
  /// Whole milliseconds, rounded towards zero and saturating.
  package var wholeMilliseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    guard !overflow else { return seconds < 0 ? .min : .max }
    let (sum, overflowed) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
    guard !overflowed else { return seconds < 0 ? .min : .max }
    return sum
  }

  /// Whole milliseconds for seconds as a client writes them. What binary fractions add to a decimal is taken off; what is
  /// really between two milliseconds is rounded up, so that nothing begins too early.
  package static func wire(seconds: Double) -> Duration {
    let exact = seconds * 1000
    let nearest = exact.rounded()
    return .milliseconds(Int64(abs(exact - nearest) < 0.001 ? nearest : exact.rounded(.up)))
  }

  package var secondsAsDouble: Double {
    Double(components.seconds) + Double(components.attoseconds) / 1e18
  }
}

// MARK: - RFC 3339

extension Timestamp: LosslessStringConvertible {
  /// Reads an RFC 3339 `date-time` with any offset; fractions beyond milliseconds are cut off. Nil when it is not one.
  /// A leap second (`:60`) is read as the first moment of the next minute.
  public init?(_ text: String) {
    var reader = DigitReader(text)
    guard let year = reader.number(4), reader.take("-"),
      let month = reader.number(2), reader.take("-"),
      let day = reader.number(2), reader.take("T") || reader.take("t") || reader.take(" "),
      let hour = reader.number(2), reader.take(":"),
      let minute = reader.number(2), reader.take(":"),
      let second = reader.number(2),
      (1...12).contains(month), (1...Self.daysIn(month: month, year: year)).contains(day),
      hour < 24, minute < 60, second <= 60
    else { return nil }
    var fraction = 0
    if reader.take(".") {
      guard let milliseconds = reader.fraction() else { return nil }
      fraction = milliseconds
    }
    var offsetMinutes = 0
    if !(reader.take("Z") || reader.take("z")) {
      let negative = reader.take("-")
      guard negative || reader.take("+"), let hours = reader.number(2), reader.take(":"),
        let minutes = reader.number(2), hours < 24, minutes < 60
      else { return nil }
      offsetMinutes = (negative ? -1 : 1) * (hours * 60 + minutes)
    }
    guard reader.isAtEnd else { return nil }
    let minutes = (Self.daysSinceEpoch(year: year, month: month, day: day) * 24 + hour) * 60 + minute - offsetMinutes
    milliseconds = Int64((minutes * 60 + second) * 1000 + fraction)
    guard self >= Self.earliest, self <= Self.latest else { return nil }
  }

  /// RFC 3339 in UTC with milliseconds: `2026-02-01T10:00:00.000Z`. Times that it cannot write are shown as its first or last.
  public var description: String {
    let clamped = min(max(self, .earliest), .latest).milliseconds
    var days = clamped / 86_400_000
    var rest = Int(clamped % 86_400_000)
    if rest < 0 {
      rest += 86_400_000
      days -= 1
    }
    let (year, month, day) = Self.date(daysSinceEpoch: Int(days))
    return String(unsafeUninitializedCapacity: 24) { buffer in
      var position = 0
      func put(_ value: Int, digits: Int) {
        var value = value
        for index in stride(from: position + digits - 1, through: position, by: -1) {
          buffer[index] = UInt8(ascii: "0") + UInt8(value % 10)
          value /= 10
        }
        position += digits
      }
      func put(_ scalar: Unicode.Scalar) {
        buffer[position] = UInt8(ascii: scalar)
        position += 1
      }
      put(year, digits: 4)
      put("-")
      put(month, digits: 2)
      put("-")
      put(day, digits: 2)
      put("T")
      put(rest / 3_600_000, digits: 2)
      put(":")
      put(rest / 60_000 % 60, digits: 2)
      put(":")
      put(rest / 1000 % 60, digits: 2)
      put(".")
      put(rest % 1000, digits: 3)
      put("Z")
      return position
    }
  }

  /// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
  static func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  static func date(daysSinceEpoch: Int) -> (year: Int, month: Int, day: Int) {
    let days = daysSinceEpoch + 719_468
    let era = (days >= 0 ? days : days - 146_096) / 146_097
    let dayOfEra = days - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }

  static func daysIn(month: Int, year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
}

private struct DigitReader {
  var rest: Substring.UTF8View

  init(_ text: String) {
    rest = Substring(text).utf8
  }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard rest.first == UInt8(ascii: scalar) else { return false }
    rest.removeFirst()
    return true
  }

  mutating func number(_ digits: Int) -> Int? {
    var value = 0
    for _ in 0..<digits {
      guard let digit = digit() else { return nil }
      value = value * 10 + digit
    }
    return value
  }

  /// One or more digits after the point, as milliseconds.
  mutating func fraction() -> Int? {
    var value = 0
    var count = 0
    while let digit = digit() {
      if count < 3 { value = value * 10 + digit }
      count += 1
    }
    guard count > 0 else { return nil }
    while count < 3 {
      value *= 10
      count += 1
    }
    return value
  }

  private mutating func digit() -> Int? {
    guard let byte = rest.first, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
    rest.removeFirst()
    return Int(byte - UInt8(ascii: "0"))
  }
}
