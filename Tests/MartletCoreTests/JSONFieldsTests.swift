// Reading an object by names: each fault at its pointer with a sentence that helps, and all of them at once.

import MartletCore
import Testing

private enum Colour: String, CaseIterable {
  case red
  case darkBlue = "dark-blue"
}

/// The fields of a text with the problems so far.
private struct Reading {
  var fields: JSONFields
  var problems = Problems()

  init(_ text: String, at pointer: String = "", known names: [String] = ["a", "b", "priority"]) throws {
    fields = JSONFields(try JSONScanner.scan(Array(text.utf8)), at: pointer, known: names, problems: &problems)
  }

  var told: [String] { problems.all.map { "\($0.pointer) \($0.detail)" } }
}

@Suite struct JSONFieldsTests {
  @Test func `known fields of the right kind are read without a problem`() throws {
    var reading = try Reading(
      #"{"s":"x","t":true,"i":5.0,"d":1.5,"#
        + #""w":"2026-02-01T10:00:00Z","l":["p","q"],"m":{"k":"v","":""},"c":"dark-blue"}"#,
      known: ["s", "t", "i", "d", "w", "l", "m", "c"])
    let fields = reading.fields
    #expect(fields.string("s", &reading.problems) == "x")
    #expect(fields.bool("t", &reading.problems) == true)
    #expect(fields.int("i", &reading.problems) == 5)
    #expect(fields.double("d", &reading.problems) == 1.5)
    #expect(fields.timestamp("w", &reading.problems) == Timestamp("2026-02-01T10:00:00Z"))
    #expect(fields.strings("l", &reading.problems) == ["p", "q"])
    #expect(fields.stringMap("m", &reading.problems) == ["k": "v", "": ""])
    #expect(fields.choice("c", &reading.problems) == Colour.darkBlue)
    #expect(fields.raw("l").map { String(decoding: $0.bytes, as: UTF8.self) } == #"["p","q"]"#)
    #expect(reading.told == [])
  }

  @Test func `an unknown field is told with the name it most likely means`() throws {
    let reading = try Reading(#"{"prioritty":1,"zzzzzzzz":2,"priority":3}"#)
    #expect(
      reading.told == ["/prioritty is not a known field; did you mean priority?", "/zzzzzzzz is not a known field"])
  }

