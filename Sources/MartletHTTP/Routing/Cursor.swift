// The opaque cursor of lists: a version and the last id seen, in base64url. Clients hand it back and read nothing into
// it, so that a later version may hold something else.

internal import MartletCore

struct Cursor: Sendable, Hashable {
  let before: TaskID

  private static let version: UInt8 = 1
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  init(before: TaskID) {
    self.before = before
  }

  /// Nil for everything that `text` did not make.
  init?(_ text: String) {
    guard let bytes = Self.decoded(text), bytes.first == Self.version, let id = TaskID(bytes: bytes.dropFirst()) else {
      return nil
    }
    before = id
    guard self.text == text else { return nil }
  }

  var text: String {
    let bytes = [Self.version] + (0..<16).map { before[$0] }
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * UInt32(3 - group.count))
      for place in 0...group.count { text.append(Self.alphabet[Int(bits >> (18 - 6 * UInt32(place))) & 63]) }
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func decoded(_ text: String) -> [UInt8]? {
    guard text.utf8.count == 23 else { return nil }
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var held: UInt32 = 0
    for character in text.utf8 {
      guard let value = alphabet.firstIndex(of: character) else { return nil }
      bits = bits << 6 | UInt32(value)
      held += 6
      if held >= 8 {
        held -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> held))
      }
    }
    return bytes
  }
}
