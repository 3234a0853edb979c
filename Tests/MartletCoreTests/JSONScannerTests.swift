// What is JSON and what is not, to the byte: RFC 8259 by examples of our own, UTF-8 by the standard library, and random
// damage by Foundation's parser.

import Foundation
import MartletCore
import Testing

private func isValid(_ bytes: some Sequence<UInt8>) -> Bool {
  (try? JSONScanner.scan(Array(bytes))) != nil
}

private func error(_ text: String, maxDepth: Int = 64) -> JSONError? {
  do {
    _ = try JSONScanner.scan(Array(text.utf8), maxDepth: maxDepth)
    return nil
  } catch {
    return error
  }
}

private func offset(_ text: String) -> Int? {
  guard case .malformed(let offset, _) = error(text) else { return nil }
  return offset
}

private let validTexts = [
  "null", "true", "false", "0", "-0", "1", "-1", "10", "0.5", "-0.0", "1.25e10", "1E+2", "1e-2", "0e0", "0E0", "1e400",
  "-1e-400", "123456789012345678901234567890", "0.00000000000000000000000000000000000000001",
  #""""#, #""a""#, #""\"\\\/\b\f\n\r\t\u0000\uFFff""#, #""\uD83D\uDE00""#, #""\uD800""#, #""\uDC00\uD800""#, #""/""#,
  "\"é😀\u{7F}\u{2028}\u{10FFFF}\"", "[]", "[ ]", "[1]", "[1,2]", "[[],{}]", "[\n1\t,\r2 ]", "{}", "{ }",
  #"{"a":1}"#, #"{"":{}}"#, #"{"a":1,"a":2}"#, #"{ "a" : [ 1 , { "b" : null } ] , "c" : "}" }"#, " \t\n\r1 \t\n\r",
  #"["]","}",",",":"]"#, #"[true,false,null,"",0]"#,
]

/// Each with the place where it stops to be JSON.
private let invalidTexts: [(String, Int)] = [
  ("", 0), (" ", 1), ("\n\t", 2),
  ("nul", 3), ("nulL", 3), ("nullx", 4), ("True", 0), ("tru", 3), ("fals", 4), ("falsey", 5), ("NaN", 0),
  ("Infinity", 0), ("-Infinity", 1), ("undefined", 0), ("a", 0), ("'a'", 0), ("/**/1", 0), ("1//", 1), ("#", 0),
  ("+1", 0), ("-", 1), ("--1", 1), ("-a", 1), ("01", 1), ("-01", 2), ("00", 1), (".5", 0), ("1.", 2), ("1.e1", 2),
  ("1.a", 2), ("1e", 2), ("1e+", 3), ("1e+-1", 3), ("1e1.5", 3), ("0x1", 1), ("1_000", 1), ("1 2", 2), ("1,", 1),
  ("\"", 1), ("\"a", 2), ("\"\\", 1), ("\"\\\"", 3), ("\"\\x\"", 1), ("\"\\U0041\"", 1), ("\"\\u\"", 3),
  ("\"\\u12\"", 5), ("\"\\u123g\"", 6), ("\"\\u 123\"", 3), ("\"\\u12", 5), ("\"\\a\"", 1), ("\"\\'\"", 1),
  ("\"\\0\"", 1), ("\"a\nb\"", 2), ("\"\t\"", 1), ("\"\0\"", 1), ("\"\u{1F}\"", 1), ("\"a\"b", 3), ("\"a\" \"b\"", 4),
  ("[", 1), ("[1", 2), ("[1,", 3), ("[1,]", 3), ("[,1]", 1), ("[,]", 1), ("[1 2]", 3), ("[1,,2]", 3), ("[}", 1),
  ("[1}", 2), ("[1:2]", 2), ("]", 0), ("[]]", 2), ("[[]", 3), ("[\"a\":1]", 4), ("[1;2]", 2), ("[1,2", 4),
  ("{", 1), ("}", 0), ("{]", 1), ("{1:2}", 1), ("{a:1}", 1), ("{'a':1}", 1), ("{\"a\"}", 4), ("{\"a\":}", 5),
  ("{\"a\" 1}", 5), ("{\"a\":1", 6), ("{\"a\":1,", 7), ("{\"a\":1,}", 7), ("{,}", 1), ("{\"a\":1]", 6),
  ("{\"a\":1 \"b\":2}", 7),
  ("{\"a\":1,,\"b\":2}", 7), ("{\"a\"::1}", 5), ("{\"a\",1}", 4), ("{\"a", 3), ("{\"a\"", 4), ("{\"a\":", 5),
  ("{\"a\":1}}", 7), ("{\"a\":1}{}", 7), ("{null:1}", 1), ("{{}:1}", 1), ("[{]}", 2), ("{\"a\":[}]", 6),
  ("\u{FEFF}1", 0), ("1\0", 1), ("\0", 0), ("1\u{B}", 1), ("\u{C}1", 0), ("1\u{A0}", 1), ("\u{2028}1", 0),
  ("[1\u{85}]", 2), ("\u{FF11}", 0), ("é", 0), ("[\u{201C}a\u{201D}]", 1),
]

