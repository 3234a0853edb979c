// As much of JSON Schema 2020-12 as the API's document uses. A keyword that it does not know is a fault of its own: a check that
// nobody makes is worth nothing.

internal import Foundation
internal import MartletCore
internal import Synchronization

struct SchemaValidator: Sendable {
  /// Where `$ref`s lead.
  let root: JSONTree
  /// Fields that an object's schema does not name are faults: so an answer has nothing undocumented in it.
  let isClosed: Bool
  /// Long arrays are looked at this far.
  private static let mostElements = 50

  private static let annotations: Set = ["description", "default", "example", "examples", "title"]
  private static let patterns = Mutex<[String: NSRegularExpression]>([:])

  /// What is wrong with a value, each with its place; empty is fine.
  func faults(of value: JSONTree, by schema: JSONTree) -> [String] {
    var faults: [String] = []
    check(value, schema, at: "", isWhole: isClosed, &faults)
    return faults
  }

  /// A schema without its references.
  func resolved(_ schema: JSONTree) -> [JSONTree] {
    guard let reference = schema["$ref"]?.string else { return [schema] }
    guard let target = target(of: reference) else { return [] }
    return resolved(target) + [schema]
  }

  func target(of reference: String) -> JSONTree? {
    guard reference.hasPrefix("#/") else { return nil }
    return reference.dropFirst(2).split(separator: "/").reduce(root) { place, token in
      place?[String(token).replacing("~1", with: "/").replacing("~0", with: "~")]
    }
  }

  /// The names that an object may have by a schema; nil where it may have any.
  func properties(of schema: JSONTree) -> Set<String>? {
    var names: Set<String>?
    for part in resolved(schema) {
      for inner in part["allOf"]?.elements ?? [] {
        if let more = properties(of: inner) { names = (names ?? []).union(more) }
      }
      if let own = part["properties"]?.members.keys { names = (names ?? []).union(own) }
    }
    return names
  }

  /// - Parameter isWhole: false for a part of a schema whose other parts name further fields.
  private func check(
    _ value: JSONTree, _ schema: JSONTree, at place: String, isWhole: Bool, _ faults: inout [String]
  ) {
    if isWhole, case .object(let members) = value, let known = properties(of: schema) {
      for name in members.keys where !known.contains(name) && pattern(of: name, in: schema) == nil {
        faults.append("\(place)/\(name) is not in the document")
      }
    }
    guard case .object(let keywords) = schema else { return }
    for (keyword, argument) in keywords {
      func fail(_ text: String) { faults.append("\(place.isEmpty ? "/" : place) \(text)") }
      func holds(_ schema: JSONTree) -> Bool {
        var inner: [String] = []
        check(value, schema, at: place, isWhole: false, &inner)
        return inner.isEmpty
      }
      switch keyword {
      case "$ref":
        guard let target = argument.string.flatMap(target(of:)) else {
          fail("has a reference to nothing")
          break
        }
        check(value, target, at: place, isWhole: false, &faults)
      case "allOf":
        for part in argument.elements { check(value, part, at: place, isWhole: false, &faults) }
      case "anyOf":
        // Told by the variant that fits best, fields that nobody knows included.
        let tries = argument.elements.map { variant in
          var inner: [String] = []
          check(value, variant, at: place, isWhole: isClosed && schema["properties"] == nil, &inner)
          return inner
        }
        if !tries.contains(where: \.isEmpty) { faults += tries.min { $0.count < $1.count } ?? [] }
      case "not":
        if holds(argument) { fail("is what it must not be") }
      case "type":
        let types = argument.string.map { [$0] } ?? argument.strings
        if !types.contains(where: { Self.has(value, type: $0) }) {
          fail("is not \(types.joined(separator: " or ")): \(String(decoding: value.json, as: UTF8.self).prefix(60))")
        }
      case "enum":
        if !argument.elements.contains(where: value.means) { fail("is none of those listed: \(value)") }
      case "const":
        if !value.means(argument) { fail("is not \(argument)") }
      case "properties":
        for (name, inner) in argument.members {
          if let member = value[name] { check(member, inner, at: "\(place)/\(name)", isWhole: isClosed, &faults) }
        }
      case "required":
        guard case .object(let members) = value else { break }
        for name in argument.strings where members[name] == nil { fail("has no \(name)") }
      case "additionalProperties", "propertyNames":
        guard case .object(let members) = value else { break }
        let known = schema["properties"]?.members ?? [:]
        for (name, member) in members where known[name] == nil && pattern(of: name, in: schema) == nil {
          if keyword == "propertyNames" {
            check(.string(name), argument, at: "\(place)/\(name)", isWhole: false, &faults)
          } else if argument == .bool(false) {
            fail("has \(name)")
          } else {
            check(member, argument, at: "\(place)/\(name)", isWhole: isClosed, &faults)
          }
        }
      case "patternProperties":
        for (name, member) in value.members {
          guard let inner = pattern(of: name, in: schema) else { continue }
          check(member, inner, at: "\(place)/\(name)", isWhole: isClosed, &faults)
        }
      case "items":
        for (index, element) in value.elements.prefix(Self.mostElements).enumerated() {
          check(element, argument, at: "\(place)/\(index)", isWhole: isClosed, &faults)
        }
      default:
        guard !keyword.hasPrefix("x-"), !Self.annotations.contains(keyword) else { break }
        if let fault = Self.fault(value, keyword, argument) { fail(fault) }
      }
    }
  }

