// Data of other people made fit to be shown: nothing in it can move the cursor, change colours, hide text or turn its
// direction. All tables and lines go through here.

enum Plain {
  /// One line: controls and invisible format characters are shown as escapes.
  static func line(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isUnfit) else { return text }
    var shown = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if isUnfit(scalar) { shown.append(contentsOf: escape(scalar).unicodeScalars) } else { shown.append(scalar) }
    }
    return String(shown)
  }

  /// Line by line, for stacks and logs that come with line ends of their own.
  static func lines(_ text: String) -> [String] {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { part in
      line(part.hasSuffix("\r") ? String(part.dropLast()) : String(part))
    }
  }

  /// JSON that means the same. In JSON such characters stand within strings only.
  static func json(_ text: String) -> String {
    func mayStand(_ scalar: Unicode.Scalar) -> Bool { scalar == "\n" || scalar == "\t" || !isUnfit(scalar) }
    guard !text.unicodeScalars.allSatisfy(mayStand) else { return text }
    var shown = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if mayStand(scalar) {
        shown.append(scalar)
      } else if scalar == "\r" {
        continue  // white space between values
      } else {
        for unit in UTF16.encode(scalar)?.map(\.self) ?? [] {
          let hex = String(unit, radix: 16)
          shown.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - hex.count) + hex).unicodeScalars)
        }
      }
    }
    return String(shown)
  }

  /// How many columns a terminal gives the text: two for wide East Asian characters and emoji, none for combining
  /// marks.
  static func width(_ text: String) -> Int {
    text.utf8.allSatisfy { $0 < 0x80 } ? text.utf8.count : text.reduce(0) { $0 + width($1) }
  }

  /// At most `limit` columns; what was cut is told by `…`.
  static func cut(_ text: String, to limit: Int) -> String {
    guard width(text) > limit else { return text }
    var kept = ""
    var used = 0
    for character in text {
      used += width(character)
      if used > limit - 1 { break }
      kept.append(character)
    }
    return kept + "…"
  }

  private static func width(_ character: Character) -> Int {
    guard let first = character.unicodeScalars.first else { return 0 }
    switch first.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return 0
    default: break
    }
    switch first.value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF,
      0xFE30...0xFE6F, 0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1FAFF,
      0x20000...0x3FFFD:
      return 2
    default: return 1
    }
  }

  private static func isUnfit(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value < 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: return true
    case .format: return scalar.value != 0x200D  // joins emoji and has no power alone
    default: return false
    }
  }

  private static func escape(_ scalar: Unicode.Scalar) -> String {
    switch scalar {
    case "\n": "\\n"
    case "\r": "\\r"
    case "\t": "\\t"
    default: "\\u{\(String(scalar.value, radix: 16))}"
    }
  }
}
