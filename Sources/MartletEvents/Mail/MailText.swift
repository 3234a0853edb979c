// Texts of unknown origin, made fit for a header, a log line or a mail: error messages, log lines and servers' answers come from
// whoever likes to write them.

func isControl(_ scalar: Unicode.Scalar) -> Bool {
  scalar.properties.generalCategory == .control || scalar == "\u{2028}" || scalar == "\u{2029}"
}

/// Marks that turn the order of letters about, so that a reader sees another text than the one that stands there.
private func isTurning(_ scalar: Unicode.Scalar) -> Bool {
  ("\u{202A}"..."\u{202E}").contains(scalar) || ("\u{2066}"..."\u{2069}").contains(scalar)
}

/// On one line: what ends a line or steers a terminal is a space, and what is longer is cut.
/// - Parameter limit: Unicode scalars.
func oneLine(_ text: String, limit: Int) -> String {
  var line = String.UnicodeScalarView()
  for scalar in text.unicodeScalars.prefix(limit) where !isTurning(scalar) {
    line.append(isControl(scalar) ? " " : scalar)
  }
  return String(line) + (text.unicodeScalars.dropFirst(limit).isEmpty ? "" : "…")
}

/// Without what steers terminals or turns text about; lines and tabs stay, and what is longer is cut.
/// - Parameter limit: Unicode scalars.
func harmless(_ text: String, limit: Int) -> String {
  var kept = String.UnicodeScalarView()
  var last: Unicode.Scalar?
  for scalar in text.unicodeScalars.prefix(limit) {
    switch scalar {
    case "\r", "\u{2028}", "\u{2029}", "\u{85}": kept.append("\n")
    case "\n": if last != "\r" { kept.append("\n") }
    case "\t": kept.append("\t")
    case _ where isTurning(scalar): break
    default: kept.append(isControl(scalar) ? "\u{FFFD}" : scalar)
    }
    last = scalar
  }
  return String(kept) + (text.unicodeScalars.dropFirst(limit).isEmpty ? "" : "…")
}
