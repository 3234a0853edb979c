// Who gets in and how, as it is configured, and what can be wrong with that. Made by the composition root, read by `Gate`.

internal import Foundation

package struct AuthConfiguration: Sendable {
  package struct JWT: Sendable {
    /// For HS256; at least 32 bytes of UTF-8. Not together with `jwks`.
    package var secret: String?
    /// A file's path or a URL of a JSON Web Key Set (RFC 7517) with keys for RS256, ES256 or EdDSA.
    package var jwks: String?
    /// What `iss` has to be; nil takes any.
    package var issuer: String?
    /// What `aud` has to have; nil takes only tokens without `aud`.
    package var audience: String?

    package init(secret: String? = nil, jwks: String? = nil, issuer: String? = nil, audience: String? = nil) {
      self.secret = secret
      self.jwks = jwks
      self.issuer = issuer
      self.audience = audience
    }
  }

  package var jwt: JWT
  /// Keys that the store keeps are taken.
  package var apiKeys: Bool
  /// An administrator's key that is not in the store; 32 to 512 visible ASCII characters.
  package var bootstrapKey: String?
  /// For each credential, on each node; nil is unlimited.
  package var rateLimit: RateLimit?
  /// For each address of a client, on each node.
  package var failedAttempts: RateLimit
  /// `GET /metrics` asks for nothing.
  package var metricsOpen: Bool

  package init(
    jwt: JWT = JWT(), apiKeys: Bool = false, bootstrapKey: String? = nil, rateLimit: RateLimit? = nil,
    failedAttempts: RateLimit = RateLimit(perSecond: 1, burst: 30), metricsOpen: Bool = false
  ) {
    self.jwt = jwt
    self.apiKeys = apiKeys
    self.bootstrapKey = bootstrapKey
    self.rateLimit = rateLimit
    self.failedAttempts = failedAttempts
    self.metricsOpen = metricsOpen
  }

  /// All that is wrong with it; none of it names a secret.
  package var mistakes: [AuthMistake] {
    var mistakes: [AuthMistake] = []
    func expect(_ isRight: Bool, _ key: String, _ detail: String) {
      if !isRight { mistakes.append(AuthMistake(key: key, detail: detail)) }
    }
    expect(
      jwt.secret != nil || jwt.jwks != nil || apiKeys || bootstrapKey != nil, "auth",
      "names nothing to know anybody by: set auth.jwt.secret, auth.jwt.jwks, auth.apiKeys or auth.bootstrapKey")
    expect(
      jwt.secret == nil || jwt.jwks == nil, "auth.jwt",
      "has a secret and a jwks: give one of them, or a token could choose how it is checked")
    if let secret = jwt.secret {
      expect(
        secret.utf8.count >= 32, "auth.jwt.secret", "must have 32 bytes or more, as HS256 asks for (RFC 7518 §3.2)")
    }
    if let jwks = jwt.jwks, let complaint = Self.complaint(jwks: jwks) {
      expect(false, "auth.jwt.jwks", complaint)
    }
    for (key, value) in [("issuer", jwt.issuer), ("audience", jwt.audience)] where value != nil {
      expect(value?.isEmpty == false, "auth.jwt.\(key)", "must not be empty")
      expect(
        jwt.secret != nil || jwt.jwks != nil, "auth.jwt.\(key)", "needs auth.jwt.secret or auth.jwt.jwks beside it")
    }
    if let key = bootstrapKey {
      expect(
        (32...512).contains(key.utf8.count) && key.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "auth.bootstrapKey",
        "must have 32 to 512 visible ASCII characters and no spaces")
    }
    for (key, limit) in [("rateLimit", rateLimit), ("auth.failedAttempts", failedAttempts)] {
      guard let limit else { continue }
      expect(
        (0.001...1_000_000).contains(limit.perSecond), "\(key).perSecond", "must be a number from 0.001 to 1000000")
      expect((1...1_000_000).contains(limit.burst), "\(key).burst", "must be a whole number from 1 to 1000000")
    }
    return mistakes
  }

  /// What is wrong with the files that it names, as far as that is seen without using them.
  package var fileMistakes: [AuthMistake] {
    guard let jwks = jwt.jwks, case .file(let path) = KeySource(jwks: jwks), !path.isEmpty else { return [] }
    do throws(FileFault) {
      _ = try BoundedFile.contents(of: path, upTo: KeySource.sizeLimit)
      return []
    } catch {
      return [AuthMistake(key: "auth.jwt.jwks", detail: "cannot be read: \(error)")]
    }
  }

  private static func complaint(jwks: String) -> String? {
    guard case .url(let text) = KeySource(jwks: jwks) else { return jwks.isEmpty ? "must not be empty" : nil }
    guard let url = URLComponents(string: text), let host = url.host, !host.isEmpty else { return "is not a URL" }
    guard url.user == nil, url.password == nil else { return "must not have a user or a password in it" }
    guard url.scheme?.lowercased() == "https" || LoopbackGuard.isLoopback(authority: host) else {
      return "must be https: who changes the keys on their way decides who gets in (http is taken from loopback only)"
    }
    return nil
  }
}

extension AuthConfiguration: CustomStringConvertible {
  /// Without anything secret: whoever writes it into a log does no harm.
  package var description: String {
    let means = [
      jwt.secret.map { _ in "secret" }, jwt.jwks.map { _ in "key set" }, apiKeys ? "API keys" : nil,
      bootstrapKey.map { _ in "bootstrap key" },
    ]
    return "AuthConfiguration(\(means.compactMap(\.self).joined(separator: ", ")))"
  }
}

extension AuthConfiguration.JWT: CustomStringConvertible {
  package var description: String { AuthConfiguration(jwt: self).description }
}

/// One thing wrong, for people.
package struct AuthMistake: Hashable, Sendable, CustomStringConvertible {
  /// The setting.
  package let key: String
  /// The rest of the sentence.
  package let detail: String

  package var description: String { "\(key) \(detail)" }
}

/// The server cannot begin with this authentication; one line for each mistake.
package struct AuthFailure: Error, Sendable, CustomStringConvertible {
  package let mistakes: [AuthMistake]

  package var description: String { mistakes.map(\.description).joined(separator: "\n") }
}
