// Takes a request target (`/tasks/4?limit=3`) apart: decoded path segments and query parameters. Strict: what is not a
// well-formed URI is refused rather than guessed at. Called by `Responder`.

/// A parsed request target.
struct RequestTarget: Sendable {
  /// Percent-decoded; `/` has none.
  let segments: [String]
  /// Undecoded: most requests have none.
  private let rawQuery: Substring.UTF8View?

  init(_ target: String) throws(Problem) {
    guard target.utf8.first == UInt8(ascii: "/") else {
      throw Problem(.malformedRequest, "the request target must be a path that begins with '/'")
    }
    guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }) else {
      throw Problem(.malformedRequest, "the request target has characters that must be percent-encoded")
    }
    let parts = target.dropFirst().utf8.split(
      separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
    rawQuery = parts.count > 1 ? parts[1] : nil
    var segments: [String] = []
    if !parts[0].isEmpty {
      for part in parts[0].split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
        segments.append(try Self.decoded(part, plusIsSpace: false, in: "path"))
      }
    }
    self.segments = segments
  }

  /// Names and values in order.
  func queryParameters() throws(Problem) -> [(name: String, value: String)] {
    guard let rawQuery, !rawQuery.isEmpty else { return [] }
    var parameters: [(name: String, value: String)] = []
    for pair in rawQuery.split(separator: UInt8(ascii: "&")) {
      let sides = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      let name = try Self.decoded(sides[0], plusIsSpace: true, in: "query")
      let value = sides.count > 1 ? try Self.decoded(sides[1], plusIsSpace: true, in: "query") : ""
      parameters.append((name, value))
    }
    return parameters
  }

  private static func decoded(_ text: Substring.UTF8View, plusIsSpace: Bool, in place: String) throws(Problem) -> String
  {
    guard text.contains(where: { $0 == UInt8(ascii: "%") || (plusIsSpace && $0 == UInt8(ascii: "+")) }) else {
      return String(Substring(text))
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count)
    var iterator = text.makeIterator()
    while let byte = iterator.next() {
      switch byte {
      case UInt8(ascii: "%"):
        guard let high = iterator.next().flatMap(digit), let low = iterator.next().flatMap(digit) else {
          throw Problem(.malformedRequest, "the \(place) has a '%' without two hexadecimal digits after it")
        }
        bytes.append(high << 4 | low)
      case UInt8(ascii: "+") where plusIsSpace:
        bytes.append(UInt8(ascii: " "))
      default:
        bytes.append(byte)
      }
    }
    guard let decoded = String(validating: bytes, as: UTF8.self) else {
      throw Problem(.malformedRequest, "the \(place) is not UTF-8")
    }
    guard !bytes.contains(0) else { throw Problem(.malformedRequest, "the \(place) has a NUL character") }
    return decoded
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