@Suite struct JSONScannerTests {
  @Test(arguments: validTexts)
  func `this is JSON`(text: String) throws {
    let slice = try JSONScanner.scan(Array(text.utf8))
    #expect(slice.bytes == Array(text.trimmingCharacters(in: .whitespacesAndNewlines).utf8))
  }

  @Test(arguments: invalidTexts)
  func `this is not JSON, from this byte on`(text: String, at expected: Int) {
    #expect(offset(text) == expected)
  }

  @Test func `every proper beginning of an object is not JSON`() {
    let text = Array(#"{"a":[1.5e3,"\u0041\"",{"b":null}],"c":true}"#.utf8)
    #expect(isValid(text))
    for count in 0..<text.count { #expect(!isValid(text[..<count]), "\(count) bytes") }
  }

  @Test(arguments: Array(0..<256))
  func `one byte is JSON only if it is a digit`(byte: Int) {
    #expect(isValid([UInt8(byte)]) == (0x30...0x39).contains(byte))
  }

  @Test(arguments: Array(0..<256))
  func `only space, tab, line feed and carriage return may stand around a value`(byte: Int) {
    let isSpace = [0x20, 0x09, 0x0A, 0x0D].contains(byte)
    #expect(isValid([UInt8(byte)] + Array("{}".utf8)) == isSpace)
    #expect(isValid(Array("{}".utf8) + [UInt8(byte)]) == isSpace)
  }

  @Test(arguments: 0..<128)
  func `only the escapes of the standard are known`(byte: Int) {
    let known = "\"\\/bfnrt".utf8.contains(UInt8(byte))
    #expect(isValid([0x22, 0x5C, UInt8(byte), 0x22]) == known)
    #expect(isValid([0x22, UInt8(byte), 0x22]) == (byte >= 0x20 && byte != 0x22 && byte != 0x5C))
  }

  // MARK: Depth

  private func nested(_ depth: Int, _ open: String, _ inside: String, _ close: String) -> String {
    String(repeating: open, count: depth) + inside + String(repeating: close, count: depth)
  }

  @Test(arguments: [("[", "1", "]"), ("[", "", "]"), ("{\"a\":", "1", "}"), ("[{\"a\":", "1", "}]")])
  func `a value may be nested 64 deep and no deeper`(open: String, inside: String, close: String) {
    let levels = open.hasPrefix("[{") ? 2 : 1
    #expect(error(nested(64 / levels, open, inside, close)) == nil)
    #expect(error("[" + nested(64 / levels, open, inside, close) + "]") == .tooDeep(limit: 64))
    #expect(error(nested(64 / levels, open, inside, close) + "]") != nil)
  }

  @Test func `an innermost empty object counts as a level`() {
    #expect(error(nested(63, "[", "{}", "]")) == nil)
    #expect(error(nested(64, "[", "{}", "]")) == .tooDeep(limit: 64))
  }

  @Test func `hundreds of brackets are too deep, closed or not`() {
    #expect(error(nested(511, "[", "", "]")) == .tooDeep(limit: 64))
    #expect(error(nested(100_000, "[", "", "")) == .tooDeep(limit: 64))
    #expect(error(nested(100_000, "{\"a\":", "", "")) == .tooDeep(limit: 64))
  }

  @Test func `depth counts open levels only`() {
    let wide = "[" + Array(repeating: nested(63, "[", "", "]"), count: 10).joined(separator: ",") + "]"
    #expect(error(wide) == nil)
  }

  @Test func `another limit holds, however high`() {
    #expect(error("1", maxDepth: 0) == nil)
    #expect(error("[]", maxDepth: 0) == .tooDeep(limit: 0))
    #expect(error("[[]]", maxDepth: 2) == nil)
    #expect(error("[[{}]]", maxDepth: 2) == .tooDeep(limit: 2))
    #expect(error(nested(1000, "[", "", "]"), maxDepth: 1000) == nil)
    #expect(error(nested(1001, "[", "", "]"), maxDepth: 1000) == .tooDeep(limit: 1000))
    #expect(error(nested(1_000_000, "{\"a\":[", "", "]}"), maxDepth: .max) == nil)
  }

  @Test(arguments: [Int](0..<131) + [255, 256, 257, 400])
  func `a bracket is closed by its like at every depth`(depth: Int) {
    // The levels alternate, so that each bit of the scanner's memory is set and cleared.
    var opening = ""
    var closing = ""
    for level in 0..<depth {
      opening += level % 2 == 0 ? "[" : "{\"k\":"
      closing = (level % 2 == 0 ? "]" : "}") + closing
    }
    func outcome(_ text: String) -> JSONError? { error(opening + text + closing, maxDepth: 402) }
    #expect(outcome("[{},[]]") == nil)
    #expect(error(opening + "[{},[]]" + closing, maxDepth: depth + 1) == .tooDeep(limit: depth + 1))
    #expect(outcome("{\"a\":1}") == nil)
    for (wrong, offset) in [("[1}", 2), ("{\"a\":1]", 6)] {
      guard case .malformed(opening.utf8.count + offset, _) = outcome(wrong) else {
        Issue.record("\(wrong) at depth \(depth)")
        continue
      }
    }
  }

  // MARK: UTF-8

  @Test func `the text of a string must be valid UTF-8`() {
    // All pairs, and longer sequences of the bytes that stand at an edge of some rule.
    let edges: [UInt8] = [
      0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0,
      0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ]
    var sequences: [[UInt8]] = []
    for first in UInt8(0x80)...0xFF {
      sequences.append([first])
      for second in UInt8(0x80)...0xFF { sequences.append([first, second]) }
    }
    for first in edges {
      for second in edges {
        for third in edges {
          sequences.append([first, second, third])
          if first >= 0xE0, second >= 0x80 {
            for fourth in edges { sequences.append([first, second, third, fourth]) }
          }
        }
      }
    }
    var valid = 0
    for sequence in sequences {
      let expected = String(validating: sequence, as: UTF8.self) != nil
      if expected { valid += 1 }
      if isValid([0x22] + sequence + [0x22]) != expected { Issue.record("\(sequence) is valid: \(expected)") }
    }
    #expect(valid > 2000)
  }

  @Test func `a sequence cut short by the end of the text is not valid UTF-8`() {
    for sequence in ["é", "€", "😀"] {
      let bytes = Array(sequence.utf8)
      for count in 1...bytes.count { #expect(!isValid([0x22] + bytes[..<count])) }
      #expect(isValid([0x22] + bytes + [0x22]))
    }
  }

  @Test func `a fault in UTF-8 is told where its sequence begins`() throws {
    #expect(throws: JSONError.malformed(offset: 4, "not valid UTF-8")) {
      try JSONScanner.scan([0x22, 0x61, 0xC3, 0xA9, 0xE2, 0x82, 0x22])
    }
  }

  // MARK: Random damage

  private static let documents = [
    #"{"type":"email.send","payload":{"to":["a@b.c","d"],"n":-1.5e+3,"ok":true},"tags":[],"x":null}"#,
    #"[0,-0,10.25,1e5,"a\"b\\c\/\n\u00e9\ud83d\ude00",{"":{"":[[[]]]}}, false , true ]"#,
    "{\n  \"a\" : [ 1 , 2 , { } ],\r\n\t\"é\" : \"ü😀\"\n}",
  ]

  @Test(arguments: 0..<8 as Range<UInt64>)
  func `on damaged texts Foundation's parser agrees`(seed: UInt64) {
    let random = RandomSource(seed: seed)
    let alphabet = Array("{}[]\",:\\/ \n\t0123456789-+.eEtrufalsn\u{1}\u{7F}".utf8)
    var valid = 0
    var invalid = 0
    for round in 0..<2000 {
      var text = Array(Self.documents[round % Self.documents.count].utf8)
      for _ in 0..<random.below(4) {
        let place = random.below(text.count)
        switch random.below(4) {
        case 0: text[place] = alphabet[random.below(alphabet.count)]
        case 1: text.insert(alphabet[random.below(alphabet.count)], at: place)
        case 2: text.remove(at: place)
        default: text.insert(contentsOf: text[place..<min(text.count, place + 1 + random.below(8))], at: place)
        }
      }
      guard let comparable = comparable(text) else { continue }
      let expected = (try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)) != nil
      if expected { valid += 1 } else { invalid += 1 }
      if isValid(text) != expected { Issue.record("valid: \(expected) in \(comparable)") }
    }
    #expect(valid > 200 && invalid > 200)
  }

  /// Nil where the two may differ: Foundation repairs or guesses at what is not UTF-8, takes a comma before a closing
  /// bracket, and refuses two things that RFC 8259 allows, an escaped surrogate alone and a number beyond a double.
  private func comparable(_ bytes: [UInt8]) -> String? {
    guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
    let differing = #",\s*[\]}]|[eE]\+?[0-9]{3}|\\\\u|\\u[dD](?!83d\\ude00)(?<!\\ud83d\\ud)"#
    return text.range(of: differing, options: .regularExpression) == nil ? text : nil
  }
}
