// Every field of a submission, a batch and a patch: too long, too large, of another unit, hostile. Each has to be refused at its
// place, and nothing may be stored. What is wrong in the same way everywhere (kinds, names, doubles) is in EveryRouteTests.

internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct FieldTests {
  /// A member of a task, and where the mistake in it is.
  struct Mistake: Sendable, CustomTestStringConvertible {
    let member: String
    let pointer: String
    var testDescription: String { String(member.prefix(80)) }
  }

  // MARK: The table

  /// JSON texts that no field with a text of its own may take.
  private static let hostile = [
    #""a\u0000b""#, #""a\nb""#, #""a\r\n\tb""#, #""\u001b[2J""#, #""\u0085""#, #""\u007f""#, #""gnp.\u202Eexe""#,
    "\"\u{202E}exe\"", #""\u2066a\u2069""#, #""\ud800""#, #""\udc00\ud800""#, #""a\udfffb""#,
  ]
  private static let beyond = [
    "9007199254740993", "-9007199254740993", "18446744073709551616", "1e400", "-1e400", "-1",
  ]
  private static func long(_ count: Int) -> String { #""\#(String(repeating: "x", count: count))""# }
  /// Letters under so many accents that they are few to the eye.
  private static let accents = "\"a" + String(repeating: "\u{301}", count: 600) + "\""

  private static func at(
    _ name: String, _ values: [String], _ suffix: String = "", in frame: (String) -> String = { $0 }
  )
    -> [Mistake]
  {
    values.map { Mistake(member: #""\#(name)":\#(frame($0))"#, pointer: "/\(name)\(suffix)") }
  }

  private static func name(_ field: String) -> [Mistake] {
    at(field, hostile + [#""""#, #""a b""#, #""a/b""#, #""ä""#, #""٣""#, #""😀""#, long(129), long(1_000_000), accents])
  }

  private static func time(_ field: String) -> [Mistake] {
    at(
      field,
      hostile + [
        #""""#, "1769940000", "1769940000000", #""1769940000""#, #""tomorrow""#, #""2026-02-01""#, #""10:00:00Z""#,
        #""2026-02-01T10:00:00""#, #""2026-02-30T10:00:00Z""#, #""2026-02-01T24:00:00Z""#,
        #""2026-02-01T10:00:00+24:00""#, #""10000-01-01T00:00:00Z""#, #""-001-01-01T00:00:00Z""#,
        #""２０26-02-01T10:00:00Z""#, long(1_000_000),
      ])
  }

  private static let tags =
    at("tags", hostile + [#""""#, long(65), accents], "/0") { "[\($0)]" }
    + [
      Mistake(member: #""tags":[\#((1...17).map { #""t\#($0)""# }.joined(separator: ","))]"#, pointer: "/tags"),
      Mistake(member: #""tags":["a",null]"#, pointer: "/tags/1"),
      Mistake(member: #""tags":[["a"]]"#, pointer: "/tags/0"),
      Mistake(
        member: #""tags":[\#(Array(repeating: "0", count: 100_000).joined(separator: ","))]"#, pointer: "/tags/0"),
    ]

  private static let metadata =
    at("metadata", hostile + [long(513), accents, "1", "null", "{}"], "/n") { #"{"n":\#($0)}"# }
    + at("metadata", hostile + [#""""#, long(65), long(1_000_000)]) { #"{\#($0):"v"}"# }
    + [
      Mistake(
        member: #""metadata":{\#((1...33).map { #""n\#($0)":"v""# }.joined(separator: ","))}"#, pointer: "/metadata"),
      Mistake(
        member: #""metadata":{\#((1...50_000).map { #""n\#($0)":"v""# }.joined(separator: ","))}"#, pointer: "/metadata"
      ),
      Mistake(member: #""metadata":{"n":"1","\u006e":"2"}"#, pointer: "/metadata/n"),
    ]

  private static let priority = at(
    "priority", beyond + ["0", "-0", "10", "5.5", "0.9999999999999999", "1e1", #""high""#])

  /// As other systems call them, or in another unit.
  private static let foreign = [
    "delay", "delayMs", "delayMilliseconds", "delay_seconds", "delayInSeconds", "timeout", "timeoutMs",
    "timeoutMilliseconds", "lease", "leaseMs", "visibilityTimeout", "ttl", "expires", "expiresIn", "retry",
    "maxRetries",
    "max_attempts", "runAtMs", "run_at", "eta", "scheduledFor", "args", "body", "data", "key", "idempotency_key",
    "dependsOn", "priorityLevel",
  ]

  static let submission: [Mistake] =
    name("type") + name("queue") + priority
    + at("delaySeconds", beyond + ["-0.001", "3155760000.001", "1769940000000", #""60s""#, #""PT1M""#, #""1m""#])
    + time("runAt") + time("availableAt") + time("expiresAt")
    + at("expiresAt", [#""2026-02-01T10:00:00.000Z""#, #""1970-01-01T00:00:00Z""#])
    + at("retries", beyond + ["101", "2.5", #""3""#])
    + at("timeoutSeconds", beyond + ["0", "-0", "0.0009", "1e-400", "604800.1", "86400000", #""5m""#])
    + at("leaseSeconds", beyond + ["0", "0.999", "3600.1", "30000", #""30s""#])
    + at("backoff", hostile + [#""quadratic""#, #""EXPONENTIAL""#, "2"], "/strategy") { #"{"strategy":\#($0)}"# }
    + at("backoff", beyond + ["3155760001", #""1s""#], "/baseSeconds") { #"{"baseSeconds":\#($0)}"# }
    + at("backoff", beyond + ["0.99", "1000.1"], "/factor") { #"{"factor":\#($0)}"# }
    + at("backoff", beyond + ["3155760001"], "/maxSeconds") { #"{"maxSeconds":\#($0)}"# }
    + at("backoff", beyond + ["1.01", "20", #""20%""#], "/jitter") { #"{"jitter":\#($0)}"# }
    + at("backoff", ["1"], "/baseMs") { #"{"baseMs":\#($0)}"# }
    + at("backoff", ["1"], "/factor") { #"{"factor":2,"factor":\#($0)}"# }
    + at("dependencies", hostile + [#""""#, #""x""#, long(1_000_000), "1", "null", "{}"], "/0") { "[\($0)]" }
    + at("dependencies", ["0198c0de-0000-7000-8000-000000000000"], "/1") { #"["\#($0)","\#($0)"]"# }
    + at("dependencies", ["0198c0de-0000-7000-8000-000000000000"], "/0") { #"["\#($0)"]"# }
    + at("dependencies", [(0...1000).map { #""\#(TaskID(high: 7, low: UInt64($0)))""# }.joined(separator: ",")]) {
      "[\($0)]"
    }
    + at("dependencies", [(0...20_000).map { #""\#(TaskID(high: 7, low: UInt64($0)))""# }.joined(separator: ",")]) {
      "[\($0)]"
    }
    + at("onDependencyFailure", hostile + [#""hold""#, #""WAIT""#, #""""#])
    + at("idempotencyKey", hostile + [#""""#, #""a b""#, #""schlüssel""#, long(256), long(1_000_000)])
    + at("concurrencyKey", hostile + [#""""#, long(256), long(1_000_000), accents, "1", "{}"])
    + tags + metadata + foreign.map { Mistake(member: #""\#($0)":1"#, pointer: "/\($0)") }

  // MARK: The tests

  /// In groups: each test is one server.
  private static func groups(_ mistakes: [Mistake]) -> [[Mistake]] {
    Dictionary(grouping: mistakes) { $0.pointer.split(separator: "/").first ?? "" }.values.map { $0 }
  }

  private func expect(
    _ mistakes: [Mistake], at root: String = "", _ send: (HTTPHarness, Mistake) async throws -> Reply
  ) async throws {
    try await HTTPHarness.run { harness in
      for mistake in mistakes {
        let reply = try await send(harness, mistake)
        #expect(reply.status == 422, "\(mistake.testDescription): \(reply.text.prefix(300))")
        guard reply.status == 422 else { continue }
        let pointer = root + mistake.pointer
        let told = try reply.pointers
        #expect(
          told.contains { $0 == pointer || $0.hasPrefix(pointer + "/") },
          "\(mistake.testDescription) is not told at \(pointer): \(reply.text.prefix(300))")
        #expect(reply.bytes.count < 64 * 1024, "\(mistake.testDescription)")
      }
    }
  }

  @Test(arguments: groups(submission))
  func `a mistake in a submission is told at its field, and nothing is stored`(mistakes: [Mistake]) async throws {
    try await expect(mistakes) { harness, mistake in
      let type = mistake.member.hasPrefix(#""type""#) ? "" : #""type":"resize","#
      let reply = try await harness.post("/tasks", "{\(type)\(mistake.member)}")
      #expect(try await harness.store.list(TaskQuery()).tasks.isEmpty)
      return reply
    }
  }

  @Test(arguments: groups(submission + name("ref")))
  func `a mistake in a batch is told at its task, and none is stored`(mistakes: [Mistake]) async throws {
    try await expect(mistakes, at: "/tasks/1") { harness, mistake in
      let type = mistake.member.hasPrefix(#""type""#) ? "" : #""type":"resize","#
      let reply = try await harness.post(
        "/tasks/batch", #"{"tasks":[{"type":"resize"},{\#(type)\#(mistake.member)},{"type":"resize"}]}"#)
      #expect(try await harness.store.list(TaskQuery()).tasks.isEmpty)
      return reply
    }
  }

  @Test(
    arguments: groups(
      priority + time("availableAt") + tags + metadata
        + foreign.map { Mistake(member: #""\#($0)":1"#, pointer: "/\($0)") }))
  func `a mistake in a patch is told at its field, and the task stays as it is`(mistakes: [Mistake]) async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","delaySeconds":60}"#)
      let before = try await harness.get("/tasks/\(id)").text
      for mistake in mistakes {
        let reply = try await harness.patch("/tasks/\(id)", "{\(mistake.member)}")
        try reply.expectProblem(422, "invalid")
        #expect(try reply.pointers.contains { $0.hasPrefix(mistake.pointer) }, "\(mistake.testDescription)")
      }
      #expect(try await harness.get("/tasks/\(id)").text == before)
    }
  }

  private static let leases: [Mistake] =
    at("worker", hostile + [#""""#, long(257), long(1_000_000), accents])
    + at("types", hostile + [#""""#, #""a b""#, long(129), "1"], "/0") { "[\($0)]" }
    + at("types", ["", Array(repeating: #""a""#, count: 101).joined(separator: ",")]) { "[\($0)]" }
    + at("types", [Array(repeating: #""a""#, count: 50_000).joined(separator: ",")]) { "[\($0)]" }
    + at("queues", hostile + [#""""#, long(129)], "/0") { "[\($0)]" } + at("queues", ["[]"])
    + at("limit", beyond + ["0", "1001", "1.5"]) + at("ahead", beyond + ["2", "0.5"])
    + at("waitSeconds", beyond + ["60.1", "30000", #""20s""#])
    + ["wait", "waitMs", "timeout", "batch", "type", "queue"].map { Mistake(member: #""\#($0)":1"#, pointer: "/\($0)") }

  @Test(arguments: groups(leases))
  func `a mistake in a request for work is told at its field, and nothing is given out`(
    mistakes: [Mistake]
  ) async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      for mistake in mistakes {
        let rest = [#""worker":"w""#, #""types":["resize"]"#].filter { member in
          !mistake.member.hasPrefix(String(member.prefix(8)))
        }
        let reply = try await harness.post("/leases", "{\((rest + [mistake.member]).joined(separator: ","))}")
        try reply.expectProblem(422, "invalid")
        #expect(
          try reply.pointers.contains { $0.hasPrefix(mistake.pointer) }, "\(mistake.testDescription): \(reply.text)")
      }
      #expect(try await harness.get("/tasks/\(id)").string("status") == "READY")
    }
  }

  @Test func `a torn character in what a worker tells does not cost its report`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.submitted(#"{"type":"resize","retries":0}"#)
      let granted = try await harness.post("/leases", #"{"worker":"w","types":["resize"]}"#)
      let lease = try #require(try granted.json()["leases"]?.elements?.first?["leaseId"]?.string)
      let report =
        #"{"results":[{"leaseId":"\#(lease)","outcome":"FAILED","error":{"message":"\ud83d"},"logs":["a\udc00"]}]}"#
      #expect(try await harness.post("/leases/finish", report).text.contains("APPLIED"))
    }
  }

  @Test func `an idempotency key in the header is held to the same rules`() async throws {
    try await HTTPHarness.run { harness in
      for key in ["a b", String(repeating: "x", count: 256), "schl\u{FC}ssel", "a, b"] {
        let reply = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: [("Idempotency-Key", key)])
        try reply.expectProblem(422, "invalid")
        #expect(try reply.pointers == ["/header/Idempotency-Key"])
      }
      #expect(try await harness.store.list(TaskQuery()).tasks.isEmpty)
    }
  }
}
