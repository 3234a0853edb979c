// Knows whose a token is: checks it once, then remembers it until it expires or the keys change. Called by `Gate`.

internal import MartletCore
internal import Synchronization

final class TokenDesk: Sendable {
  private let keys: KeySetKeeper
  private let issuer: String?
  private let audience: String?
  private let wallClock: @Sendable () -> Timestamp
  private let known = Mutex(RecentTable<CredentialDigest, Finding>(capacity: 10_000))

  private struct Finding: Sendable {
    let credential: Credential
    let expiresAt: Timestamp
    let generation: Int
  }

  init(
    keys: KeySetKeeper, issuer: String?, audience: String?, wallClock: @escaping @Sendable () -> Timestamp
  ) {
    self.keys = keys
    self.issuer = issuer
    self.audience = audience
    self.wallClock = wallClock
  }

  func recall(_ digest: CredentialDigest) -> Credential? {
    guard let finding = known.withLock({ $0[digest] }), wallClock() < finding.expiresAt,
      finding.generation == keys.generation
    else { return nil }
    return finding.credential
  }

  /// - Throws: 401 for a token that is not good, 503 while there are no keys to tell.
  func verify(_ text: String, _ digest: CredentialDigest) async throws(Problem) -> Credential {
    let token = try refusing { () throws(TokenFault) in try TokenText(text) }
    let (key, generation) = try await key(for: token)
    let claims = try refusing { () throws(TokenFault) in
      guard let key else { throw TokenFault("the token's header names no key that is known here") }
      guard key.name == token.algorithm else { throw TokenFault("the token's alg is not its key's") }
      guard key.isSignature(token.signature, of: token.signed) else {
        throw TokenFault("the token's signature is wrong")
      }
      return try TokenClaims(try token.claims(), issuer: issuer, audience: audience, now: wallClock())
    }
    let finding = Finding(credential: claims.credential, expiresAt: claims.expiresAt, generation: generation)
    known.withLock { $0[digest] = finding }
    return finding.credential
  }

  /// Nil for a key that is not known even after the keys were read again.
  private func key(for token: TokenText) async throws(Problem) -> (VerificationKey?, generation: Int) {
    var current = keys.current
    if current == nil || token.keyID != nil && current?.keys.key(named: token.keyID) == nil {
      current = await keys.refreshed()
    }
    guard let current else {
      throw Problem(.authUnavailable, "the keys for tokens could not be fetched yet: no token can be checked")
    }
    return (current.keys.key(named: token.keyID), current.generation)
  }

  private func refusing<Value>(_ body: () throws(TokenFault) -> Value) throws(Problem) -> Value {
    do throws(TokenFault) {
      return try body()
    } catch {
      throw .unauthenticated(error.reason, isInvalidToken: true)
    }
  }
}
