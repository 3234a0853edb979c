// Makes tokens by the configured secret, for development and for scripts. Called by `martlet token`.

internal import Crypto
internal import Foundation
package import MartletCore

package struct DevelopmentToken: Sendable {
  package var subject: String
  package var roles: [Role]
  /// Nil is all queues.
  package var queues: [QueuePattern]?
  package var issuer: String?
  package var audience: String?
  package var expiresAt: Timestamp

  package init(
    subject: String, roles: [Role], queues: [QueuePattern]? = nil, issuer: String? = nil, audience: String? = nil,
    expiresAt: Timestamp
  ) {
    self.subject = subject
    self.roles = roles
    self.queues = queues
    self.issuer = issuer
    self.audience = audience
    self.expiresAt = expiresAt
  }

  /// In the compact form of RFC 7515, signed by HS256.
  package func signed(by secret: String, at now: Timestamp = WallClock.now()) -> String {
    var claims = JSONWriter()
    claims.object { json in
      json.field("sub", subject)
      json.field("roles", roles.map(\.rawValue))
      if let queues { json.field("queues", queues.map(\.description)) }
      if let issuer { json.field("iss", issuer) }
      if let audience { json.field("aud", audience) }
      json.field("iat", Int(now.milliseconds / 1000))
      json.field("exp", Int(expiresAt.milliseconds / 1000))
    }
    let text = Self.encoded(Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8)) + "." + Self.encoded(claims.bytes)
    let code = HMAC<SHA256>.authenticationCode(
      for: Array(text.utf8), using: SymmetricKey(data: Array(secret.utf8)))
    return text + "." + Self.encoded(Array(code))
  }

  /// base64url without padding (RFC 7515 §2).
  private static func encoded(_ bytes: [UInt8]) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }
}
