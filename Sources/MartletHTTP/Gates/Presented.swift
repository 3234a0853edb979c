// What a request brings along to show who sends it, before anybody looks whether it is worth anything. Called by `Gate`.

internal import Crypto
internal import Foundation
internal import MartletCore

/// A credential's text, from `Authorization: Bearer …` or `X-API-Key: …`.
struct Presented: Sendable {
  let text: String
  let kind: Kind

  enum Kind: Sendable { case key, token }

  /// Longer ones are refused unread. The header's own limit is 16 KiB.
  static let lengthLimit = 8 * 1024

  /// - Throws: 400 for headers that contradict each other, 401 for what is no credential of ours. Nil when there is nothing.
  static func read(_ fields: HeaderFields) throws(Problem) -> Presented? {
    guard !fields.repeatsCredential else {
      throw Problem(.malformedRequest, "the headers Authorization and X-API-Key may be sent once each")
    }
    let bearer: String?
    if let authorization = fields.authorization {
      // With another scheme there are two credentials, if the other header is there as well.
      bearer = Self.bearer(authorization)
      guard bearer != nil || fields.apiKey != nil else {
        throw .unauthenticated("send 'Authorization: Bearer' with a token, or 'X-API-Key' with a key")
      }
      guard fields.apiKey == nil || fields.apiKey == bearer else {
        throw Problem(.malformedRequest, "the headers Authorization and X-API-Key show two different credentials")
      }
    } else {
      bearer = nil
    }
    guard let text = fields.apiKey ?? bearer else { return nil }
    guard (1...lengthLimit).contains(text.utf8.count), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw .unauthenticated("a credential is at most \(lengthLimit) visible ASCII characters, without spaces")
    }
    let isKey = fields.apiKey != nil || text.hasPrefix(APIKeyText.prefix)
    return Presented(text: text, kind: isKey ? .key : .token)
  }

  /// What the caches know it by, so that no secret is kept and its length does not matter.
  var digest: CredentialDigest { CredentialDigest(of: text) }

  /// The scheme may be in any case (RFC 9110 §11.1).
  private static func bearer(_ authorization: String) -> String? {
    let parts = authorization.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
    return String(parts[1].drop { $0 == " " })
  }
}

/// SHA-256 of a credential's text.
struct CredentialDigest: Hashable, Sendable {
  private let words: SIMD4<UInt64>

  init(of text: String) {
    var hash = SHA256()
    var text = text
    text.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
    words = hash.finalize().withUnsafeBytes { $0.loadUnaligned(as: SIMD4<UInt64>.self) }
  }

  /// In constant time.
  func isSame(as other: CredentialDigest) -> Bool {
    let difference = words ^ other.words
    return difference[0] | difference[1] | difference[2] | difference[3] == 0
  }
}
