// An address of a mail and the name beside it. What cannot stand in a header or in a command of SMTP does not become one.

/// `user@example.com` or `Name <user@example.com>`.
package struct MailAddress: Sendable, Hashable {
  /// Any text without control characters; nil for none.
  package let name: String?
  /// ASCII, `local@domain`.
  package let address: String

  /// - Throws: what is wrong, as the rest of a sentence.
  package init(_ text: String) throws(MailProblem) {
    guard text.hasSuffix(">"), let bracket = text.lastIndex(of: "<") else {
      try self.init(name: nil, address: text)
      return
    }
    var name = text[..<bracket].drop { $0 == " " }
    while name.last == " " { name.removeLast() }
    if name.count >= 2, name.hasPrefix("\""), name.hasSuffix("\"") { name = name.dropFirst().dropLast() }
    try self.init(name: String(name), address: String(text[text.index(after: bracket)...].dropLast()))
  }

  package init(name: String?, address: String) throws(MailProblem) {
    guard Self.isAddress(address) else {
      throw MailProblem("must be an email address in ASCII, such as user@example.com, and \(quoted(address)) is none")
    }
    guard !(name ?? "").unicodeScalars.contains(where: isControl), (name ?? "").utf8.count <= 256 else {
      throw MailProblem("must have a name of at most 256 bytes without control characters")
    }
    self.name = name == "" ? nil : name
    self.address = address
  }

  /// The form without quotes of RFC 5321 §4.1.2, which is the only one in use. Whether it exists, only sending can tell.
  private static func isAddress(_ text: String) -> Bool {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 2, (1...64).contains(parts[0].utf8.count), (1...253).contains(parts[1].utf8.count) else {
      return false
    }
    let atoms = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let labels = parts[1].split(separator: ".", omittingEmptySubsequences: false)
    return atoms.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(isAtomByte) }
      && labels.allSatisfy { label in
        (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
          && label.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "-") }
      }
  }

  static func isAtomByte(_ byte: UInt8) -> Bool {
    isLetterOrDigit(byte) || "!#$%&'*+-/=?^_`{|}~".utf8.contains(byte)
  }
}

/// Why a text cannot be part of a mail: the rest of a sentence, on one line.
package struct MailProblem: Error, Sendable, Hashable, CustomStringConvertible {
  package let reason: String

  init(_ reason: String) {
    self.reason = reason
  }

  package var description: String { reason }
}

/// A text of unknown origin on one line of a message, in quotes and not too long.
func quoted(_ text: String) -> String {
  "\"\(oneLine(text, limit: 100))\""
}
