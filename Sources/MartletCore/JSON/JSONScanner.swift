// Checks bytes against RFC 8259 once, with a bound on depth and without recursion, so that all later reading may trust them.
// Payloads are never parsed further: their bytes are cut out of the body as they came.

package enum JSONError: Error, Sendable, Hashable {
  /// Not JSON (400).
  case malformed(offset: Int, String)
  /// JSON, but nested deeper than the limit (422).
  case tooDeep(limit: Int)
}

package enum JSONScanner {
  /// The root value of a text that is one JSON value in valid UTF-8, nested at most `maxDepth` deep.
  /// What nests values that were accepted elsewhere, such as an answer with payloads in it, may be deeper than
  /// `Limits.jsonDepth`.
  package static func scan(_ bytes: [UInt8], maxDepth: Int = Limits.jsonDepth) throws(JSONError) -> JSONSlice {
    let range = try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) in
      var checker = Checker(bytes: buffer, maxDepth: maxDepth)
      return try checker.root()
    }
    return JSONSlice(bytes: bytes, range: range)
  }
}

private struct Checker {
  let bytes: UnsafeBufferPointer<UInt8>
  let maxDepth: Int
  var position = 0
  var depth = 0
  /// Bit n is set where level n + 1 is an object, of the levels above those in `outer`.
  var objects: UInt128 = 0
  /// 128 levels each.
  var outer: [UInt128] = []

  init(bytes: UnsafeBufferPointer<UInt8>, maxDepth: Int) {
    self.bytes = bytes
    self.maxDepth = maxDepth
  }

  private enum Expected { case value, valueOrEnd, keyOrEnd, key, commaOrEnd }

  mutating func root() throws(JSONError) -> Range<Int> {
    skipSpace()
    let start = position
    var expected = Expected.value
    repeat {
      skipSpace()
      guard position < bytes.count else { throw fail("the text ends in the middle of a value") }
      let byte = bytes[position]
      switch (expected, byte) {
      case (.valueOrEnd, UInt8(ascii: "]")), (.keyOrEnd, UInt8(ascii: "}")):
        close()
        expected = .commaOrEnd
      case (.commaOrEnd, UInt8(ascii: ",")):
        position += 1
        expected = isInObject ? .key : .value
      case (.commaOrEnd, UInt8(ascii: "]")) where !isInObject, (.commaOrEnd, UInt8(ascii: "}")) where isInObject:
        close()
      case (.commaOrEnd, _):
        throw fail("expected a comma or the end of the \(isInObject ? "object" : "array")")
      case (.key, _), (.keyOrEnd, _):
        guard byte == UInt8(ascii: "\"") else { throw fail("expected a name in double quotes") }
        try string()
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else { throw fail("expected a colon") }
        position += 1
        expected = .value
      case (.value, _), (.valueOrEnd, _):
        switch byte {
        case UInt8(ascii: "{"):
          try open(object: true)
          expected = .keyOrEnd
        case UInt8(ascii: "["):
          try open(object: false)
          expected = .valueOrEnd
        default:
          try scalar(byte)
          expected = .commaOrEnd
        }
      }
    } while depth > 0
    let end = position
    skipSpace()
    guard position == bytes.count else { throw fail("there is more after the end of the value") }
    return start..<end
  }

  private var isInObject: Bool { objects & (1 << UInt128((depth - 1) % 128)) != 0 }

  private mutating func open(object: Bool) throws(JSONError) {
    guard depth < maxDepth else { throw .tooDeep(limit: maxDepth) }
    position += 1
    if depth > 0, depth % 128 == 0 { outer.append(objects) }
    let bit: UInt128 = 1 << UInt128(depth % 128)
    objects = object ? objects | bit : objects & ~bit
    depth += 1
  }

  private mutating func close() {
    position += 1
    depth -= 1
    if depth > 0, depth % 128 == 0, let last = outer.popLast() { objects = last }
  }

  private mutating func scalar(_ byte: UInt8) throws(JSONError) {
    switch byte {
    case UInt8(ascii: "\""): try string()
    case UInt8(ascii: "t"): try literal("true")
    case UInt8(ascii: "f"): try literal("false")
    case UInt8(ascii: "n"): try literal("null")
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
    default: throw fail("expected a value")
    }
  }

  private mutating func literal(_ word: StaticString) throws(JSONError) {
    for index in 0..<word.utf8CodeUnitCount {
      guard position < bytes.count, bytes[position] == word.utf8Start[index] else { throw fail("expected \(word)") }
      position += 1
    }
  }

  private mutating func number() throws(JSONError) {
    if bytes[position] == UInt8(ascii: "-") { position += 1 }
    if position < bytes.count, bytes[position] == UInt8(ascii: "0") {
      position += 1
    } else {
      try digits()
    }
    if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      position += 1
      try digits()
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
        position += 1
      }
      try digits()
    }
  }

  private mutating func digits() throws(JSONError) {
    let start = position
    while position < bytes.count, bytes[position] &- UInt8(ascii: "0") <= 9 { position += 1 }
    guard position > start else { throw fail("expected a digit") }
  }

  private mutating func string() throws(JSONError) {
    position += 1
    while position < bytes.count {
      let byte = bytes[position]
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return
      case UInt8(ascii: "\\"):
        try escape()
      case 0..<0x20:
        throw fail("a control character in a string must be escaped")
      case 0x20..<0x80:
        position += 1
      default:
        try multibyte(byte)
      }
    }
    throw fail("a string does not end")
  }

  private mutating func escape() throws(JSONError) {
    guard position + 1 < bytes.count else { throw fail("a string does not end") }
    switch bytes[position + 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      position += 2
    case UInt8(ascii: "u"):
      position += 2
      for _ in 0..<4 {
        guard position < bytes.count, hexValue(bytes[position]) != nil else { throw fail("expected four hex digits") }
        position += 1
      }
    default:
      throw fail("an unknown escape in a string")
    }
  }

  /// One sequence of two to four bytes, by Unicode 15 table 3-7: no overlong forms, no surrogates.
  private mutating func multibyte(_ lead: UInt8) throws(JSONError) {
    let second: ClosedRange<UInt8>
    let length: Int
    switch lead {
    case 0xC2...0xDF: (second, length) = (0x80...0xBF, 2)
    case 0xE0: (second, length) = (0xA0...0xBF, 3)
    case 0xE1...0xEC, 0xEE...0xEF: (second, length) = (0x80...0xBF, 3)
    case 0xED: (second, length) = (0x80...0x9F, 3)
    case 0xF0: (second, length) = (0x90...0xBF, 4)
    case 0xF1...0xF3: (second, length) = (0x80...0xBF, 4)
    case 0xF4: (second, length) = (0x80...0x8F, 4)
    default: throw fail("not valid UTF-8")
    }
    guard position + length <= bytes.count, second.contains(bytes[position + 1]) else { throw fail("not valid UTF-8") }
    for offset in 2..<max(2, length) where bytes[position + offset] & 0xC0 != 0x80 { throw fail("not valid UTF-8") }
    position += length
  }

  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }

  private func fail(_ what: String) -> JSONError {
    .malformed(offset: position, what)
  }
}

package func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}
