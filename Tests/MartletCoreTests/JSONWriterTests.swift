// Writing JSON: whatever goes in, another parser reads it back the same.

import Foundation
import MartletCore
import Testing

private func written(_ body: (inout JSONWriter) -> Void) -> String {
  var writer = JSONWriter()
  body(&writer)
  return String(decoding: writer.bytes, as: UTF8.self)
}

private let hostileTexts =
  (0...0x20).map { "a\(Unicode.Scalar(UInt8($0)))b" } + [
    "", "\"", "\\", "\\\"", "\"\"", "\\n", "/", "</script>", "\u{7F}", "\u{80}", "\u{85}", "é", "e\u{301}", "\r\n",
    "\u{2028}\u{2029}", "a\u{FEFF}", "\u{FFFD}", "\u{FFFF}", "😀", "👩\u{200D}👧", "\u{10FFFF}", "\u{202E}", "null", "{}",
    "\\u0041",
    "\0", "\0\0\"\\\0", String(repeating: "\"", count: 1000), String(repeating: "é\n", count: 1000),
  ]

@Suite struct JSONWriterTests {
  @Test(arguments: hostileTexts)
  func `any string reads back the same, as value and as name`(text: String) throws {
    let json = written { $0.object { $0.field(text, text) } }
    let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: String])
    #expect(object.count == 1)
    #expect(object.first.map { Array($0.key.utf8) } == Array(text.utf8))
    #expect(object.first.map { Array($0.value.utf8) } == Array(text.utf8))
    let slice = try JSONScanner.scan(Array(json.utf8))
    #expect(slice.members?.first.map { Array($0.name.utf8) } == Array(text.utf8))
    #expect(slice.members?.first?.value.string.map { Array($0.utf8) } == Array(text.utf8))
  }

  @Test func `only what must be escaped is escaped`() {
    #expect(written { $0.string("a/é😀\u{7F}") } == "\"a/é😀\u{7F}\"")
    #expect(written { $0.string("\"\\\n\r\t\0\u{8}\u{1F}") } == #""\"\\\n\r\t\u0000\u0008\u001f""#)
  }

  @Test func `a string from elsewhere is written alike`() {
    #expect(written { $0.string(NSString("é\n\"😀") as String) } == #""é\n\"😀""#)
    #expect(written { $0.string(String("xé\nx".dropFirst().dropLast())) } == #""é\n""#)
  }

  @Test func `commas stand between values and nowhere else`() {
    let json = written {
      $0.object {
        $0.field("a", 1)
        $0.name("b")
        $0.array {
          $0.int(1)
          $0.array { _ in }
          $0.object { _ in }
          $0.null()
          $0.bool(true)
          $0.array { $0.string("x") }
          $0.object { $0.field("c", false) }
          $0.raw(Array("[ 1,2 ]".utf8))
          $0.double(0.5)
        }
        $0.field("d") { $0.field("e", "f") }
        $0.field("g") { _ in }
        $0.field("h", ["i", "j"])
        $0.field("k", [String]())
      }
    }
    let start = #"{"a":1,"b":[1,[],{},null,true,["x"],{"c":false},[ 1,2 ],0.5],"#
    #expect(json == start + #""d":{"e":"f"},"g":{},"h":["i","j"],"k":[]}"#)
  }

  @Test func `a sequence is written element by element`() {
    #expect(written { $0.array(of: [3, 1, 2]) { $0.int($1) } } == "[3,1,2]")
    #expect(written { $0.array(of: [Int]()) { $0.int($1) } } == "[]")
    #expect(
      written { $0.array(of: ["a", "b"]) { writer, name in writer.object { $0.field(name, 1) } } }
        == #"[{"a":1},{"b":1}]"#)
  }

  @Test func `an absent field is null`() {
    let json = written {
      $0.object {
        $0.field("s", nil as String?)
        $0.field("i", nil as Int?)
        $0.field("d", nil as Double?)
        $0.field("t", nil as Timestamp?)
        $0.field("id", nil as TaskID?)
        $0.field("after", 1)
      }
    }
    #expect(json == #"{"s":null,"i":null,"d":null,"t":null,"id":null,"after":1}"#)
  }

  @Test func `times and ids are written as text`() {
    let json = written {
      $0.object {
        $0.field("t", Timestamp(milliseconds: 1))
        $0.field("id", TaskID(high: 1, low: 2))
      }
    }
    #expect(json == #"{"t":"1970-01-01T00:00:00.001Z","id":"00000000-0000-0001-0000-000000000002"}"#)
  }

  @Test func `raw JSON is written byte for byte`() {
    let payload = #"{ "a" : 1.0e+0, "a":"\u0041" }"#
    #expect(
      written {
        $0.array {
          $0.raw(Array(payload.utf8))
          $0.int(1)
        }
      } == "[\(payload),1]")
  }

  // MARK: Numbers

  @Test(arguments: [0, 1, -1, 9_007_199_254_740_993, .max, .min])
  func `a whole number is written to its last digit`(value: Int) throws {
    #expect(written { $0.int(value) } == "\(value)")
    #expect(try JSONScanner.scan(Array(written { $0.int(value) }.utf8)).int == value)
  }

  @Test(arguments: [
    (0, "0"), (1, "1"), (-3, "-3"), (100, "100"), (3600, "3600"), (0.5, "0.5"), (-1.25, "-1.25"), (0.1, "0.1"),
    (9_007_199_254_740_992, "9007199254740992"), (1e18, "1000000000000000000"),
  ])
  func `a double without a fraction is written without one`(value: Double, text: String) {
    #expect(written { $0.double(value) } == text)
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity, .signalingNaN])
  func `what is not a finite number is null`(value: Double) {
    #expect(
      written {
        $0.array {
          $0.double(value)
          $0.double(1)
        }
      } == "[null,1]")
    #expect(written { $0.object { $0.field("a", value) } } == #"{"a":null}"#)
  }

  @Test func `every finite double reads back as itself`() throws {
    let random = RandomSource(seed: 11)
    var values: [Double] = [
      .leastNonzeroMagnitude, .leastNormalMagnitude, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, 1e300, 1e-7,
      1e16, 9_223_372_036_854_775_808, -9_223_372_036_854_775_808, .pi, .ulpOfOne, 1.0.nextUp, 1.0.nextDown,
    ]
    for _ in 0..<2000 { values.append(Double(bitPattern: random.next())) }
    for value in values where value.isFinite {
      let text = written { $0.double(value) }
      #expect(try JSONScanner.scan(Array(text.utf8)).double == value, "\(text)")
      // Foundation's JSONSerialization is wrong in the last digit; its decoder is not.
      #expect(try JSONDecoder().decode(Double.self, from: Data(text.utf8)) == value, "\(text)")
    }
  }
}
