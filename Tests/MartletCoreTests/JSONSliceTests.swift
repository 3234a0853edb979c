// Reading checked JSON: members and elements in order, strings without their escapes, numbers to the last digit, and
// the bytes exactly as they came.

import Foundation
import MartletCore
import Testing

private func scan(_ text: String) throws -> JSONSlice {
  try JSONScanner.scan(Array(text.utf8))
}

private func text(_ slice: JSONSlice?) -> String? {
  slice.map { String(decoding: $0.bytes, as: UTF8.self) }
}

/// A value as a tree, for comparison.
private indirect enum Tree: Equatable {
  case object([(name: String, value: Tree)])
  case array([Tree])
  case string([UInt8])
  case number(Int)
  case boolean(Bool)
  case null

  init?(_ slice: JSONSlice) {
    switch slice.kind {
    case .object:
      guard let members = slice.members else { return nil }
      var values: [(name: String, value: Tree)] = []
      for (name, value) in members {
        guard let value = Tree(value) else { return nil }
        values.append((name, value))
      }
      self = .object(values)
    case .array:
      guard let elements = slice.elements else { return nil }
      self = .array(elements.compactMap { Tree($0) })
    case .string:
      guard let string = slice.string else { return nil }
      self = .string(Array(string.utf8))
    case .number:
      guard let int = slice.int else { return nil }
      self = .number(int)
    case .boolean:
      guard let bool = slice.bool else { return nil }
      self = .boolean(bool)
    case .null: self = .null
    }
  }

  static func == (left: Tree, right: Tree) -> Bool {
    switch (left, right) {
    case (.object(let left), .object(let right)):
      left.map { Array($0.name.utf8) } == right.map { Array($0.name.utf8) } && left.map(\.value) == right.map(\.value)
    case (.array(let left), .array(let right)): left == right
    case (.string(let left), .string(let right)): left == right
    case (.number(let left), .number(let right)): left == right
    case (.boolean(let left), .boolean(let right)): left == right
    case (.null, .null): true
    default: false
    }
  }

  static func random(_ random: RandomSource, depth: Int) -> Tree {
    switch random.below(depth > 0 ? 6 : 4) {
    case 0: .null
    case 1: .boolean(random.below(2) == 0)
    case 2: .number(Int(truncatingIfNeeded: random.next()) >> random.below(64))
    case 3: .string(Array(Self.text(random).utf8))
    case 4: .array((0..<random.below(5)).map { _ in .random(random, depth: depth - 1) })
    default: .object((0..<random.below(5)).map { _ in (Self.text(random), .random(random, depth: depth - 1)) })
    }
  }

  private static func text(_ random: RandomSource) -> String {
    let pieces = [
      "a", "\"", "\\", "/", "{", "}", "[", "]", ",", ":", " ", "\n", "\0", "\u{1F}", "é", "€", "😀", "\\\"", "u0041",
    ]
    return (0..<random.below(6)).map { _ in pieces[random.below(pieces.count)] }.joined()
  }

  /// The tree as text, with spaces and escapes wherever they may be.
  func written(_ random: RandomSource) -> String {
    func space() -> String { ["", "", " ", "\n\t", "\r "][random.below(5)] }
    func quoted(_ text: String) -> String {
      let scalars = text.unicodeScalars.map { scalar -> String in
        let mustEscape = scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
        guard mustEscape || random.below(3) == 0 else { return String(scalar) }
        if scalar == "\"" || scalar == "\\" || scalar == "/", random.below(2) == 0 { return "\\" + String(scalar) }
        if scalar == "\n", random.below(2) == 0 { return "\\n" }
        return String(scalar).utf16.map { unit in
          let hex = String(unit, radix: 16, uppercase: random.below(2) == 0)
          return "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        }.joined()
      }
      return "\"" + scalars.joined() + "\""
    }
    let value =
      switch self {
      case .null: "null"
      case .boolean(let value): value ? "true" : "false"
      case .number(let value): String(value)
      case .string(let bytes): quoted(String(decoding: bytes, as: UTF8.self))
      case .array(let elements): "[" + elements.map { $0.written(random) }.joined(separator: ",") + space() + "]"
      case .object(let members):
        "{" + space()
          + members.map { space() + quoted($0.name) + space() + ":" + $0.value.written(random) }.joined(separator: ",")
          + "}"
      }
    return space() + value + space()
  }
}

@Suite struct JSONSliceTests {
  @Test(arguments: 0..<10 as Range<UInt64>)
  func `any value reads as what was written, however it was written`(seed: UInt64) throws {
    let random = RandomSource(seed: seed)
    for _ in 0..<100 {
      let tree = Tree.random(random, depth: 4)
      let text = tree.written(random)
      #expect(try Tree(scan(text)) == tree, "\(text)")
    }
  }

  @Test func `members come in order, repeated names included`() throws {
    let slice = try scan(#" { "b" : 1 , "a":[ 2 ] ,"b": {"c":3} , "" :"x","b":null} "#)
    let members = try #require(slice.members)
    #expect(members.map(\.name) == ["b", "a", "b", "", "b"])
    #expect(members.map { text($0.value) } == ["1", "[ 2 ]", #"{"c":3}"#, #""x""#, "null"])
    #expect(text(slice["b"]) == "1")
    #expect(text(slice[""]) == #""x""#)
    #expect(slice["c"] == nil)
  }

  @Test func `names are read without their escapes`() throws {
    let slice = try scan(#"{"\u0061":1,"a\"b":2,"\\":3}"#)
    #expect(slice.members?.map(\.name) == ["a", "a\"b", "\\"])
    #expect(slice["a"]?.int == 1)
  }

  @Test func `elements come in order`() throws {
    let slice = try scan(#"[1, "a,]" , [ ], {"k":[0]},true,null, -2.5e1 ]"#)
    let expected = ["1", #""a,]""#, "[ ]", #"{"k":[0]}"#, "true", "null", "-2.5e1"]
    #expect(slice.elements?.map { text($0) } == expected)
    #expect(try scan("[ ]").elements?.isEmpty == true)
    #expect(try scan("{ }").members?.isEmpty == true)
  }

  @Test func `values inside values can be read on`() throws {
    let slice = try scan(#"{"a":{"b":[{"c":"d"}]}}"#)
    #expect(slice["a"]?["b"]?.elements?.first?["c"]?.string == "d")
  }

  @Test func `bytes are exactly those that came`() throws {
    let payload = #"{ "n" : 1.0e+0 ,"s":"\u0041\/é", "n":2,"z":12345678901234567890.10 }"#
    let slice = try scan("  {\"payload\" :\t\(payload) , \"x\":1}\n")
    #expect(text(slice["payload"]) == payload)
    #expect(try text(scan("\n\(payload)\t")) == payload)
    #expect(try text(scan(payload)) == payload)
  }

  @Test(
    arguments: [
      ("{}", .object), ("[]", .array), (#""""#, .string), ("0", .number), ("-1", .number), ("true", .boolean),
      ("false", .boolean), ("null", .null),
    ] as [(String, JSONSlice.Kind)])
  func `a value is only read as what it is`(text: String, kind: JSONSlice.Kind) throws {
    let slice = try scan(" \(text) ")
    #expect(slice.kind == kind)
    #expect((slice.members != nil) == (kind == .object))
    #expect((slice.elements != nil) == (kind == .array))
    #expect((slice.string != nil) == (kind == .string))
    #expect((slice.int != nil) == (kind == .number))
    #expect((slice.double != nil) == (kind == .number))
    #expect((slice.bool != nil) == (kind == .boolean))
    #expect(slice.isNull == (kind == .null))
    #expect(slice["a"] == nil)
  }

  @Test func `true is true and false is false`() throws {
    #expect(try scan("true").bool == true)
    #expect(try scan("false").bool == false)
  }

  // MARK: Strings

  @Test(arguments: [
    (#""""#, ""), (#""a""#, "a"), (#""\"\\\/""#, "\"\\/"), (#""\b\f\n\r\t""#, "\u{8}\u{C}\n\r\t"),
    (#""\u0000\u001f""#, "\0\u{1F}"), (#""\u00e9\u00E9é""#, "ééé"), (#""\u20AC""#, "€"), (#""a\\n""#, "a\\n"),
    (#""\\u0041""#, "\\u0041"), (#""\\\\""#, "\\\\"), (#""\uD83D\uDE00""#, "😀"), (#""x\ud83d\ude00y😀""#, "x😀y😀"),
    (#""\uFFFF\uFFFD""#, "\u{FFFF}\u{FFFD}"), (#""\udbff\udfff""#, "\u{10FFFF}"), (#""e\u0301""#, "e\u{301}"),
  ])
  func `a string is read without its escapes`(text: String, string: String) throws {
    #expect(try scan(text).string.map { Array($0.utf8) } == Array(string.utf8))
  }

  @Test(arguments: [
    (#""\ud800""#, "\u{FFFD}"), (#""\udc00""#, "\u{FFFD}"), (#""a\ud83db""#, "a\u{FFFD}b"),
    (#""\ud83d😀""#, "\u{FFFD}😀"), (#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"), (#""\ud83d\ud83d\ude00""#, "\u{FFFD}😀"),
    (#""\ud83d\n\ude00""#, "\u{FFFD}\n\u{FFFD}"), (#""\ud83d\\ude00""#, "\u{FFFD}\\ude00"),
  ])
  func `a surrogate alone is read as the replacement character`(text: String, string: String) throws {
    #expect(try scan(text).string.map { Array($0.utf8) } == Array(string.utf8))
  }

  // MARK: Numbers

  @Test(arguments: [
    ("0", 0), ("-0", 0), ("7", 7), ("-7", -7), ("5.0", 5), ("5e0", 5), ("5E2", 500), ("-5.000", -5), ("1.5e1", 15),
    ("500e-2", 5), ("0.0", 0), ("0e9", 0), ("9007199254740993", 9_007_199_254_740_993),
    ("-9007199254740993", -9_007_199_254_740_993), ("9223372036854775807", .max), ("-9223372036854775808", .min),
    ("9007199254740992.0", 9_007_199_254_740_992),
  ])
  func `a whole number is read to its last digit`(text: String, int: Int) throws {
    #expect(try scan(text).int == int)
  }

  @Test(arguments: [
    "0.5", "-1.25", "5e-1", "1.0000001", "9223372036854775808", "1e19", "-1e19", "1e400", "-1e400",
  ])
  func `a number with a fraction or too large is not whole`(text: String) throws {
    #expect(try scan(text).int == nil)
  }

  @Test(arguments: [
    ("0", 0), ("-1.5", -1.5), ("1e3", 1000), ("0.1", 0.1), ("1e-2", 0.01), ("9007199254740993", 9_007_199_254_740_992),
    ("1.7976931348623157e308", .greatestFiniteMagnitude), ("5e-324", .leastNonzeroMagnitude),
    ("1e400", .infinity), ("-1e400", -.infinity),
  ])
  func `a number is read as the nearest double`(text: String, double: Double) throws {
    #expect(try scan(text).double == double)
  }

  @Test func `negative zero keeps its sign as a double`() throws {
    #expect(try scan("-0").double?.sign == .minus)
  }
}

@Suite struct LoneSurrogateTests {
  @Test(arguments: [
    #""\ud800""#, #""\uDBFFx""#, #""\ude00""#, #""\ud83d\ud83d\ude00""#, #""\ud83d\\ude00""#, #"["a","\ud800"]"#,
    #"{"\udfff":1}"#, #""\ud83d""#, #""\ud83d\n\ude00""#,
  ])
  func `half of a surrogate pair is found`(json: String) throws {
    #expect(try JSONScanner.scan(Array(json.utf8)).hasLoneSurrogate)
  }

  @Test(arguments: [
    #""\ud83d\ude00""#, #""\ud83d\ude00\ud83d\ude00""#, "\"😀\"", #""\\ud800""#, #""\\\\ude00 \u0041""#, "{}", "1",
    #""""#,
  ])
  func `whole characters are let be`(json: String) throws {
    #expect(try !JSONScanner.scan(Array(json.utf8)).hasLoneSurrogate)
  }

  @Test func `the first elements and members are had without the others`() throws {
    let array = try JSONScanner.scan(Array("[1,2,3]".utf8))
    #expect(array.elements(atMost: 2)?.compactMap(\.int) == [1, 2])
    #expect(array.elements(atMost: 9)?.count == 3)
    #expect(array.members(atMost: 1) == nil)
    let object = try JSONScanner.scan(Array(#"{"a":1,"b":2}"#.utf8))
    #expect(object.members(atMost: 1)?.map(\.name) == ["a"])
    #expect(object.members(atMost: 3)?.map(\.name) == ["a", "b"])
    #expect(object.elements(atMost: 1) == nil)
    var seen: [Int] = []
    array.forEachElement { index, element in
      seen.append(element.int ?? 0)
      return index < 1
    }
    #expect(seen == [1, 2])
  }
}
