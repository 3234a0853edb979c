// A token that a server with these settings takes. Called by `martlet token`.

package import MartletCore
internal import MartletHTTP

extension Settings {
  /// Nil without `auth.jwt.secret`: by a key set only its owner can sign. Issuer and audience are those that are asked for.
  package func developmentToken(
    subject: String, roles: [MartletCore.Role], queues: [QueuePattern]?, lifetime: Duration
  ) -> String? {
    guard let secret = auth.jwt.secret else { return nil }
    let now = DatabaseLocation.wallClock()
    let token = DevelopmentToken(
      subject: subject, roles: roles, queues: queues, issuer: auth.jwt.issuer, audience: auth.jwt.audience,
      expiresAt: now + lifetime)
    return token.signed(by: secret, at: now)
  }
}
