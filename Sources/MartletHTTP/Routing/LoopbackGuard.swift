// Keeps web pages away from a server without authentication: a page elsewhere can make a browser send requests to
// loopback, by DNS rebinding (its own name in `Host`) or across sites (its own name in `Origin`). Called by
// `Responder`.

enum LoopbackGuard {
  static func check(host: String, origin: String?) throws(Problem) {
    guard isLoopback(authority: host) else {
      throw Problem(
        .forbiddenHost,
        "without authentication this server answers only to names such as localhost or 127.0.0.1, not to '\(host)'"
      )
    }
    guard let origin else { return }
    guard let authority = authority(ofOrigin: origin), isLoopback(authority: authority) else {
      throw Problem(.forbiddenHost, "without authentication this server answers no web page of '\(origin)'")
    }
  }

  /// `localhost`, `*.localhost`, `127.0.0.0/8` and `[::1]`, with any port.
  static func isLoopback(authority: String) -> Bool {
    if authority.hasPrefix("[") {
      guard let end = authority.firstIndex(of: "]") else { return false }
      let address = authority[authority.index(after: authority.startIndex)..<end]
      return (address == "::1" || address == "0:0:0:0:0:0:0:1") && isPort(authority[authority.index(after: end)...])
    }
    let colon = authority.firstIndex(of: ":") ?? authority.endIndex
    guard isPort(authority[colon...]) else { return false }
    let name = authority[..<colon]
    if name == "localhost" || name == "127.0.0.1" { return true }
    let lower = name.lowercased()
    return lower == "localhost" || lower.hasSuffix(".localhost") || isLoopbackAddress(lower)
  }

  private static func isLoopbackAddress(_ text: String) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127"
      && parts.allSatisfy { part in
        part.utf8.count <= 3 && part.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
          && UInt8(part) != nil
      }
  }

  /// Nothing, or `:` and digits.
  private static func isPort(_ text: Substring) -> Bool {
    guard !text.isEmpty else { return true }
    return text.first == ":" && text.utf8.count <= 6
      && text.utf8.dropFirst().allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// Nil for `null` and whatever else is no web origin.
  private static func authority(ofOrigin origin: String) -> String? {
    for scheme in ["http://", "https://"] where origin.hasPrefix(scheme) {
      return String(origin.dropFirst(scheme.count))
    }
    return nil
  }
}
