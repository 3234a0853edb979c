// URLs that clients and operators give: those that are called, with perhaps the place of a redirect on a second line, and those of
// Redis, RabbitMQ and PostgreSQL.

#if DEBUG || MARTLET_FUZZ
  import Foundation

  @testable import Martlet
  @testable import MartletEvents
  @testable import MartletPostgres
  @testable import MartletRedis

  enum URLTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let lines = bytes.lines(atMost: 2)
      if let target = TargetURL(lines[0]) {
        try called(target)
        if lines.count > 1, let next = target.following(lines[1]) {
          try require(next.host == target.host, "a redirect leads from \(target.host) to \(next.host)")
          try called(next)
        }
      }
      if let address = IPAddress(lines[0]) {
        try require(IPAddress(address.description) == address, "an address comes back as another")
      }
      try secrets(lines[0])
    }

    /// Whoever reads its text once more reads the same host; and no spelling hides an address that must not be called.
    private static func called(_ target: TargetURL) throws(Finding) {
      try require(TargetURL(target.text) == target, "read again it is another URL: \(target.text)")
      guard let url = URL(string: target.text), let host = url.host else { throw Finding("the client reads no host") }
      let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
      try require(
        bare == target.host && url.user == nil && url.password == nil, "the client reads another host: \(host)")
      let authority = target.text.dropFirst(target.isSecure ? 8 : 7).prefix { $0 != "/" && $0 != "?" }
      try require(url.scheme == (target.isSecure ? "https" : "http"), "another scheme")
      try require(!target.text.contains("#") && !authority.contains("@"), "more than a place")
      for address in numeric(target.host) where isInside(address) {
        try require(address.refusalAsTarget != nil, "\(target.host) is \(address), and may be called")
      }
    }

    /// What the resolver makes of a host without asking anybody.
    private static func numeric(_ host: String) -> [IPAddress] {
      var hints = addrinfo()
      hints.ai_flags = AI_NUMERICHOST
      hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
      var list: UnsafeMutablePointer<addrinfo>?
      guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
      defer { freeaddrinfo(list) }
      var found: [IPAddress] = []
      var next = list
      while let entry = next {
        let bytes = UnsafeRawBufferPointer(start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen))
        let address =
          entry.pointee.ai_family == AF_INET
          ? IPAddress(bytes: Array(bytes[4..<8])) : IPAddress(bytes: Array(bytes[8..<24]))
        if let address { found.append(address) }
        next = entry.pointee.ai_next
      }
      return found
    }

    /// The plainest of what is not the Internet.
    private static func isInside(_ address: IPAddress) -> Bool {
      let bytes = address.bytes
      let mapped = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]
      if bytes.count == 16, Array(bytes.prefix(12)) == mapped, let inner = IPAddress(bytes: Array(bytes.suffix(4))) {
        return isInside(inner)
      }
      if bytes.count == 16 {
        return bytes.dropLast().allSatisfy { $0 == 0 } || bytes[0] == 0xFE || bytes[0] & 0xFE == 0xFC
          || bytes[0] == 0xFF
      }
      return [0, 10, 127].contains(bytes[0]) || bytes[0] >= 224 || bytes[0] == 192 && bytes[1] == 168
        || bytes[0] == 169 && bytes[1] == 254 || bytes[0] == 172 && 16...31 ~= bytes[1]
    }

    // MARK: Passwords

    private static func secrets(_ text: String) throws(Finding) {
      do {
        let url = try RedisURL(text)
        try hides(Self.password(in: text), "\(url)", "Redis")
        try require((try? RedisURL("redis://\(url.place)")) != nil, "its place is none: \(url.place)")
      } catch let error as RedisError {
        try hides(Self.password(in: text), "\(error)", "Redis")
      } catch let finding as Finding {
        throw finding
      } catch {
        throw Finding("\(error)")
      }
      if let url = try? DatabaseURL(text) { try hides(password(in: text), url.shown, "PostgreSQL") }
      try hides(password(in: text), Secrets.hidden(in: text), "a setting")
    }

    private static func hides(_ password: String?, _ shown: String, _ what: String) throws(Finding) {
      guard let password, password.utf8.count >= 8 else { return }
      try require(
        occurrences(of: password, in: shown) == 0, "the password for \(what) is shown: \(shown.debugDescription)")
    }

    /// What stands between the first `:` after `//` and the first `@`, where nothing else divides the URL before: as its bytes have
    /// it, for that is what servers and libraries read.
    private static func password(in text: String) -> String? {
      let bytes = Array(text.utf8)
      let scheme = bytes.prefix { $0 != UInt8(ascii: ":") }
      let rest = bytes.dropFirst(scheme.count)
      guard
        ["postgres", "postgresql", "redis", "rediss", "amqp", "http"].contains(String(decoding: scheme, as: UTF8.self)),
        rest.starts(with: "://".utf8)
      else { return nil }
      let place = rest.dropFirst(3).prefix { !"/?#@".utf8.contains($0) }
      guard rest.dropFirst(3 + place.count).first == UInt8(ascii: "@"),
        let colon = place.firstIndex(of: UInt8(ascii: ":"))
      else { return nil }
      let password = String(decoding: place[(colon + 1)...], as: UTF8.self)
      // What stands elsewhere as well is no secret any more.
      return occurrences(of: password, in: text) == 1 ? password : nil
    }

    private static func occurrences(of part: String, in text: String) -> Int {
      let (text, part) = (Array(text.utf8), Array(part.utf8))
      guard text.count >= part.count else { return 0 }
      return (0...(text.count - part.count)).count { text[$0..<($0 + part.count)].elementsEqual(part) }
    }
  }
#endif
