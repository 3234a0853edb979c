// Reads the text of a cron expression, byte by byte. What other crons take and this one does not is refused by name, since
// a schedule that runs at the wrong time is found out late.

enum CronParser {
  /// Enough for every minute and every day by itself.
  static let longest = 512

  static func read(_ text: String) throws(CronProblem) -> (source: String, fields: [CronList]) {
    let count = text.utf8.count
    guard count <= longest else {
      throw CronProblem("the expression is \(count) bytes long; at most \(longest) are taken")
    }
    let bytes = Array(text.utf8)
    if let odd = bytes.firstIndex(where: { !(0x20...0x7E).contains($0) && $0 != tab }) {
      throw CronProblem("the expression has a character that has no place in it, at byte \(odd + 1)")
    }
    let words = bytes.split { $0 == space || $0 == tab }
    guard let first = words.first, let last = words.last else {
      throw CronProblem("the expression is empty; it takes five fields: \(order)")
    }
    let source = String(decoding: bytes[first.startIndex..<last.endIndex], as: UTF8.self)
    if first.first == UInt8(ascii: "@") {
      return (source, try fields(split(macro: source)))
    }
    if first.contains(UInt8(ascii: "=")) {
      throw CronProblem("the expression begins with a setting; the time zone goes into timeZone")
    }
    return (source, try fields(words))
  }

  private static func fields(_ words: [ArraySlice<UInt8>]) throws(CronProblem) -> [CronList] {
    guard words.count == CronField.allCases.count else {
      let hint = words.count > 5 ? "; seconds and years are not taken" : ""
      throw CronProblem(
        "the expression has \(words.count) field\(words.count == 1 ? "" : "s") and takes five: \(order)\(hint)")
    }
    var lists: [CronList] = []
    for (field, word) in zip(CronField.allCases, words) {
      var reader = CronFieldReader(field: field, rest: word)
      lists.append(CronList(try reader.entries(), in: field))
    }
    return lists
  }

  private static func split(macro: String) throws(CronProblem) -> [ArraySlice<UInt8>] {
    let meaning: String
    switch macro.lowercased() {
    case "@yearly", "@annually": meaning = "0 0 1 1 *"
    case "@monthly": meaning = "0 0 1 * *"
    case "@weekly": meaning = "0 0 * * 0"
    case "@daily", "@midnight": meaning = "0 0 * * *"
    case "@hourly": meaning = "0 * * * *"
    case "@reboot": throw CronProblem("@reboot is not taken: a schedule belongs to all nodes, not to one that starts")
    case let text where text.hasPrefix("@every"): throw CronProblem("@every is not taken; use everySeconds")
    default:
      throw CronProblem(
        "\(shown(Array(macro.utf8)[...])) is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
      )
    }
    return Array(meaning.utf8).split(separator: space)
  }

  private static let order = CronField.allCases.map(\.title).joined(separator: ", ")
  private static let space = UInt8(ascii: " ")
  private static let tab = UInt8(ascii: "\t")
}

/// Reads one field: entries with commas between them.
private struct CronFieldReader {
  let field: CronField
  var rest: ArraySlice<UInt8>

  mutating func entries() throws(CronProblem) -> [CronEntry] {
    if field.takesQuestionMark, rest.elementsEqual("?".utf8) { return [CronEntry(form: .all)] }
    var entries: [CronEntry] = []
    repeat { entries.append(try entry()) } while take(",")
    guard rest.isEmpty else { throw misplaced() }
    return entries
  }

  private mutating func entry() throws(CronProblem) -> CronEntry {
    var entry = CronEntry(form: .all)
    if !take("*") {
      let first = try value()
      if take("-") {
        entry.form = try range(from: first, to: try value())
      } else {
        entry.form = .from(field == .dayOfWeek ? first.number % 7 : first.number)
      }
    }
    if take("/") { entry.step = try step() }
    // What would be left of `*/1` is `*`.
    if entry.form == .all, entry.step == 1 { entry.step = nil }
    return entry
  }

  private typealias Value = (number: Int, text: ArraySlice<UInt8>)

