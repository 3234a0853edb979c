// What there is to know about one setting: its names, how its text is read and shown, what is allowed. The table in
// `SettingsTable` is made of these; loading, `config show`, validation and the documentation all follow from it.

package struct Setting: Sendable {
  package enum Support: Sendable, Hashable {
    case full
    /// Accepted because the contract names it; nothing in this version asks for it.
    case withoutEffect
  }

  package let key: String
  /// One sentence.
  package let summary: String
  package let support: Support
  /// What may stand there: `whole number`, `api, scheduler, …`.
  package let type: String
  package let unit: String?
  package let limits: String?
  package let defaultValue: String
  package let flag: String?
  /// An unprefixed name that the environment and the file may use as well.
  package let alias: String?
  package let isSecret: Bool
  package let isList: Bool
  /// False for what a running server takes over.
  package let needsRestart: Bool

  let read: @Sendable (RawSetting, inout Settings) -> Complaint?
  let check: @Sendable (Settings) -> Complaint?
  let show: @Sendable (Settings) -> String
  /// What stands there, as JSON has it.
  let value: @Sendable (Settings) -> SettingValue
  let isSame: @Sendable (Settings, Settings) -> Bool
  /// From the first to the second.
  let copy: @Sendable (Settings, inout Settings) -> Void

  /// `MARTLET_`, upper case, an underscore for each dot and each hump.
  package var environmentName: String {
    var name = "MARTLET_"
    for character in key {
      if character.isUppercase { name += "_" }
      name += character == "." ? "_" : character.uppercased()
    }
    return name
  }

  /// A value as it may be shown: secrets hidden, one line, not too long.
  func shown(_ raw: RawSetting) -> String {
    guard !isSecret else { return Secrets.hidden }
    return "\"" + Self.printable(raw.text) + "\""
  }

  /// Passwords in URLs hidden, control characters replaced, at most 120 characters.
  static func printable(_ text: String) -> String {
    let line = onOneLine(Secrets.hidden(in: text))
    return line.count > 120 ? line.prefix(119) + "…" : line
  }

  /// Control characters replaced.
  static func onOneLine(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? "·" : $0 }))
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}

/// A value as JSON has it.
enum SettingValue: Sendable, Hashable {
  case none
  case text(String)
  case whole(Int)
  case number(Double)
  case yesOrNo(Bool)
  case list([String])

  /// - Parameter shown: what a setting without a value of its own stands for, or how a value is written that JSON does not know.
  init(_ value: some Sendable, shown: String, isList: Bool) {
    switch value {
    case let list as [String]: self = .list(list)
    case let number as Int: self = .whole(number)
    case let number as Double: self = .number(number)
    case let flag as Bool: self = .yesOrNo(flag)
    case is Bool? where ["true", "false"].contains(shown): self = .yesOrNo(shown == "true")
    default:
      self = isList ? .list(shown.split(separator: ",").map(String.init)) : shown.isEmpty ? .none : .text(shown)
    }
  }
}

/// A value before anyone knows what it means.
enum RawSetting: Sendable, Hashable {
  case text(String)
  case list([String])

  var text: String {
    switch self {
    case .text(let text): text
    case .list(let items): items.joined(separator: ",")
    }
  }
}

/// What is wrong with a value, as the rest of a sentence.
struct Complaint: Sendable, Hashable, ExpressibleByStringInterpolation {
  let detail: String
  let code: String?

  init(_ detail: String, code: String? = nil) {
    self.detail = detail
    self.code = code
  }

  init(stringLiteral detail: String) {
    self.init(detail)
  }
}

// MARK: - Making them

extension Setting {
  /// A setting that is one field of `Settings`.
  init<Value: Equatable>(
    _ key: String, _ path: any WritableKeyPath<Settings, Value> & Sendable, _ form: Form<Value>, flag: String? = nil,
    alias: String? = nil, isSecret: Bool = false, needsRestart: Bool = false,
    show: (@Sendable (Settings) -> String)? = nil, _ summary: String
  ) {
    let show = show ?? { form.show($0[keyPath: path]) }
    self.key = key
    self.summary = summary
    support = .full
    type = form.type
    unit = form.unit
    limits = form.limits
    defaultValue = show(Settings())
    self.flag = flag
    self.alias = alias
    self.isSecret = isSecret
    isList = form.isList
    self.needsRestart = needsRestart
    read = { raw, settings in
      guard let value = form.parse(raw) else { return form.expectation }
      settings[keyPath: path] = value
      return nil
    }
    check = { form.complaint($0[keyPath: path]) }
    self.show = show
    value = { SettingValue($0[keyPath: path], shown: show($0), isList: form.isList) }
    isSame = { $0[keyPath: path] == $1[keyPath: path] }
    copy = { source, target in target[keyPath: path] = source[keyPath: path] }
  }

