// What a token says of its bearer and of itself, read and judged (RFC 7519 §4.1). Called by `TokenVerifier` once the
// signature is good.

internal import MartletCore

struct TokenClaims: Sendable {
  let expiresAt: Timestamp
  let credential: Credential

  /// By how much an issuer's clock may be ahead of this node's: `nbf` may be so far in the future. `exp` is kept to the moment.
  static let leeway = Duration.seconds(10)

  private static let subjectLimit = 255

  /// - Parameters: what the installation expects; nil expects nothing of `iss`, and no `aud` at all.
  init(
    _ claims: [String: JSONSlice], issuer: String?, audience: String?, now: Timestamp
  ) throws(TokenFault) {
    guard let expiresAt = try Self.time("exp", claims) else {
      throw TokenFault("the token has no exp: it would be good for ever")
    }
    guard now < expiresAt else { throw TokenFault("the token has expired") }
    if let notBefore = try Self.time("nbf", claims), now + Self.leeway < notBefore {
      throw TokenFault("the token is not valid yet")
    }
    if let issuer, claims["iss"]?.string != issuer {
      throw TokenFault("the token is not from the issuer that is trusted here")
    }
    try Self.check(claims["aud"], has: audience)
    self.expiresAt = expiresAt
    credential = Credential(
      actor: Credential.tokenPrefix + (try Self.subject(claims["sub"])),
      roles: Set(try Self.words("roles", claims)?.compactMap(Role.init) ?? []),
      queues: try Self.queues(claims))
  }

  /// A token that names its audiences is for nobody else, also for nobody who has no name (RFC 7519 §4.1.3).
  private static func check(_ claim: JSONSlice?, has audience: String?) throws(TokenFault) {
    let audiences = claim.map { claim in claim.string.map { [$0] } ?? (claim.elements ?? []).compactMap(\.string) }
    switch (audiences, audience) {
    case (nil, nil): return
    case (let audiences?, let audience?) where audiences.contains(audience): return
    default: throw TokenFault("the token is for another audience")
    }
  }

  /// NumericDate: seconds since 1970, perhaps with a fraction.
  private static func time(_ name: String, _ claims: [String: JSONSlice]) throws(TokenFault) -> Timestamp? {
    guard let claim = claims[name] else { return nil }
    guard let seconds = claim.double, seconds >= 0, seconds <= Double(Timestamp.latest.milliseconds / 1000) else {
      throw TokenFault("the token's \(name) is no time")
    }
    return Timestamp(milliseconds: Int64(seconds * 1000))
  }

  /// It goes to logs, events and audit: short, and without anything that could be taken for another line.
  private static func subject(_ claim: JSONSlice?) throws(TokenFault) -> String {
    guard let claim else { return "unnamed" }
    guard let subject = claim.string, (1...subjectLimit).contains(subject.utf8.count),
      subject.unicodeScalars.allSatisfy({ !$0.properties.isControlOrFormat })
    else { throw TokenFault("the token's sub is not a text of 1 to \(subjectLimit) bytes without control characters") }
    return subject
  }

  /// Roles that are not ours are another program's. A claim that cannot be read must not pass for one that is not there: without
  /// `queues` a token is good for all of them.
  private static func queues(_ claims: [String: JSONSlice]) throws(TokenFault) -> [QueuePattern]? {
    guard let words = try words("queues", claims) else { return nil }
    let patterns = words.compactMap(QueuePattern.init)
    guard patterns.count == words.count, patterns.count <= QueuePattern.limit else {
      throw TokenFault("the token's queues are not names or patterns of queues, at most \(QueuePattern.limit)")
    }
    return patterns
  }

  /// An array of texts, or one text with spaces between the words.
  private static func words(_ name: String, _ claims: [String: JSONSlice]) throws(TokenFault) -> [String]? {
    guard let claim = claims[name] else { return nil }
    if let text = claim.string { return text.split(separator: " ").map(String.init) }
    guard let elements = claim.elements, case let words = elements.compactMap(\.string), words.count == elements.count
    else { throw TokenFault("the token's \(name) is neither an array of texts nor a text") }
    return words
  }
}

extension Unicode.Scalar.Properties {
  /// Line ends and control characters, and what changes the direction of text or is not seen.
  var isControlOrFormat: Bool {
    switch generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: true
    default: false
    }
  }
}
