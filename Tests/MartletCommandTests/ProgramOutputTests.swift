// What is kept of a program's outputs, and what it is given.

internal import Foundation
internal import MartletCore
internal import Testing

@testable internal import MartletCommand

@Suite struct ProgramOutputTests {
  @Test(arguments: [
    ("", nil), ("\n", nil), (" \t\r\n", nil), ("hello\n", #""hello""#), ("two\nlines\r\n", "\"two\\nlines\""),
    ("42\n", "42"), (" {\"a\": 1.0}\n", "{\"a\": 1.0}"), ("null\n", "null"), ("{\"a\":}", #""{\"a\":}""#),
    ("  indented\n", #""  indented""#), ("a\u{0}b", "\"a\\u0000b\""),
  ])
  func `output is JSON as it stands there, or else a text`(output: String, json: String?) {
    var bytes = BoundedBytes(limit: 100)
    for byte in output.utf8 { bytes.append([byte]) }
    #expect(bytes.json.map { String(decoding: $0, as: UTF8.self) } == json)
  }

  @Test func `output that is no UTF-8 is a text with what can be read of it`() {
    var bytes = BoundedBytes(limit: 100)
    bytes.append([0x61, 0xFF, 0x62])
    #expect(bytes.json == Array("\"a\u{FFFD}b\"".utf8))
  }

  @Test func `output over the limit is cut, and longer than any result that is kept`() throws {
    for piece in [1, 7, 1000] {
      var bytes = BoundedBytes(limit: 1000)
      for _ in 0..<(2000 / piece) { bytes.append(Array(repeating: UInt8(ascii: "7"), count: piece)) }
      let json = try #require(bytes.json)
      #expect(json.first == UInt8(ascii: "\""), "half a number is no number")
      #expect(json.count == 1002)
    }
    var exact = BoundedBytes(limit: 4)
    exact.append(Array("1234".utf8))
    #expect(exact.json == Array("1234".utf8))
  }

  @Test func `lines come out as they end, whatever the pieces`() {
    let text = "one\r\n\ntwo\nthree"
    for size in 1...text.utf8.count {
      var splitter = LineSplitter()
      var lines: [String] = []
      let bytes = Array(text.utf8)
      for start in stride(from: 0, to: bytes.count, by: size) {
        lines += splitter.lines(in: bytes[start..<min(start + size, bytes.count)])
      }
      #expect(lines == ["one", "", "two"])
      #expect(splitter.rest() == "three")
      #expect(splitter.rest() == nil)
      #expect(splitter.last == "three")
    }
  }

  @Test func `a line without end is cut while it comes`() {
    var splitter = LineSplitter()
    let piece = Array(repeating: UInt8(ascii: "x"), count: 10_000)
    for _ in 0..<100 { #expect(splitter.lines(in: piece).isEmpty) }
    let line = splitter.lines(in: Array("\nnext\n".utf8))
    #expect(line.map(\.utf8.count) == [Limits.logBytes, 4])
  }

  @Test func `a program is found in the PATH or by its path, before anything else is done`() throws {
    #expect(try HandlerProgram(["sh", "-c", "x"], environment: ["PATH": "/nowhere:/bin"]).path == "/bin/sh")
    #expect(try HandlerProgram(["/bin/sh"], environment: [:]).path == "/bin/sh")
    #expect(try HandlerProgram(["sh"], environment: [:]).name == "sh")
    let source = #filePath  // no program
    for words in [[], [""], ["no-such-program"], ["/no/such"], ["./sh"], ["/bin"], [source]] {
      let failure = #expect(throws: CommandFailure.self) { try HandlerProgram(words, environment: ["PATH": "/bin"]) }
      #expect(failure?.status == .usage)
    }
  }

  @Test func `nothing of the worker's own is passed on`() throws {
    let given = [
      "MARTLET_API_KEY": "mk_secret", "MARTLET_TOKEN": "t", "MARTLET_SERVER": "s", "MARTLET_DATABASE_URL": "d",
      "PATH": "/bin", "HOME": "/root", "1BAD": "x",
    ]
    let program = try HandlerProgram(["sh"], environment: given)
    #expect(program.environment == ["PATH": "/bin", "HOME": "/root"])
  }
}
