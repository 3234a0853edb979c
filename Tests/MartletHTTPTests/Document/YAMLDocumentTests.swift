// From YAML to JSON: what the document means must not change on the way.

internal import Testing

@testable internal import MartletHTTP

@Suite struct YAMLDocumentTests {
  private func json(_ yaml: String, leavingOutPlanned: Bool = true) throws -> String {
    String(decoding: try YAMLDocument(yaml).json(leavingOutPlanned: leavingOutPlanned), as: UTF8.self)
  }

  @Test func `values keep their kinds and their order`() throws {
    #expect(
      try json("z: 1\na: [true, null, 1.5, 1e3, text, '1', \"true\", 2026-02-01, on, 0x10]\nm: {}\nf: >-\n  a\n  b\n")
        == #"{"z":1,"a":[true,null,1.5,1e3,"text","1","true","2026-02-01","on","0x10"],"m":{},"f":"a b"}"#)
  }

  @Test func `what is still to come is left out with its path, unless it is asked for`() throws {
    let yaml = """
      paths:
        /a:
          parameters: []
          get: { x-martlet-planned: true }
        /b:
          get: { parameters: [{ name: c, x-martlet-planned: true }, { name: d }] }
          put: { x-martlet-planned: true }
      """
    #expect(try json(yaml) == #"{"paths":{"/b":{"get":{"parameters":[{"name":"d"}]}}}}"#)
    #expect(try json(yaml, leavingOutPlanned: false).contains("/a"))
  }

  @Test(arguments: ["", "a: [1", "a: &x 1\nb: *y"])
  func `what is no document is an error`(yaml: String) {
    #expect(throws: DocumentError.self) { try json(yaml) }
  }
}
