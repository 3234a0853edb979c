// A value inside a text that `JSONScanner` has checked: where it begins and ends, and its meaning on demand. No tree is built.

/// One JSON value, by its place in the text.
package struct JSONSlice: Sendable {
  let text: [UInt8]
  let range: Range<Int>

  init(bytes: [UInt8], range: Range<Int>) {
    text = bytes
    self.range = range
  }

  package enum Kind: Sendable, Hashable { case object, array, string, number, boolean, null }

  package var kind: Kind {
    switch text[range.lowerBound] {
    case UInt8(ascii: "{"): .object
    case UInt8(ascii: "["): .array
    case UInt8(ascii: "\""): .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"): .boolean
    case UInt8(ascii: "n"): .null
    default: .number
    }
  }

  /// The value exactly as it came.
  package var bytes: [UInt8] {
    range == text.indices ? text : Array(text[range])
  }

  package var isNull: Bool { kind == .null }

  package var bool: Bool? {
    kind == .boolean ? text[range.lowerBound] == UInt8(ascii: "t") : nil
  }

  package var double: Double? {
    kind == .number ? Double(String(decoding: text[range], as: UTF8.self)) : nil
  }

  /// A number without a fraction that fits; `5.0` counts, and so does `5e0` where a double holds it exactly.
  package var int: Int? {
    guard kind == .number else { return nil }
    let number = String(decoding: text[range], as: UTF8.self)
    if let whole = Int(number) { return whole }
    let parts = number.split(separator: ".", omittingEmptySubsequences: false)
    if parts.count == 2, parts[1].allSatisfy({ $0 == "0" }) { return Int(parts[0]) }
    let exponent = number.lowercased().split(separator: "e")
    // Fifteen digits are the most that every double tells apart.
    guard exponent.count == 2, exponent[0].count <= 15, let value = double, abs(value) < 0x1p53,
      value != 0 || exponent[0].allSatisfy({ "-0.".contains($0) })
    else { return nil }
    return Int(exactly: value)
  }

  package var string: String? {
    kind == .string ? Self.unescaped(text[(range.lowerBound + 1)..<(range.upperBound - 1)]) : nil
  }

  /// Names and values in order, repeated names included; nil if this is no object.
  package var members: [(name: String, value: JSONSlice)]? { members(atMost: .max) }

  /// The first of them.
  package func members(atMost limit: Int) -> [(name: String, value: JSONSlice)]? {
    guard kind == .object else { return nil }
    var members: [(name: String, value: JSONSlice)] = []
    var cursor = Cursor(text: text, position: range.lowerBound + 1)
    while members.count < limit, let name = cursor.next() {
      guard let value = cursor.next() else { break }
      members.append((Self.unescaped(text[(name.lowerBound + 1)..<(name.upperBound - 1)]), slice(value)))
    }
    return members
  }

  /// Names as they were written, and values.
  package var writtenMembers: [(name: JSONSlice, value: JSONSlice)]? {
    guard kind == .object else { return nil }
    var members: [(name: JSONSlice, value: JSONSlice)] = []
    var cursor = Cursor(text: text, position: range.lowerBound + 1)
    while let name = cursor.next(), let value = cursor.next() { members.append((slice(name), slice(value))) }
    return members
  }

  package var elements: [JSONSlice]? { elements(atMost: .max) }

  /// The first of them.
  package func elements(atMost limit: Int) -> [JSONSlice]? {
    guard kind == .array else { return nil }
    var elements: [JSONSlice] = []
    forEachElement { _, element in
      elements.append(element)
      return elements.count < limit
    }
    return elements
  }

  /// Each element of an array with its index, until `body` is false. Nothing is kept of them.
  package func forEachElement(_ body: (Int, JSONSlice) -> Bool) {
    guard kind == .array else { return }
    var cursor = Cursor(text: text, position: range.lowerBound + 1)
    var index = 0
    while let element = cursor.next(), body(index, slice(element)) { index += 1 }
  }

  /// True where a string in it has one half of a surrogate pair without the other: JSON can write it (RFC 8259 §8.2), and no text
  /// can hold it.
  package var hasLoneSurrogate: Bool {
    var awaitsLow = false
    var position = range.lowerBound
    while position < range.upperBound {
      var unit: UInt16?
      if text[position] != UInt8(ascii: "\\") {
        position += 1
      } else if text[position + 1] == UInt8(ascii: "u") {
        unit = text[position + 2..<position + 6].reduce(0) { $0 << 4 | UInt16(hexValue($1) ?? 0) }
        position += 6
      } else {
        position += 2
      }
      let isLow = unit.map { 0xDC00...0xDFFF ~= $0 } ?? false
      guard isLow == awaitsLow else { return true }
      awaitsLow = unit.map { 0xD800...0xDBFF ~= $0 } ?? false
    }
    return awaitsLow
  }

  /// The value of the first member of this name.
  package subscript(name: String) -> JSONSlice? {
    members?.first { $0.name == name }?.value
  }

  private func slice(_ range: Range<Int>) -> JSONSlice {
    JSONSlice(bytes: text, range: range)
  }

  private static func unescaped(_ bytes: ArraySlice<UInt8>) -> String {
    guard bytes.contains(UInt8(ascii: "\\")) else { return String(decoding: bytes, as: UTF8.self) }
    var units: [UInt16] = []
    var plain = bytes.startIndex
    var position = bytes.startIndex
    func flush() { units.append(contentsOf: String(decoding: bytes[plain..<position], as: UTF8.self).utf16) }
    while position < bytes.endIndex {
      guard bytes[position] == UInt8(ascii: "\\") else {
        position += 1
        continue
      }
      flush()
      let letter = bytes[position + 1]
      position += 2
      switch letter {
      case UInt8(ascii: "b"): units.append(8)
      case UInt8(ascii: "f"): units.append(12)
      case UInt8(ascii: "n"): units.append(10)
      case UInt8(ascii: "r"): units.append(13)
      case UInt8(ascii: "t"): units.append(9)
      case UInt8(ascii: "u"):
        units.append(bytes[position..<position + 4].reduce(0) { $0 << 4 | UInt16(hexValue($1) ?? 0) })
        position += 4
      default: units.append(UInt16(letter))
      }
      plain = position
    }
    flush()
    return String(decoding: units, as: UTF16.self)  // a lone surrogate becomes U+FFFD
  }
}

/// Walks over the values of one checked object or array.
private struct Cursor {
  let text: [UInt8]
  var position: Int

  /// The next name or value; nil at the closing bracket.
  mutating func next() -> Range<Int>? {
    skip: while true {
      switch text[position] {
      case 0x20, 0x0A, 0x0D, 0x09, UInt8(ascii: ","), UInt8(ascii: ":"): position += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"): return nil
      default: break skip
      }
    }
    let start = position
    var depth = 0
    repeat {
      switch text[position] {
      case UInt8(ascii: "\""):
        position += 1
        while text[position] != UInt8(ascii: "\"") { position += text[position] == UInt8(ascii: "\\") ? 2 : 1 }
        position += 1
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        position += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        position += 1
      case 0x20, 0x0A, 0x0D, 0x09, UInt8(ascii: ","), UInt8(ascii: ":"):
        position += 1
      default:
        scalar()
      }
    } while depth > 0
    return start..<position
  }

  private mutating func scalar() {
    while position < text.count {
      switch text[position] {
      case 0x20, 0x0A, 0x0D, 0x09, UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "]"), UInt8(ascii: "}"): return
      default: position += 1
      }
    }
  }
}
