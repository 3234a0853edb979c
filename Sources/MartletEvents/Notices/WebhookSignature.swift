// Signatures of webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): who receives
// one can tell that it is ours, unchanged and fresh. The notifier signs; receivers and tests verify.

internal import Crypto
internal import Foundation
package import MartletCore

package enum WebhookSignature {
  /// How far the clocks of both sides may be apart.
  package static let tolerance = Duration.seconds(300)

  /// The headers of a delivery.
  /// - Parameters:
  ///   - id: ours, never a client's; the same over all deliveries of a notice.
  ///   - time: of this delivery.
  ///   - secrets: while one takes another's place both, so that a receiver may know either.
  package static func headers(
    id: String, time: Timestamp, body: [UInt8], secrets: [WebhookSecret]
  ) -> [(name: String, value: String)] {
    let seconds = String(time.milliseconds / 1000)
    let content = signed(id, seconds, body)
    let signatures = secrets.map { secret in
      "v1," + Data(HMAC<SHA256>.authenticationCode(for: content, using: secret.key)).base64EncodedString()
    }
    let headers = [("webhook-id", id), ("webhook-timestamp", seconds)]
    return headers + (signatures.isEmpty ? [] : [("webhook-signature", signatures.joined(separator: " "))])
  }

  /// Looks at a webhook that came in. Takes as long for a signature that is nearly right as for one that is not.
  /// - Parameters: id, timestamp and signature as they stand in the headers.
  /// - Throws: why it is not to be believed.
  package static func verify(
    id: String, timestamp: String, signature: String, body: [UInt8], secrets: [WebhookSecret], now: Timestamp
  ) throws(WebhookProblem) {
    guard let seconds = Int64(timestamp), String(seconds) == timestamp, (0...Self.latestSecond).contains(seconds) else {
      throw WebhookProblem("webhook-timestamp is no time")
    }
    let age = now - Timestamp(milliseconds: seconds * 1000)
    guard age <= tolerance else { throw WebhookProblem("the webhook is too old") }
    guard age >= .zero - tolerance else { throw WebhookProblem("the webhook is from the future") }
    let content = signed(id, timestamp, body)
    let codes = signature.split(separator: " ").filter { $0.hasPrefix("v1,") }
      .compactMap { Data(base64Encoded: String($0.dropFirst(3))) }
    let isOurs = codes.contains { code in
      secrets.contains { HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: content, using: $0.key) }
    }
    guard isOurs else { throw WebhookProblem("no signature of the webhook fits") }
  }

  private static let latestSecond = Timestamp.latest.milliseconds / 1000

  private static func signed(_ id: String, _ seconds: String, _ body: [UInt8]) -> [UInt8] {
    Array("\(id).\(seconds).".utf8) + body
  }
}