  /// What a schema says of the fields whose names are like this one.
  private func pattern(of name: String, in schema: JSONTree) -> JSONTree? {
    schema["patternProperties"]?.members.first { Self.matches(name, $0.key) }?.value
  }

  /// Keywords about a value alone.
  private static func fault(_ value: JSONTree, _ keyword: String, _ argument: JSONTree) -> String? {
    let limit = argument.double ?? 0
    let length = Double(value.string?.unicodeScalars.count ?? 0)
    let isString = value.string != nil
    let (elements, members) = (value.elements, value.members)
    let isRight: Bool
    switch keyword {
    case "minimum": isRight = value.double.map { $0 >= limit } ?? true
    case "maximum": isRight = value.double.map { $0 <= limit } ?? true
    case "exclusiveMinimum": isRight = value.double.map { $0 > limit } ?? true
    case "minLength": isRight = !isString || length >= limit
    case "maxLength": isRight = !isString || length <= limit
    case "minItems": isRight = !has(value, type: "array") || Double(elements.count) >= limit
    case "maxItems": isRight = !has(value, type: "array") || Double(elements.count) <= limit
    case "minProperties": isRight = !has(value, type: "object") || Double(members.count) >= limit
    case "maxProperties": isRight = !has(value, type: "object") || Double(members.count) <= limit
    case "uniqueItems": isRight = Set(elements).count == elements.count
    case "pattern": isRight = value.string.map { matches($0, argument.string ?? "") } ?? true
    case "format":
      switch (argument.string, value.string) {
      case (_, nil): isRight = true
      case ("date-time", let text?): isRight = Timestamp(text) != nil
      case ("uuid", let text?): isRight = TaskID(text) != nil
      case ("uri-reference", let text?): isRight = URL(string: text) != nil
      default: return "has a format that nobody checks: \(argument)"
      }
    default: return "has a keyword that nobody checks: \(keyword)"
    }
    return isRight ? nil : "breaks \(keyword) \(argument): \(String(decoding: value.json, as: UTF8.self).prefix(80))"
  }

  private static func has(_ value: JSONTree, type: String) -> Bool {
    switch (type, value) {
    case ("object", .object), ("array", .array), ("string", .string), ("number", .number), ("boolean", .bool),
      ("null", .null):
      true
    case ("integer", .number): value.double.map { $0 == $0.rounded() } ?? false
    default: false
    }
  }

  private static func matches(_ text: String, _ pattern: String) -> Bool {
    let expression = patterns.withLock { patterns -> NSRegularExpression? in
      if let known = patterns[pattern] { return known }
      let made = try? NSRegularExpression(pattern: pattern)
      patterns[pattern] = made
      return made
    }
    return expression?.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
  }
}
