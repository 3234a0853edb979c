internal import Testing

@testable internal import MartletCore

@Suite("Canonical JSON")
struct CanonicalJSONTests {
  private func canonical(_ text: String, without omitted: Set<String> = []) throws -> String {
    String(decoding: CanonicalJSON.bytes(of: try JSONScanner.scan(Array(text.utf8)), without: omitted), as: UTF8.self)
  }

  @Test func `names are sorted at every depth, and white space between values is gone`() throws {
    #expect(
      try canonical("{ \"b\" : [ 1 , { \"z\" : null , \"a\" : true } ] ,\n\t\"a\" : \"x y\" }")
        == #"{"a":"x y","b":[1,{"a":true,"z":null}]}"#)
  }

  @Test func `arrays keep their order`() throws {
    #expect(try canonical("[3, 1, 2, []]") == "[3,1,2,[]]")
  }

  @Test(arguments: ["1.0", "1", "1e2", "1E+2", "-0", "9007199254740993", "0.10"])
  func `a number stays as it was written`(number: String) throws {
    #expect(try canonical("[ \(number) ]") == "[\(number)]")
  }

  @Test func `one string has one form, however it was escaped`() throws {
    let (one, other) = (try canonical(#"["\u0041\/\u00e9\n"]"#), try canonical("[\"A/é\\u000a\"]"))
    #expect(one == other)
    #expect(try canonical(#"{"\u0062": 1, "a": 2}"#) == #"{"a":2,"b":1}"#)
  }

  @Test func `names are sorted by their bytes`() throws {
    #expect(try canonical(#"{"é": 1, "z": 2, "Z": 3, "": 4}"#) == #"{"":4,"Z":3,"z":2,"é":1}"#)
  }

  @Test func `halves of surrogate pairs are told apart, from each other and from what stands for them`() throws {
    let strings = [#""\ud800""#, #""\ud801""#, #""\udc00""#, #""\ufffd""#, #""\\ud800""#, #""a\ud800""#]
    #expect(Set(try strings.map { try canonical("[\($0)]") }).count == strings.count)
    #expect(Set(try strings.map { try canonical("{\($0): 1}") }).count == strings.count)
    #expect(try canonical(#"{"\ud801": 1, "\ud800": 2, "a": 3}"#) == canonical(#"{"a": 3, "\ud800": 2, "\ud801": 1}"#))
    #expect(try canonical(#"["\ud83d\ude00"]"#) == canonical("[\"😀\"]"))
  }

  @Test func `only members of the root are left out`() throws {
    #expect(
      try canonical(#"{"idempotencyKey": "k", "payload": {"idempotencyKey": 1}}"#, without: ["idempotencyKey"])
        == #"{"payload":{"idempotencyKey":1}}"#)
  }

  @Test func `what differs stays different`() throws {
    let texts = [
      "{}", "[]", "null", #""""#, "0", #"{"a":1}"#, #"{"a":"1"}"#, #"{"a":1,"b":null}"#, #"{"a":[1]}"#,
      #"{"a":{"b":1}}"#,
      #"["a:b"]"#, #"["a","b"]"#, #"["a,b"]"#,
    ]
    #expect(Set(try texts.map { try canonical($0) }).count == texts.count)
  }
}
