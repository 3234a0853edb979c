// Any text as lines of at most 76 ASCII characters that readers turn back into the same (RFC 2045 §6.7). Used for the parts of a
// mail.

/// Line ends of any kind become CR LF.
func quotedPrintable(_ text: String) -> String {
  var writer = QuotedPrintableWriter()
  var last: UInt8 = 0
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "\n") where last == UInt8(ascii: "\r"): break
    case UInt8(ascii: "\n"), UInt8(ascii: "\r"): writer.endLine()
    default: writer.put(byte)
    }
    last = byte
  }
  return writer.finish()
}

private struct QuotedPrintableWriter {
  private var bytes: [UInt8] = []
  private var column = 0
  /// A space or tab, which may stand as it is only where something follows in its line.
  private var blank: UInt8?

  /// One less than a line holds: a soft break needs the last.
  private static let width = 75

  mutating func put(_ byte: UInt8) {
    if let blank { write([blank]) }
    blank = nil
    switch byte {
    case UInt8(ascii: " "), UInt8(ascii: "\t"): blank = byte
    // SMTP would double a dot here, and servers that forget to take it off again are not unknown.
    case UInt8(ascii: ".") where column == 0 || column == Self.width: escape(byte)
    case UInt8(ascii: "="): escape(byte)
    case 0x21..<0x7F: write([byte])
    default: escape(byte)
    }
  }

  mutating func endLine() {
    flushBlank()
    bytes += [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
    column = 0
  }

  mutating func finish() -> String {
    flushBlank()
    return String(decoding: bytes, as: UTF8.self)
  }

  private mutating func flushBlank() {
    if let blank { escape(blank) }
    blank = nil
  }

  private mutating func escape(_ byte: UInt8) {
    let digits = Array("0123456789ABCDEF".utf8)
    write([UInt8(ascii: "="), digits[Int(byte >> 4)], digits[Int(byte & 15)]])
  }

  private mutating func write(_ unit: [UInt8]) {
    if column + unit.count > Self.width {
      bytes += "=\r\n".utf8
      column = 0
    }
    bytes += unit
    column += unit.count
  }
}
