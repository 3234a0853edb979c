// The opaque cursor of lists in order of names: a version and the last name seen, in base64url. The counterpart of `Cursor`.

internal import MartletCore

struct NameCursor: Sendable, Hashable {
  let after: String

  /// Another one than `Cursor`'s, so that neither takes the other's.
  private static let version = UInt8(ascii: "n")
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  init(after: String) {
    self.after = after
  }

  /// Nil for everything that `text` did not make.
  init?(_ text: String) {
    guard text.utf8.count <= 200, let bytes = Base64URL.decoded(text.utf8), bytes.first == Self.version else {
      return nil
    }
    after = String(decoding: bytes.dropFirst(), as: UTF8.self)
    guard Limits.isName(after) else { return nil }
  }

  var text: String {
    let bytes = [Self.version] + Array(after.utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * UInt32(3 - group.count))
      for place in 0...group.count { text.append(Self.alphabet[Int(bits >> (18 - 6 * UInt32(place))) & 63]) }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
