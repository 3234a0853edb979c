// Payloads of every form that JSON has, drawn at random from a seed: each comes back byte for byte.

internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct GeneratedPayloadTests {
  @Test(arguments: 1...8)
  func `whatever JSON a payload is, it is answered as it came`(seed: Int) async throws {
    var writer = JSONNoise(seed: UInt64(seed))
    let payloads = (0..<60).map { _ in writer.bare(depth: 61) }
    let tasks = payloads.map { #"{"type":"resize","payload": \#($0) }"# }.joined(separator: " , ")
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks/batch", #"{"tasks":[\#(tasks)]}"#)
      try #require(reply.status == 201, "\(reply.text.prefix(500))")
      let answered = try #require(try reply.json()["data"]?.elements)
      #expect(answered.count == payloads.count)
      for (payload, task) in zip(payloads, answered) {
        #expect(task["payload"]?.bytes == Array(payload.utf8))
        let id = try #require(task["id"]?.string)
        #expect(try await harness.get("/tasks/\(id)").raw("payload") == payload)
      }
      // And to workers.
      let granted = try await harness.post("/leases", #"{"worker":"w","types":["resize"],"limit":1000}"#)
      let leased = try #require(try JSONScanner.scan(granted.bytes, maxDepth: 128)["leases"]?.elements)
      #expect(Set(leased.compactMap { $0["task"]?["payload"]?.bytes }) == Set(payloads.map { Array($0.utf8) }))
    }
  }

  @Test func `the noise has all that JSON has`() throws {
    var writer = JSONNoise(seed: 1)
    let texts = (0..<400).map { _ in writer.value(depth: 61) }
    let all = texts.joined()
    for part in ["{", "[", "true", "null", "\\u", "\\\"", "e", "-", ".", "\n", "\t", "😀", "\\ud8"] {
      #expect(all.contains(part), "\(part)")
    }
    for text in texts { _ = try JSONScanner.scan(Array(text.utf8), maxDepth: 61) }
    #expect(texts.contains { $0.utf8.count > 1000 })
  }
}

/// Draws JSON texts: deep and flat, with white space, escapes, doubled names and numbers that no double holds.
private struct JSONNoise {
  private let random: RandomSource

  init(seed: UInt64) {
    random = RandomSource(seed: seed)
  }

  mutating func value(depth: Int) -> String {
    space() + bare(depth: depth)
  }

  /// Without white space around it, which belongs to who has it in his text.
  mutating func bare(depth: Int) -> String {
    switch random.below(depth > 1 ? 10 : 6) {
    case 0: return ["null", "true", "false"][random.below(3)]
    case 1, 2: return number()
    case 3, 4, 5: return string()
    // Now and then a value that is one long way down.
    case 6: return "[" + value(depth: depth - 1) + space() + "]"
    case 7: return #"{"\#(random.below(3))":"# + value(depth: depth - 1) + "}"
    case 8: return "[" + many(depth) { $0.value(depth: $1) } + space() + "]"
    default:
      return "{" + many(depth) { $0.space() + $0.string() + $0.space() + ":" + $0.value(depth: $1) } + space() + "}"
    }
  }

  private mutating func many(_ depth: Int, _ element: (inout JSONNoise, Int) -> String) -> String {
    var elements: [String] = []
    for _ in 0..<random.below(8) { elements.append(element(&self, min(depth - 1, 6))) }
    return elements.joined(separator: space() + ",")
  }

  private mutating func number() -> String {
    let whole = ["0", "1", "9007199254740993", "18446744073709551616", String(random.next()), "1" + zeros()][
      random.below(6)]
    let fraction = ["", "", ".0", ".10", ".1" + zeros(), "." + zeros() + "1"][random.below(6)]
    let exponent = ["", "", "e0", "E+400", "e-400", "e00012"][random.below(6)]
    return ["", "-"][random.below(2)] + whole + fraction + exponent
  }

  private mutating func zeros() -> String { String(repeating: "0", count: random.below(50)) }

  private mutating func string() -> String {
    let parts = [
      "a", "B", " ", "é", "e\u{301}", "😀", "\u{202E}", "\u{FFFF}", "\u{7F}", "\u{2028}", "/", #"\/"#, #"\\"#, #"\""#,
      #"\n"#,
      #"\b\f\r\t"#, #"\u0000"#, #"\u00e9"#, #"\ud83d\ude00"#, #"\ud800"#, #"\uDFFF"#, #"\u0022"#, "<script>", "'; --",
      String(repeating: "x", count: random.below(200)),
    ]
    return "\"" + (0..<random.below(6)).map { _ in parts[random.below(parts.count)] }.joined() + "\""
  }

  private mutating func space() -> String {
    ["", "", "", " ", "\n", "\t", "\r\n", "  "][random.below(8)]
  }
}
