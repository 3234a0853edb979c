// A JSON Web Token taken apart (RFC 7519, in the compact form of RFC 7515). Nothing in it is believed before `TokenVerifier` has
// checked the signature; what is read of the header only chooses the key.

internal import MartletCore

/// Why a token is not taken; the text is for whoever sent it, and holds nothing of the token.
struct TokenFault: Error, Sendable, Hashable {
  let reason: String

  init(_ reason: String) {
    self.reason = reason
  }

  static let malformed = TokenFault("the token is not a JSON Web Token as it should be")
}

struct TokenText: Sendable {
  let algorithm: String
  let keyID: String?
  /// Header and claims as they stand in the text.
  let signed: [UInt8]
  let signature: [UInt8]
  /// Undecoded until the signature is known to be good.
  private let encodedClaims: ArraySlice<UInt8>

  init(_ text: String) throws(TokenFault) {
    let bytes = Array(text.utf8)
    let parts = bytes.split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 3, let header = Base64URL.decoded(parts[0]), let signature = Base64URL.decoded(parts[2]) else {
      throw .malformed
    }
    let fields = try Self.members(header)
    guard let algorithm = fields["alg"]?.string else { throw TokenFault("the token's header names no algorithm") }
    // RFC 7515 §4.1.11: what is critical and not understood makes the token invalid. Nothing is understood here.
    guard fields["crit"] == nil else { throw TokenFault("the token's header has critical extensions") }
    if let keyID = fields["kid"] {
      guard let keyID = keyID.string else { throw TokenFault("the token's header has a kid that is no text") }
      self.keyID = keyID
    } else {
      keyID = nil
    }
    self.algorithm = algorithm
    self.signature = signature
    signed = Array(bytes[..<parts[1].endIndex])
    encodedClaims = parts[1]
  }

  func claims() throws(TokenFault) -> [String: JSONSlice] {
    guard let claims = Base64URL.decoded(encodedClaims) else { throw .malformed }
    return try Self.members(claims)
  }

  /// The members of an object, without those that are null, but for `queues`: to leave out a bound by mistake must not lift it. Two
  /// of one name are refused: readers differ in which one counts.
  private static func members(_ bytes: [UInt8]) throws(TokenFault) -> [String: JSONSlice] {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes, maxDepth: 16) } catch { throw .malformed }
    guard let members = root.members else { throw .malformed }
    var values: [String: JSONSlice] = [:]
    for (name, value) in members {
      guard values.updateValue(value, forKey: name) == nil else {
        throw TokenFault("the token has two members of the same name")
      }
    }
    return values.filter { !$0.value.isNull || $0.key == "queues" }
  }
}
