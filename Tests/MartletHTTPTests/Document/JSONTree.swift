// JSON as a tree, for tests that walk through the API's document.

internal import MartletCore

indirect enum JSONTree: Sendable, Hashable {
  /// Of names given twice the first counts.
  case object([String: JSONTree])
  case array([JSONTree])
  case string(String)
  /// As it is written.
  case number(String)
  case bool(Bool)
  case null

  init(_ slice: JSONSlice) {
    switch slice.kind {
    case .object:
      self = .object(
        Dictionary((slice.members ?? []).map { ($0.name, JSONTree($0.value)) }) { first, _ in first })
    case .array: self = .array((slice.elements ?? []).map(JSONTree.init))
    case .string: self = .string(slice.string ?? "")
    case .number: self = .number(String(decoding: slice.bytes, as: UTF8.self))
    case .boolean: self = .bool(slice.bool ?? false)
    case .null: self = .null
    }
  }

  init(json bytes: [UInt8]) throws(JSONError) {
    self.init(try JSONScanner.scan(bytes, maxDepth: 128))
  }

  /// Nil, too, for what is no object.
  subscript(name: String) -> JSONTree? {
    guard case .object(let members) = self else { return nil }
    return members[name]
  }

  var members: [String: JSONTree] {
    if case .object(let members) = self { members } else { [:] }
  }

  var elements: [JSONTree] {
    if case .array(let elements) = self { elements } else { [] }
  }

  var string: String? {
    if case .string(let text) = self { text } else { nil }
  }

  var strings: [String] { elements.compactMap(\.string) }

  var double: Double? {
    if case .number(let text) = self { Double(text) } else { nil }
  }

  /// The same value, however its numbers are written.
  func means(_ other: JSONTree) -> Bool {
    if let left = double, let right = other.double { return left == right }
    return self == other
  }

  var json: [UInt8] {
    var writer = JSONWriter()
    write(to: &writer)
    return writer.bytes
  }

  private func write(to writer: inout JSONWriter) {
    switch self {
    case .object(let members):
      writer.object { writer in
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
          writer.name(name)
          value.write(to: &writer)
        }
      }
    case .array(let elements): writer.array(of: elements) { $1.write(to: &$0) }
    case .string(let text): writer.string(text)
    case .number(let text): writer.raw(Array(text.utf8))
    case .bool(let value): writer.bool(value)
    case .null: writer.null()
    }
  }
}
