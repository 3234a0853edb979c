// The bytes that Redis sends, in whatever pieces; and bytes that no Redis would send.

internal import NIOCore
internal import Testing

@testable internal import MartletRedis

struct ReplyReaderTests {
  private static let text =
    "+OK\r\n:-7\r\n$5\r\na\r\nbc\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n-ERR no\r\n*3\r\n:1\r\n*2\r\n+x\r\n*0\r\n$1\r\ny\r\n"

  private static let values: [RedisValue] = [
    .text(Array("OK".utf8)), .integer(-7), .text(Array("a\r\nbc".utf8)), .null, .null, .array([]), .text([]),
    .error("ERR no"), .array([.integer(1), .array([.text(Array("x".utf8)), .array([])]), .text(Array("y".utf8))]),
  ]

  private func read(_ reader: ReplyReader, _ text: String) throws(ReplyReader.Broken) -> [RedisValue] {
    try reader.feed(ByteBuffer(string: text))
    var values: [RedisValue] = []
    while let value = try reader.next() { values.append(value) }
    return values
  }

  @Test func `All kinds of answers are read at once`() throws {
    #expect(try read(ReplyReader(), Self.text) == Self.values)
  }

  @Test func `It makes no difference that they come byte by byte`() throws {
    let reader = ReplyReader()
    let values = try Self.text.utf8.flatMap { try read(reader, String(decoding: [$0], as: UTF8.self)) }
    #expect(values == Self.values)
  }

  @Test(arguments: [
    "HTTP/1.1 400 Bad Request\r\n", "$99999999999999999999999\r\n", "$-2\r\n", "*99999999999999999999999\r\n",
    "*-2\r\n",
    "*2147483648\r\n", "*2147483647\r\n", "*1000000000\r\n", ":abc\r\n", ":\r\n", "$abc\r\n", "\r\n",
    String(repeating: "*1\r\n", count: 100), "*2\r\n*1048576\r\n:1\r\n*99999999\r\n",
  ])
  func `What is not an answer of Redis, or promises too much, is an error and no crash`(_ text: String) {
    #expect(throws: ReplyReader.Broken.self) { try read(ReplyReader(), text) }
    let reader = ReplyReader()
    #expect(throws: ReplyReader.Broken.self) {
      for byte in text.utf8 { _ = try read(reader, String(decoding: [byte], as: UTF8.self)) }
    }
    #expect(throws: ReplyReader.Broken.self) { try read(reader, "+OK\r\n") }
  }

  @Test func `What never ends is not kept`() throws {
    let reader = ReplyReader(.init(bytes: 1000, values: 100))
    #expect(try read(reader, "$999999999\r\n").isEmpty)
    #expect(throws: ReplyReader.Broken(reason: "an answer is longer than 1000 bytes")) {
      for _ in 0..<1000 { _ = try read(reader, "0123456789") }
    }
  }

  @Test func `Many small parts are too much as well`() throws {
    let reader = ReplyReader(.init(bytes: 1000, values: 100))
    let few = "*3\r\n" + String(repeating: "*20\r\n" + String(repeating: ":1\r\n", count: 20), count: 3)
    for _ in 0..<3 { #expect(try read(reader, few).count == 1) }
    let many = "*20\r\n" + String(repeating: "*20\r\n" + String(repeating: ":1\r\n", count: 20), count: 20)
    #expect(throws: ReplyReader.Broken(reason: "an answer holds too much")) {
      for byte in many.utf8 { _ = try read(reader, String(decoding: [byte], as: UTF8.self)) }
    }
  }

  @Test func `A reader may be given up in the middle of an answer`() throws {
    #expect(try read(ReplyReader(), "*3\r\n:1\r\n*2\r\n$5\r\nab").isEmpty)
  }
}