  @Test func `an unknown field is not read`() throws {
    let reading = try Reading(#"{"x":1}"#)
    #expect(reading.fields.raw("x") == nil)
    #expect(!reading.fields.has("x"))
  }

  @Test func `names count as they are written, case included`() throws {
    let reading = try Reading(#"{"A":1,"\u0062":2}"#)
    #expect(reading.told == ["/A is not a known field; did you mean a?"])
    #expect(reading.fields.raw("b")?.int == 2)
  }

  @Test func `a repeated field is told once for each time too many`() throws {
    #expect(try Reading(#"{"a":1,"b":2,"a":3,"\u0061":4}"#).told == ["/a is given twice", "/a is given twice"])
    #expect(try Reading(#"{"a":null,"a":null}"#).told == ["/a is given twice"])
  }

  @Test func `null is as good as absent`() throws {
    for text in [#"{"a":null}"#, "{}"] {
      var reading = try Reading(text)
      let fields = reading.fields
      #expect(!fields.has("a"))
      #expect(fields.string("a", &reading.problems) == nil)
      #expect(fields.bool("a", &reading.problems) == nil)
      #expect(fields.int("a", &reading.problems) == nil)
      #expect(fields.double("a", &reading.problems) == nil)
      #expect(fields.timestamp("a", &reading.problems) == nil)
      #expect(fields.strings("a", &reading.problems) == nil)
      #expect(fields.stringMap("a", &reading.problems) == nil)
      let colour: Colour? = fields.choice("a", &reading.problems)
      #expect(colour == nil)
      #expect(reading.told == [])
    }
    #expect(try Reading(#"{"a":null}"#).fields.raw("a")?.isNull == true)
    #expect(try Reading("{}").fields.raw("a") == nil)
    #expect(try Reading(#"{"a":false}"#).fields.has("a"))
  }

  @Test func `a field of a wrong kind is told with the kind it must have`() throws {
    var reading = try Reading(#"{"a":{},"b":1.5}"#, at: "/tasks/3")
    let fields = reading.fields
    #expect(fields.string("a", &reading.problems) == nil)
    #expect(fields.bool("a", &reading.problems) == nil)
    #expect(fields.int("a", &reading.problems) == nil)
    #expect(fields.int("b", &reading.problems) == nil)
    #expect(fields.double("a", &reading.problems) == nil)
    #expect(fields.timestamp("a", &reading.problems) == nil)
    #expect(fields.strings("a", &reading.problems) == nil)
    #expect(fields.stringMap("b", &reading.problems) == nil)
    let colour: Colour? = fields.choice("b", &reading.problems)
    #expect(colour == nil)
    #expect(
      reading.told == [
        "/tasks/3/a must be a string", "/tasks/3/a must be true or false", "/tasks/3/a must be a whole number",
        "/tasks/3/b must be a whole number", "/tasks/3/a must be a number",
        "/tasks/3/a must be a time in RFC 3339, such as 2026-02-01T10:00:00.000Z",
        "/tasks/3/a must be an array of strings", "/tasks/3/b must be an object of strings",
        "/tasks/3/b must be one of red, dark-blue",
      ])
  }

  @Test func `kinds are not turned into one another`() throws {
    var reading = try Reading(#"{"a":"1","b":1}"#)
    let fields = reading.fields
    #expect(fields.int("a", &reading.problems) == nil)
    #expect(fields.double("a", &reading.problems) == nil)
    #expect(fields.bool("b", &reading.problems) == nil)
    #expect(fields.string("b", &reading.problems) == nil)
    #expect(reading.problems.all.count == 4)
  }

  @Test func `a number beyond all doubles is no number, and a time that is none no time`() throws {
    var reading = try Reading(#"{"a":1e400,"b":"2026-02-30T00:00:00Z","priority":"Red"}"#)
    let fields = reading.fields
    #expect(fields.double("a", &reading.problems) == nil)
    #expect(fields.timestamp("b", &reading.problems) == nil)
    let colour: Colour? = fields.choice("priority", &reading.problems)
    #expect(colour == nil)
    #expect(reading.problems.all.map(\.pointer) == ["/a", "/b", "/priority"])
  }

  @Test func `each element of an array of strings is judged`() throws {
    var reading = try Reading(#"{"a":["x",1,"y",null]}"#)
    let fields = reading.fields
    _ = fields.strings("a", &reading.problems)
    #expect(reading.told == ["/a/1 must be a string", "/a/3 must be a string"])
  }

  @Test func `each value of an object of strings is judged`() throws {
    var reading = try Reading(#"{"a":{"x":"1","y/z":2,"x":"3","n":null}}"#)
    let fields = reading.fields
    _ = fields.stringMap("a", &reading.problems)
    #expect(reading.told == ["/a/y~1z must be a string", "/a/x is given twice", "/a/n must be a string"])
  }

  @Test(arguments: ["[]", "1", "null", #""a""#, "true"])
  func `anything but an object is told once and has no fields`(text: String) throws {
    let reading = try Reading(text, at: "/backoff")
    #expect(reading.told == ["/backoff must be an object"])
    #expect(reading.fields.raw("a") == nil)
  }

  @Test(arguments: [#"{"a":"x\ud800"}"#, #"{"a":["\ude00"]}"#, #"{"a":{"n":"\ud800"}}"#, #"{"a":{"\ud800":"v"}}"#])
  func `half of a surrogate pair is told, or mended where that is asked for`(text: String) throws {
    let slice = try JSONScanner.scan(Array(text.utf8))
    for mends in [false, true] {
      var problems = Problems()
      let fields = JSONFields(slice, at: "", known: ["a"], mendsTexts: mends, problems: &problems)
      switch slice["a"]?.kind {
      case .array: _ = fields.strings("a", &problems)
      case .object: _ = fields.stringMap("a", &problems)
      default: _ = fields.string("a", &problems)
      }
      #expect(problems.all.count == (mends ? 0 : 1))
      #expect(problems.all.allSatisfy { $0.detail.contains("half of a surrogate pair") && $0.pointer.hasPrefix("/a") })
    }
  }

  @Test func `no more is read of an object or an array than anybody could want`() throws {
    let many = (0..<20_000).map { #""x\#($0)":"v""# }.joined(separator: ",")
    var reading = try Reading(
      #"{"a":{\#(many)},"b":[\#(Array(repeating: #""v""#, count: 20_000).joined(separator: ","))]}"#)
    #expect(reading.fields.stringMap("a", &reading.problems)?.count == JSONFields.most.names)
    #expect(reading.fields.strings("b", &reading.problems)?.count == JSONFields.most.entries)
    #expect(reading.told == ["/a has more than 256 names", "/b has more than 10000 entries"])
    let whole = try Reading("{\(many)}", known: ["a"])
    #expect(whole.problems.all.count == Problems.most + 1)
    #expect(whole.told.last == " has more problems than the 100 that are told")
  }

  @Test func `of a list whose end is wanted at least that is read`() throws {
    let many = (0..<5000).map { #""\#($0)""# }.joined(separator: ",")
    var reading = try Reading(#"{"a":[\#(many)]}"#)
    let last = try #require(reading.fields.strings("a", last: 1000, &reading.problems))
    #expect((1000...2000).contains(last.count) && last.last == "4999" && reading.told == [])
    #expect(last.suffix(1000).first == "4000")
  }

  @Test func `hostile names are escaped in pointers`() throws {
    let reading = try Reading(#"{"a/b~c":1}"#, at: "/p", known: ["zzzzzzzzzz"])
    #expect(reading.told == ["/p/a~1b~0c is not a known field"])
    #expect(reading.fields.place("x/y") == "/p/x~1y")
  }
}

@Suite struct JSONPointerTests {
  @Test(arguments: [
    ("", ""), ("a", "a"), ("~", "~0"), ("/", "~1"), ("~1", "~01"), ("/~/", "~1~0~1"), ("é/😀", "é~1😀"), ("a b", "a b"),
  ])
  func `a token is escaped so that it reads back`(token: String, escaped: String) {
    #expect(JSONPointer.escaped(token) == escaped)
    #expect(escaped.replacing("~1", with: "/").replacing("~0", with: "~") == token)
  }
}

@Suite struct NearestNameTests {
  private let names = ["type", "queue", "priority", "delaySeconds", "runAt", "retries", "tags", "metadata"]

  @Test(arguments: [
    ("type", "type"), ("TYPE", "type"), ("tpe", "type"), ("typee", "type"), ("tipe", "type"), ("prioritty", "priority"),
    ("Priority", "priority"), ("delay_seconds", "delaySeconds"), ("delaySecs", "delaySeconds"), ("run_at", "runAt"),
    ("meta", nil), ("tag", "tags"), ("retrys", "retries"), ("payloadBytes", nil), ("", nil),
  ])
  func `a mistyped name is traced to the nearest known one, if it is near`(name: String, nearest: String?) {
    #expect(nearestName(to: name, among: names) == nearest)
  }

  @Test func `two edits are near, and a third of a longer name`() {
    #expect(nearestName(to: "abXY", among: ["abcd"]) == "abcd")
    #expect(nearestName(to: "aXYZ", among: ["abcd"]) == nil)
    #expect(nearestName(to: "abcdefXYZ", among: ["abcdefghi"]) == "abcdefghi")
    #expect(nearestName(to: "abcdeWXYZ", among: ["abcdefghi"]) == nil)
  }

  @Test func `the nearest wins, and the first of equals`() {
    #expect(nearestName(to: "abc", among: ["abxy", "abd", "abe"]) == "abd")
    #expect(nearestName(to: "abc", among: [String]()) == nil)
  }

  @Test func `insertions, deletions and replacements count one each`() {
    #expect(nearestName(to: "kitten", among: ["sitting"]) == nil)  // 3 edits
    #expect(nearestName(to: "kittens", among: ["sittin"]) == nil)  // 3 edits
    #expect(nearestName(to: "kitten", among: ["sittin"]) == "sittin")  // 2 edits
    #expect(nearestName(to: "ab", among: ["ba"]) == "ba")  // no swap: 2 edits
  }
}
