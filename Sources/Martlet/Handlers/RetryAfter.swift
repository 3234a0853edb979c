// The `Retry-After` of an answer (RFC 9110 §10.2.3): seconds, or a date in one of HTTP's three forms. Used by `WebhookCall`.

internal import MartletCore
internal import NIOHTTP1

enum RetryAfter {
  /// No server may put a task off for longer.
  private static let longest = Duration.seconds(86_400)

  /// Nil when nothing was asked for, or nothing that can be read. A date is measured from the answer's own `Date`, so that it
  /// does not matter whose clock is wrong; from `now` if there is none.
  static func delay(asked headers: HTTPHeaders, now: Timestamp) -> Duration? {
    guard let text = headers.first(name: "retry-after").map(trimmed), !text.isEmpty else { return nil }
    if text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
      return Int64(text).map { min(.seconds($0), longest) } ?? longest
    }
    guard let date = date(text) else { return nil }
    let reference = headers.first(name: "date").flatMap { Self.date(trimmed($0)) } ?? now
    return min(max(date - reference, .zero), longest)
  }

  /// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`.
  static func date(_ text: String) -> Timestamp? {
    let parts = text.split(separator: " ").map(String.init)
    switch parts.count {
    case 6 where parts[0].hasSuffix(",") && parts[5] == "GMT":
      return timestamp(day: parts[1], month: parts[2], year: parts[3], time: parts[4])
    case 4 where parts[0].hasSuffix(",") && parts[3] == "GMT":
      let date = parts[1].split(separator: "-").map(String.init)
      guard date.count == 3, date[2].utf8.count == 2, let year = Int(date[2]) else { return nil }
      // Two digits, in use until about 1995: no date that matters now lies before 1970.
      return timestamp(
        day: date[0], month: date[1], year: String(year < 70 ? 2000 + year : 1900 + year), time: parts[2])
    case 5:
      return timestamp(day: parts[2], month: parts[1], year: parts[4], time: parts[3])
    default: return nil
    }
  }

  private static func timestamp(day: String, month: String, year: String, time: String) -> Timestamp? {
    guard let index = months.firstIndex(of: month) else { return nil }
    let number = index < 9 ? "0\(index + 1)" : "\(index + 1)"
    return Timestamp("\(year)-\(number)-\(day.utf8.count == 1 ? "0" + day : day)T\(time)Z")
  }

  private static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  private static func trimmed(_ text: String) -> String {
    String(text.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }
}
