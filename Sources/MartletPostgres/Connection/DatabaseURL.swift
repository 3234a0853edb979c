// Reading the URL just far enough: libpq judges it, we take our own word out of it and the passwords out of what people see.

internal import CPostgres
internal import MartletCore

struct DatabaseURL: Sendable {
  /// Without what libpq does not know.
  let forLibpq: String
  let isPooled: Bool
  /// Without passwords.
  let shown: String

  init(_ url: String) throws(StoreError) {
    guard let scheme = ["postgres://", "postgresql://"].first(where: url.hasPrefix) else {
      throw .unusable("the database URL must begin with postgres:// or postgresql://")
    }
    // As libpq divides it: credentials up to an @ that stands before the first slash, then everything up to the first
    // question mark, then the parameters. Scalar by scalar: to Swift an @ with a combining mark behind it is another character.
    var rest = url.unicodeScalars.dropFirst(scheme.count)
    var credentials: Substring.UnicodeScalarView?
    if let end = rest.firstIndex(where: { $0 == "@" || $0 == "/" }), rest[end] == "@" {
      credentials = rest[..<end]
      rest = rest[rest.index(after: end)...]
    }
    let mark = rest.firstIndex(of: "?") ?? rest.endIndex
    let place = rest[..<mark]
    var isPooled = false
    var parameters: [String] = []
    for parameter in rest[mark...].dropFirst().split(separator: "&").map({ String($0) }) {
      switch parameter {
      case "pgbouncer=true": isPooled = true
      case "pgbouncer=false": isPooled = false
      case _ where parameter.hasPrefix("pgbouncer="):
        throw .unusable("the database URL's pgbouncer is neither true nor false")
      default: parameters.append(parameter)
      }
    }
    func written(_ credentials: String?, _ parameters: [String]) -> String {
      scheme + (credentials.map { $0 + "@" } ?? "") + String(place)
        + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&"))
    }
    self.isPooled = isPooled
    forLibpq = written(credentials.map { String($0) }, parameters)
    shown = written(
      credentials.map { credentials in
        credentials.firstIndex(of: ":").map { String(credentials[...$0]) + "***" } ?? String(credentials)
      },
      parameters.map { parameter in
        let scalars = parameter.unicodeScalars
        return scalars.firstIndex(of: "=").flatMap { equals in
          String(scalars[..<equals]).hasSuffix("password") ? String(scalars[...equals]) + "***" : nil
        } ?? parameter
      })
    try Self.check(forLibpq, shown: shown)
  }

  private static func check(_ url: String, shown: String) throws(StoreError) {
    guard !url.utf8.contains(0) else { throw .unusable("the database URL holds a zero byte") }
    var message: UnsafeMutablePointer<CChar>?
    if let options = PQconninfoParse(url, &message) {
      PQconninfoFree(options)
      return
    }
    defer { PQfreemem(message) }
    // What libpq says may quote the URL, or a part of it, with the password.
    let said = message.map { oneLine(String(cString: $0)) } ?? ""
    let isHarmless = said.hasPrefix("invalid URI query parameter: ")
    throw .unusable("the database URL \(shown) cannot be read" + (isHarmless ? ": \(said)" : ""))
  }
}

/// libpq's messages are made for a terminal: several lines, the later ones indented.
func oneLine(_ message: String) -> String {
  message.split(whereSeparator: \.isNewline)
    .map { line in
      let words = line.drop(while: \.isWhitespace)
      return String(words.reversed().drop(while: \.isWhitespace).reversed())
    }
    .filter { !$0.isEmpty }
    .joined(separator: "; ")
}
