// JSON Web Tokens. An input is the text of a token, or, where it has a line end, its header and its claims in JSON, which are then
// written as a token.

#if DEBUG || MARTLET_FUZZ
  import Foundation

  @testable import MartletCore
  @testable import MartletHTTP

  enum TokenTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      try base64(bytes)
      let parts = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        _ = try read(String(decoding: bytes, as: UTF8.self))
        return
      }
      let text = [Array(parts[0]), Array(parts[1]), [1, 2, 3]].map(encoded).joined(separator: ".")
      guard let token = try read(text) else { return }
      try require(
        token.signed == Array(text.utf8.prefix { $0 != 0x2E }) + [0x2E] + Array(encoded(Array(parts[1])).utf8),
        "something else is signed than what stands there")
      try require(token.signature == [1, 2, 3], "another signature")
      let header = try? JSONScanner.scan(Array(parts[0]))
      try require(header?["alg"]?.string == token.algorithm, "another algorithm")
      try require(header?["kid"]?.string == token.keyID, "another key")
    }

    private static func read(_ text: String) throws(Finding) -> TokenText? {
      let token: TokenText
      do throws(TokenFault) { token = try TokenText(text) } catch {
        try told(error, text)
        return nil
      }
      do {
        let claims = try token.claims()
        for (issuer, audience) in [(nil, nil), ("martlet", "tasks")] as [(String?, String?)] {
          let found = try TokenClaims(claims, issuer: issuer, audience: audience, now: now)
          try judged(found, claims, issuer: issuer, audience: audience)
        }
      } catch let error as TokenFault {
        try told(error, text)
      } catch let error as Finding {
        throw error
      } catch {
        throw Finding("\(error)")
      }
      return token
    }

    private static let now = Timestamp(milliseconds: 1_774_744_000_000)

    /// What is believed was asked for, and is fit for a log.
    private static func judged(
      _ found: TokenClaims, _ claims: [String: JSONSlice], issuer: String?, audience: String?
    ) throws(Finding) {
      try require(found.expiresAt > now, "an expired token is good")
      try require(issuer == nil || claims["iss"]?.string == issuer, "a token of another issuer is good")
      try require((claims["aud"] == nil) == (audience == nil), "a token for another audience is good")
      try require(
        found.credential.actor.unicodeScalars.allSatisfy { $0 >= " " && $0 != "\u{7F}" }
          && found.credential.actor.hasPrefix(Credential.tokenPrefix), "an actor is more than a name")
      try require(claims["queues"] == nil || found.credential.queues != nil, "a bound on queues is lost")
    }

    /// Nothing of the token is repeated.
    private static func told(_ fault: TokenFault, _ text: String) throws(Finding) {
      try require(fault.reason.hasPrefix("the token") && fault.reason.utf8.count < 200, "a fault says too much")
    }

    private static func base64(_ bytes: [UInt8]) throws(Finding) {
      try require(Base64URL.decoded(encoded(bytes).utf8) == bytes, "base64url comes back as something else")
      if let decoded = Base64URL.decoded(bytes) {
        try require(Array(encoded(decoded).utf8) == bytes, "two texts of base64url stand for the same")
      }
    }

    static func encoded(_ bytes: [UInt8]) -> String {
      String(Data(bytes).base64EncodedString().compactMap { ["+": "-", "/": "_", "=": nil][$0] ?? $0 })
    }
  }

  enum KeySetTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let set: KeySet
      switch waiting({ try await KeySet(jwks: bytes) }) {
      case .success(let found): set = found
      case .failure(let fault):
        return try require(!"\(fault)".isEmpty && "\(fault)".utf8.count < 400, "a set is refused with too many words")
      }
      try require(set.count > 0, "a set without keys is good")
      for name in [nil, "", "a", "key"] {
        guard let key = set.key(named: name) else { continue }
        try require(["RS256", "ES256", "EdDSA"].contains(key.name), "a key is for \(key.name)")
        for length in [0, 1, 63, 64, 256] {
          try require(
            !key.isSignature([UInt8](repeating: 7, count: length), of: Array("text".utf8)), "anything is a signature")
        }
      }
    }
  }

  /// The result of asynchronous work, for whoever cannot wait otherwise.
  func waiting<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) -> Result<Value, any Error> {
    let box = Box<Value>()
    let done = DispatchSemaphore(value: 0)
    Task.detached {
      do { box.result = .success(try await work()) } catch { box.result = .failure(error) }
      done.signal()
    }
    done.wait()
    return box.result ?? .failure(Finding("no result"))
  }

  /// The semaphore orders who writes and who reads.
  private final class Box<Value: Sendable>: @unchecked Sendable {
    var result: Result<Value, any Error>?
  }
#endif
