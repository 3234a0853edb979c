// Texts in headers: as they are where they are short ASCII, else as encoded words (RFC 2047), so that no text can begin a header
// of its own.

internal import Foundation

enum HeaderText {
  /// What a line should hold at most (RFC 5322 §2.1.1).
  private static let lineLength = 78
  /// Bytes of text in an encoded word: 45 are 60 in base64, 72 with what stands around them; 75 are allowed.
  private static let wordBytes = 45

  static func line(_ name: String, _ value: String) -> String {
    let isPlain =
      name.utf8.count + 2 + value.utf8.count <= lineLength && value.utf8.allSatisfy { (0x20..<0x7F).contains($0) }
      && !value.contains("=?") && !value.hasPrefix(" ") && !value.hasSuffix(" ")
    return "\(name): " + (isPlain ? value : encoded(value, after: name.utf8.count + 2))
  }

  /// `Name <user@example.com>`; the address on a line of its own where both would be too long for one.
  static func mailbox(_ address: MailAddress, after: Int) -> String {
    guard let name = address.name else { return address.address }
    let shown = phrase(name, after: after)
    let isLong = after + shown.utf8.count + address.address.utf8.count + 3 > lineLength
    return shown + (isLong ? "\r\n " : " ") + "<\(address.address)>"
  }

  private static func phrase(_ name: String, after: Int) -> String {
    guard name.utf8.count <= 60, !name.contains("=?"), name.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) else {
      return encoded(name, after: after)
    }
    if name.utf8.allSatisfy({ MailAddress.isAtomByte($0) || $0 == UInt8(ascii: " ") }), !name.contains("  ") {
      return name
    }
    return "\"" + String(name.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] }) + "\""
  }

  /// Words that readers put together without the white space between them; none ends within a character.
  private static func encoded(_ text: String, after: Int) -> String {
    var words: [String] = []
    var word: [UInt8] = []
    // The first word shares its line with the name of the header.
    var room = wordBytes - (after * 3 / 4 + 3) / 3 * 3
    if room < 4 {
      words.append("")
      room = wordBytes
    }
    for scalar in text.unicodeScalars {
      let bytes = Array(String(scalar).utf8)
      if word.count + bytes.count > room {
        words.append(encodedWord(word))
        word = []
        room = wordBytes
      }
      word += bytes
    }
    words.append(encodedWord(word))
    return words.joined(separator: "\r\n ")
  }

  private static func encodedWord(_ bytes: [UInt8]) -> String {
    "=?utf-8?B?\(Data(bytes).base64EncodedString())?="
  }
}
