// Where Redis is and who we are there: `redis.url`, read once at the start.

/// `redis://[[user]:password@]host[:6379][/database]`, or `rediss://…[?ca=PATH]` for TLS.
package struct RedisURL: Sendable, Hashable {
  package private(set) var isTLS: Bool
  package private(set) var user: String?
  package private(set) var password: String?
  /// A name or an address; that of IPv6 without its brackets.
  package private(set) var host: String
  package private(set) var port = 6379
  package private(set) var database = 0
  /// A PEM file with the only certificates that are trusted; nil for those of the system.
  package private(set) var ca: String?

  /// - Throws: `.unusable`, which quotes nothing that might be a part of the password.
  package init(_ text: String) throws(RedisError) {
    guard let scheme = ["redis://", "rediss://"].first(where: text.hasPrefix) else {
      throw Self.wrong("must begin with redis:// or rediss://")
    }
    isTLS = scheme == "rediss://"
    let rest = text.dropFirst(scheme.count)
    let place = rest.prefix { !"/?#".contains($0) }
    let tail = rest[place.endIndex...]
    // An @ here is one that stood behind a slash or the like in the password.
    guard !tail.contains("@"), !tail.contains("#") else {
      throw Self.wrong("must have / ? # @ in user, password and path written as %2F %3F %23 %40")
    }
    var address = place
    if let at = place.lastIndex(of: "@") {
      address = place[place.index(after: at)...]
      (user, password) = try Self.credentials(place[..<at])
    }
    (host, port) = try Self.address(address)
    let mark = tail.firstIndex(of: "?") ?? tail.endIndex
    database = try Self.database(tail[..<mark])
    ca = try Self.ca(tail[mark...].dropFirst())
    guard isTLS || ca == nil else { throw Self.wrong("has a ca, for which it must begin with rediss://") }
  }

  private static func credentials(_ text: Substring) throws(RedisError) -> (user: String?, password: String) {
    let colon = text.firstIndex(of: ":") ?? text.endIndex
    let user = try decoded(text[..<colon], "user")
    let password = try decoded(text[colon...].dropFirst(), "password")
    guard !password.isEmpty else { throw wrong("names no password: redis://user:password@host") }
    return (user.isEmpty ? nil : user, password)
  }

  private static func address(_ text: Substring) throws(RedisError) -> (host: String, port: Int) {
    var host = text
    var port = Substring()
    if text.first == "[" {
      guard let end = text.firstIndex(of: "]") else { throw wrong("has a [ without its ]") }
      host = text[..<end].dropFirst()
      port = text[end...].dropFirst()
      guard port.isEmpty || port.first == ":" else { throw wrong("has something between ] and the port") }
    } else if let colon = text.firstIndex(of: ":") {
      (host, port) = (text[..<colon], text[colon...])
    }
    guard !host.isEmpty else { throw wrong("names no host") }
    guard host.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw wrong("has a host that is not ASCII") }
    guard !port.isEmpty else { return (String(host), 6379) }
    guard let number = number(port.dropFirst()), (1...65_535).contains(number) else {
      throw wrong("has a port that is not a number from 1 to 65535")
    }
    return (String(host), number)
  }

  private static func database(_ path: Substring) throws(RedisError) -> Int {
    guard path.count > 1 else { return 0 }
    guard let number = number(path.dropFirst()) else {
      throw wrong("has a path that is not the number of a database, as in /0")
    }
    return number
  }

  private static func ca(_ query: Substring) throws(RedisError) -> String? {
    guard !query.isEmpty else { return nil }
    guard query.hasPrefix("ca="), !query.contains("&"), query.count > 3 else {
      throw wrong("may have one parameter only: ?ca=PATH")
    }
    return try decoded(query.dropFirst(3), "ca")
  }

  private static func number(_ digits: Substring) -> Int? {
    digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(digits) : nil
  }

  private static func decoded(_ text: Substring, _ what: String) throws(RedisError) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      let digits = rest.prefix(2)
      guard digits.count == 2, digits.first != UInt8(ascii: "+"),
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
      else { throw wrong("has a % in its \(what) that two hexadecimal digits do not follow") }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
      throw wrong("has a \(what) that is not UTF-8")
    }
    return text
  }

  private static func wrong(_ predicate: String) -> RedisError {
    .unusable("the Redis URL \(predicate)")
  }
}

extension RedisURL: CustomStringConvertible, CustomDebugStringConvertible {
  /// `host:port`, for people.
  package var place: String {
    (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
  }

  /// Without the password.
  package var description: String {
    let credentials = password == nil ? "" : "\(user ?? ""):***@"
    return (isTLS ? "rediss://" : "redis://") + "\(credentials)\(place)/\(database)" + (ca.map { "?ca=\($0)" } ?? "")
  }

  package var debugDescription: String { description }
}
