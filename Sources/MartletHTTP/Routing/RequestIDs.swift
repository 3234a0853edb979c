// The `X-Request-Id` of an answer: the client's own where it is harmless, else a new one.

internal import MartletCore
internal import Synchronization

/// Draws ids that are unique over restarts and nodes: a random prefix and a count.
final class RequestIDs: Sendable {
  private let prefix: String
  private let count = Atomic<UInt64>(0)

  init(random: RandomSource) {
    prefix = Self.hex(random.next(), digits: 16) + "-"
  }

  func id(given: String?) -> String {
    if let given, Self.isValid(given) { return given }
    return prefix + Self.hex(count.wrappingAdd(1, ordering: .relaxed).newValue, digits: 8)
  }

  /// 1–128 visible ASCII characters but quotes: safe in headers, logs and JSON alike.
  static func isValid(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "'")
          && byte != UInt8(ascii: "\\")
      }
  }

  /// At least so many digits.
  private static func hex(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}
