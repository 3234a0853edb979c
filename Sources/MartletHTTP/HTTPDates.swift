// The `Date` header (RFC 9110 §6.6.1), put together once a second. Called by `Responder`.

internal import Foundation
internal import MartletCore
internal import Synchronization

final class HTTPDates: Sendable {
  private let latest = Mutex((second: Int64.min, text: ""))

  func now() -> String {
    let milliseconds = Int64(Date().timeIntervalSince1970 * 1000)
    let second = milliseconds / 1000
    return latest.withLock { latest in
      if latest.second != second { latest = (second, Self.text(Timestamp(milliseconds: second * 1000))) }
      return latest.text
    }
  }

  /// `Sun, 06 Nov 1994 08:49:37 GMT`
  static func text(_ time: Timestamp) -> String {
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]  // 1970 began on a Thursday
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let parts = time.description.split { $0 == "-" || $0 == "T" || $0 == "." }
    let day = days[Int((time.milliseconds / 86_400_000 % 7 + 7) % 7)]
    let month = months[(Int(parts[1]) ?? 1) - 1]
    return "\(day), \(parts[2]) \(month) \(parts[0]) \(parts[3]) GMT"
  }
}