  /// A setting that `Settings` has no field for.
  init(
    _ key: String, _ support: Support, defaultValue: String = "", flag: String? = nil, alias: String? = nil,
    isSecret: Bool = false, _ summary: String
  ) {
    self.key = key
    self.summary = summary
    self.support = support
    type = "text"
    unit = nil
    limits = nil
    self.defaultValue = defaultValue
    self.flag = flag
    self.alias = alias
    self.isSecret = isSecret
    isList = false
    needsRestart = true
    read = { _, _ in nil }
    check = { _ in nil }
    show = { _ in defaultValue }
    value = { _ in defaultValue.isEmpty ? .none : .text(defaultValue) }
    isSame = { _, _ in true }
    copy = { _, _ in }
  }
}

/// How a kind of value is written.
struct Form<Value: Sendable>: Sendable {
  let type: String
  var unit: String?
  var limits: String?
  var isList = false
  /// Said of what cannot be read at all.
  let expectation: Complaint
  let parse: @Sendable (RawSetting) -> Value?
  let show: @Sendable (Value) -> String
  /// Said of a value that can be read and is not allowed.
  let complaint: @Sendable (Value) -> Complaint?
}

extension Form<Int> {
  static func whole(_ range: ClosedRange<Int>, unit: String? = nil) -> Form<Int> {
    let expectation: Complaint = "must be a whole number from \(range.lowerBound) to \(range.upperBound)"
    return Form(
      type: "whole number", unit: unit, limits: "\(range.lowerBound)–\(range.upperBound)", expectation: expectation,
      parse: { raw in
        guard case .text(let text) = raw else { return nil }
        return Int(text)
      },
      show: { String($0) }, complaint: { range.contains($0) ? nil : expectation })
  }
}

extension Form<Double> {
  static func number(_ range: ClosedRange<Double>, unit: String? = nil) -> Form<Double> {
    let limits = "\(plain(range.lowerBound))–\(plain(range.upperBound))"
    let expectation: Complaint = "must be a number from \(plain(range.lowerBound)) to \(plain(range.upperBound))"
    return Form(
      type: "number", unit: unit, limits: limits, expectation: expectation,
      parse: { raw in
        guard case .text(let text) = raw, let value = Double(text), value.isFinite, !text.lowercased().contains("x")
        else { return nil }
        return value
      },
      show: { plain($0) }, complaint: { range.contains($0) ? nil : expectation })
  }

  fileprivate static func plain(_ value: Double) -> String {
    Int(exactly: value).map { String($0) } ?? String(value)
  }
}

extension Form<Double?> {
  /// A number, or a word for having none.
  static func number(_ range: ClosedRange<Double>, unit: String, orWord word: String) -> Form<Double?> {
    let number = Form<Double>.number(range, unit: unit)
    let expectation: Complaint = "\(number.expectation.detail), or \(word)"
    return Form(
      type: "number or `\(word)`", unit: unit, limits: number.limits, expectation: expectation,
      parse: { raw in
        if case .text(word) = raw { return .some(nil) }
        return number.parse(raw).map { $0 }
      },
      show: { $0.map(number.show) ?? word },
      complaint: { $0.flatMap(number.complaint) == nil ? nil : expectation })
  }
}

extension Form<Bool?> {
  static let yesOrNo = Form(
    type: "`true` or `false`", expectation: "must be true or false",
    parse: { raw in
      switch raw.text.lowercased() {
      case "true", "yes", "on", "1": true
      case "false", "no", "off", "0": false
      default: nil
      }
    },
    show: { $0.map { String($0) } ?? "" }, complaint: { _ in nil })
}

extension Form<String> {
  static func text(_ type: String, complaint: @escaping @Sendable (String) -> Complaint?) -> Form<String> {
    Form(
      type: type, expectation: "must be a text",
      parse: { raw in
        guard case .text(let text) = raw else { return nil }
        return text
      },
      show: { $0 }, complaint: complaint)
  }
}

extension Form where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  static var choice: Form {
    let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
    return Form(
      type: "one of " + Value.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", "),
      expectation: "must be one of \(names)", parse: { Value(rawValue: $0.text.lowercased()) },
      show: { $0.rawValue }, complaint: { _ in nil })
  }
}

extension Form {
  /// Some of the cases; at least one.
  static func choices<Element>() -> Form
  where
    Value == Set<Element>, Element: RawRepresentable & CaseIterable & Hashable & Sendable, Element.RawValue == String
  {
    let expectation: Complaint =
      "must name one or more of \(Element.allCases.map(\.rawValue).joined(separator: ", "))"
    return Form(
      type: "list of " + Element.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", "), isList: true,
      expectation: expectation,
      parse: { raw in
        guard case .list(let items) = raw else { return nil }
        let elements = items.map { Element(rawValue: $0.lowercased()) }
        return elements.contains(nil) ? nil : Set(elements.compactMap(\.self))
      },
      show: { chosen in Element.allCases.filter(chosen.contains).map(\.rawValue).joined(separator: ",") },
      complaint: { $0.isEmpty ? expectation : nil })
  }
}

extension Form<[String]> {
  static func list(_ type: String, complaint: @escaping @Sendable ([String]) -> Complaint?) -> Form<[String]> {
    Form(
      type: type, isList: true, expectation: "must be a list",
      parse: { raw in
        guard case .list(let items) = raw else { return nil }
        return items
      },
      show: { $0.joined(separator: ",") }, complaint: complaint)
  }
}