  private func range(from first: Value, to last: Value) throws(CronProblem) -> CronEntry.Form {
    if field == .dayOfWeek {
      // Sunday ends a week as well as it begins one: SAT-SUN, 5-0, 7-2.
      if last.number == 0, first.number > 0 { return .range(first.number, 7) }
      if first.number == 7, last.number < 7 { return .range(0, last.number) }
    }
    guard first.number <= last.number else {
      throw CronProblem(
        "the \(field.title) \(shown(first.text))-\(shown(last.text)) runs backwards; write it as two ranges")
    }
    return .range(first.number, last.number)
  }

  private mutating func value() throws(CronProblem) -> Value {
    guard let byte = rest.first else { throw CronProblem("the \(field.title) ends where a value is expected") }
    if isLetter(byte) { return try word() }
    guard let (number, text) = number() else { throw misplaced() }
    guard field.limits.contains(number) else {
      throw CronProblem("the \(field.title) \(shown(text)) is not within \(shown(field.limits))")
    }
    return (number, text)
  }

  private mutating func word() throws(CronProblem) -> Value {
    let text = rest.prefix(while: isLetter)
    let index = field.words.firstIndex { word in
      text.count == word.utf8CodeUnitCount
        && word.withUTF8Buffer { buffer in zip(buffer, text).allSatisfy { $0 == $1 & ~0x20 } }
    }
    guard let index else {
      if let first = field.words.first, let last = field.words.last, text.count > 1 {
        throw CronProblem("the \(field.title) \(shown(text)) is neither a number nor one of \(first)–\(last)")
      }
      throw misplaced()
    }
    rest = rest.dropFirst(text.count)
    return (index + field.limits.lowerBound, text)
  }

  private mutating func step() throws(CronProblem) -> Int {
    guard let (number, text) = number() else {
      throw rest.isEmpty ? CronProblem("the \(field.title) ends where a step is expected") : misplaced()
    }
    // A step beyond the field is a misunderstanding, such as */90 for an hour and a half.
    guard (1...field.everything.count).contains(number) else {
      throw CronProblem("the \(field.title)'s step \(shown(text)) is not within 1–\(field.everything.count)")
    }
    return number
  }

  /// A run of digits; numbers beyond all limits are told apart from no others.
  private mutating func number() -> Value? {
    let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard !digits.isEmpty else { return nil }
    rest = rest.dropFirst(digits.count)
    return (digits.reduce(0) { min($0 * 10 + Int($1 - UInt8(ascii: "0")), 1000) }, digits)
  }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard rest.first == UInt8(ascii: scalar) else { return false }
    rest = rest.dropFirst()
    return true
  }

  private func misplaced() -> CronProblem {
    guard let byte = rest.first else { return CronProblem("the \(field.title) ends too soon") }
    let sign = Character(Unicode.Scalar(byte))
    switch (byte & ~0x20, byte) {
    case (UInt8(ascii: "L"), _), (UInt8(ascii: "W"), _), (_, UInt8(ascii: "#")):
      return CronProblem(
        "the \(field.title) has \(sign), which is not taken: numbers, names, lists, ranges and steps are")
    case (UInt8(ascii: "H"), _):
      return CronProblem(
        "the \(field.title) has \(sign), which is not taken: write the number that it should stand for")
    case (_, UInt8(ascii: "?")):
      return CronProblem("the \(field.title) has ?, which stands alone in one of the two day fields, or write *")
    default:
      return CronProblem("the \(field.title) has \(sign) where it has no place")
    }
  }
}

private func isLetter(_ byte: UInt8) -> Bool {
  (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte & ~0x20)
}

/// As it was written but for tabs, cut where nobody would read on.
private func shown(_ text: ArraySlice<UInt8>) -> String {
  let visible = text.prefix(20).map { $0 == UInt8(ascii: "\t") ? UInt8(ascii: " ") : $0 }
  return String(decoding: visible, as: UTF8.self) + (text.count > 20 ? "…" : "")
}

private func shown(_ range: ClosedRange<Int>) -> String {
  "\(range.lowerBound)–\(range.upperBound)"
}
