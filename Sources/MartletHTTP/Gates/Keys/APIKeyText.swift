// The form of API keys: `mk_`, 43 random characters of base 62 (256 bits), 6 more that are a checksum. So a mistyped key is
// told from an unknown one without asking the store, and scanners for leaked secrets can find ours. Made by whoever
// creates keys, read by `APIKeyDesk`.

internal import Crypto
internal import Foundation
package import MartletCore

package enum APIKeyText {
  package static let prefix = "mk_"

  private static let secretLength = 43  // 62⁴³ is a little more than 2²⁵⁶
  private static let checksumLength = 6  // 62⁶ is a little more than 2³²

  private static let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

  /// A new key. It is shown once; what is kept of it is its hash.
  package static func make(random: RandomSource = .system) -> String {
    let secret = (0..<secretLength).map { _ in digits[random.below(digits.count)] }
    return prefix + String(decoding: secret + checksum(of: secret), as: UTF8.self)
  }

  /// Whether a text could be a key of any installation.
  package static func isWellFormed(_ text: String) -> Bool {
    let body = Array(text.utf8.dropFirst(prefix.utf8.count))
    guard text.hasPrefix(prefix), body.count == secretLength + checksumLength else { return false }
    return checksum(of: body[..<secretLength]).elementsEqual(body[secretLength...])
  }

  /// - Parameter secret: the book's `hashSecret`.
  package static func hash(of text: String, secret: [UInt8]) -> APIKeyHash {
    let code = HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: secret))
    guard let hash = APIKeyHash(bytes: code) else { preconditionFailure("SHA-256 has 32 bytes") }
    return hash
  }

  private static func checksum(of secret: some Sequence<UInt8>) -> [UInt8] {
    var rest = crc32(secret)
    var text = [UInt8](repeating: 0, count: checksumLength)
    for index in text.indices.reversed() {
      text[index] = digits[Int(rest % 62)]
      rest /= 62
    }
    return text
  }

  /// CRC-32 as in IEEE 802.3 and zip.
  private static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var sum = UInt32.max
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
    }
    return ~sum
  }
}

extension APIKeyHash {
  /// In constant time.
  func isSame(as other: APIKeyHash) -> Bool {
    zip(bytes, other.bytes).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }
}
