// A secret that the receiver of webhooks shares with us (Standard Webhooks: `whsec_` and base64). Read from the settings.

internal import Crypto
internal import Foundation

package struct WebhookSecret: Sendable, Hashable {
  private let bytes: [UInt8]

  /// - Throws: what is wrong, as the rest of a sentence, without the secret.
  package init(_ text: String) throws(WebhookProblem) {
    let encoded = text.hasPrefix(Self.prefix) ? String(text.dropFirst(Self.prefix.count)) : ""
    guard let bytes = Data(base64Encoded: encoded), Self.lengths.contains(bytes.count) else {
      throw WebhookProblem(
        "must be whsec_ and 24 to 64 random bytes in base64; `echo whsec_$(openssl rand -base64 32)` makes one")
    }
    self.bytes = Array(bytes)
  }

  var key: SymmetricKey { SymmetricKey(data: bytes) }

  private static let prefix = "whsec_"
  private static let lengths = 24...64
}

/// Logs show values, and must not show this one.
extension WebhookSecret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package var description: String { "whsec_***" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// What is wrong with a secret or with a webhook that came in: a line.
package struct WebhookProblem: Error, Sendable, Hashable, CustomStringConvertible {
  package let reason: String

  init(_ reason: String) {
    self.reason = reason
  }

  package var description: String { reason }
}
