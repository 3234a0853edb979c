// What every route that takes a body has to refuse, in one table with the route table and the API's document: a new route is
// tested as soon as it is there.

internal import HTTPTypes
internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct EveryRouteTests {
  /// One that takes a body, and its body's schema.
  struct Target: Sendable, CustomTestStringConvertible {
    let route: Route
    let fields: [String: JSONTree]
    var testDescription: String { "\(route.method.rawValue) \(route.path)" }

    func path(_ things: Things) -> String {
      let thing =
        route.path.hasPrefix("/tasks/") ? things.task : route.path.hasPrefix("/bulk/") ? things.job : things.name
      return route.path.replacing(/\{[^}]*\}/, with: thing)
    }
  }

  /// What routes are about. It is there, so that nothing but the body is wrong.
  struct Things {
    let task: String
    let job: String
    /// The schedule's; queues and types need not be made.
    let name = "resize"

    init(_ harness: HTTPHarness) async throws {
      task = try await harness.submitted(#"{"type":"resize","delaySeconds":60}"#)
      job = try await harness.post("/tasks/cancel", #"{"filter":{"type":"none"},"ratePerSecond":1}"#).string("bulkId")
      let schedule = #"{"name":"\#(name)","everySeconds":3600,"task":{"type":"resize"}}"#
      try #require(try await harness.post("/schedules", schedule).status == 201)
    }
  }

  static let targets: [Target] = {
    guard let contract = try? Contract.served.get() else { return [] }
    let validator = SchemaValidator(root: contract.document, isClosed: false)
    func shape(_ path: String) -> String { path.replacing(/\{[^}]*\}/, with: "{}") }
    return RouteTable.all.filter { $0.body != .none }.compactMap { route in
      let operation = contract.operations.first {
        $0.method == route.method.rawValue && shape($0.path) == shape(route.path)
      }
      let schema = operation?.description["requestBody"]?["content"]?["application/json"]?["schema"] ?? .null
      return Target(route: route, fields: validator.members(of: schema))
    }
  }()

  @Test func `there are routes with bodies`() {
    #expect(Self.targets.count >= 9)
    #expect(Self.targets.contains { $0.fields.count >= 18 })
  }

  /// Sends bodies one after the other; each has to be refused, and nothing may have changed afterwards.
  private func refuses(
    _ target: Target, _ bodies: [[UInt8]], check: (Int, Reply) throws -> Void
  ) async throws {
    try await HTTPHarness.run { harness in
      let things = try await Things(harness)
      let before = try await harness.store.list(TaskQuery())
      for (index, body) in bodies.enumerated() {
        let reply = try await harness.send(
          target.route.method.rawValue, target.path(things), headers: [("Content-Type", "application/json")], body: body
        )
        let text = String(decoding: body.prefix(100), as: UTF8.self)
        #expect((400..<500).contains(reply.status), "\(text): \(reply.text)")
        try check(index, reply)
      }
      #expect(try await harness.store.list(TaskQuery()) == before, "something was stored")
    }
  }

  @Test(arguments: targets)
  func `what is no JSON in UTF-8 is 400`(target: Target) async throws {
    let texts = [
      " ", "{", "{}}", "{\"a\":1,}", "{'a':1}", "{a:1}", "[1,]", "nul", "NaN", "{\"a\":NaN}", "{\"a\":+1}",
      "{\"a\":01}",
      "{\"a\":1e}", "{\"a\":\"\u{1}\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "\u{FEFF}{}", "{}\u{0}", "// {}\n{}",
      "",
    ]
    let bytes: [[UInt8]] = [
      [0xFF, 0xFE, 0x7B, 0x00, 0x7D, 0x00], Array("{\"a\":\"".utf8) + [0xC0, 0x80] + Array("\"}".utf8),
      Array("{\"a\":\"".utf8) + [0xED, 0xA0, 0x80] + Array("\"}".utf8),
      Array("{\"".utf8) + [0xFF] + Array("\":1}".utf8),
    ]
    // Where a body may be missing, an empty one is none.
    let all = texts.dropLast(target.route.body == .optional ? 1 : 0).map { Array($0.utf8) } + bytes
    try await refuses(target, all) { _, reply in try reply.expectProblem(400, "malformed-json") }
  }

  @Test(arguments: targets)
  func `JSON that is no object is 422 at the root`(target: Target) async throws {
    let texts = ["[]", "[{}]", "3", "-0", "1e400", #""type""#, "null", "true", "9007199254740993"]
    try await refuses(target, texts.map { Array($0.utf8) }) { _, reply in
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == [""])
    }
  }

  @Test(arguments: targets)
  func `what is nested too deep is 422, however deep it is`(target: Target) async throws {
    let deep = [65, 129, 1000, 100_000].map { depth in
      Array(#"{"a":"#.utf8) + Array(repeating: UInt8(ascii: "["), count: depth)
        + Array(repeating: UInt8(ascii: "]"), count: depth) + [UInt8(ascii: "}")]
    }
    let objects = Array(
      (String(repeating: #"{"a":"#, count: 100_000) + "1" + String(repeating: "}", count: 100_000)).utf8)
    // The entries of leases are judged each by itself: there any depth is taken, and then `a` is not known.
    try await refuses(target, deep + [objects]) { _, reply in try reply.expectProblem(422, "invalid") }
  }

  @Test(arguments: targets)
  func `a name that is not known is told, with the one that was meant`(target: Target) async throws {
    let names = target.fields.keys.sorted() + ["nonsense"]
    let bodies = names.map { Array(#"{"\#($0)x":null}"#.utf8) }
    try await refuses(target, bodies) { index, reply in
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers.contains("/\(names[index])x"), "\(reply.text)")
      if names[index] != "nonsense" { #expect(reply.text.contains("did you mean \(names[index])?"), "\(reply.text)") }
    }
  }

  @Test(arguments: targets)
  func `a hostile name is told and not obeyed`(target: Target) async throws {
    let names = [
      #"\u0000"#, #"a\nb"#, "\u{202E}epyt", "__proto__", "constructor", #"\ud800"#, "", "a/b~c", "Type", "ТYPE",
    ]
    let bodies =
      names.map { Array(#"{"\#($0)":{"a":1}}"#.utf8) } + [
        Array(#"{"\#(String(repeating: "x", count: 1 << 20))":1}"#.utf8)
      ]
    try await refuses(target, bodies) { _, reply in
      try reply.expectProblem(422, "invalid")
      #expect(try reply.errors.contains { ($0["detail"] as? String)?.contains("is not a known field") == true })
      #expect(reply.bytes.count < 4096, "a long name is not answered at length")
    }
  }

  private static let submissions: Set = ["/tasks", "/tasks/batch"]

  @Test(arguments: targets.filter { $0.route.method == .post && !submissions.contains($0.route.path) })
  func `an idempotency key that would have no effect is refused`(target: Target) async throws {
    try await HTTPHarness.run { harness in
      let things = try await Things(harness)
      let before = try await harness.store.list(TaskQuery())
      let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")]
      let reply = try await harness.send("POST", target.path(things), headers: headers, body: Array("{}".utf8))
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/header/Idempotency-Key"])
      #expect(try await harness.store.list(TaskQuery()) == before)
    }
  }

  @Test(arguments: targets)
  func `a field given twice is told`(target: Target) async throws {
    let names = target.fields.keys.sorted()
    // The same name, written in another way.
    let bodies = names.map { name in
      let first = name.utf8.first.map { String($0, radix: 16) } ?? ""
      return Array(#"{"\#(name)":null,"\u00\#(first)\#(name.dropFirst())":null}"#.utf8)
    }
    try await refuses(target, bodies) { index, reply in
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers.contains("/\(names[index])"), "\(reply.text)")
      #expect(reply.text.contains("is given twice"))
    }
  }

  @Test(arguments: targets)
  func `a value of the wrong kind is told at its field`(target: Target) async throws {
    let validator = SchemaValidator(root: try Contract.served.get().document, isClosed: false)
    let values: [(kind: String, json: String)] = [
      ("object", "{}"), ("array", "[]"), ("string", #""\u0001""#), ("number", "0.5"), ("number", "1e400"),
      ("number", "1e-400"), ("boolean", "true"),
    ]
    var wrong: [(name: String, body: String)] = []
    for (name, schema) in target.fields {
      guard let kinds = validator.kinds(of: schema) else { continue }
      for (kind, json) in values where !kinds.contains(kind) { wrong.append((name, #"{"\#(name)":\#(json)}"#)) }
      if kinds.contains("integer") { wrong += ["0.5", "1e400", "1e-400"].map { (name, #"{"\#(name)":\#($0)}"#) } }
    }
    try await refuses(target, wrong.map { Array($0.body.utf8) }) { index, reply in
      let (name, body) = wrong[index]
      try #require(reply.status == 422, "\(body): \(reply.text)")
      let told = try reply.pointers
      #expect(told.contains("/\(name)"), "\(body): \(reply.text)")
    }
  }

  @Test(arguments: targets)
  func `ten thousand mistakes are told by a hundred`(target: Target) async throws {
    let many = (0..<10_000).map { #""x\#($0)":0"# }.joined(separator: ",")
    try await refuses(target, [Array("{\(many)}".utf8)]) { _, reply in
      try reply.expectProblem(422, "invalid")
      #expect(try reply.errors.count <= Problems.most + 1)
    }
  }
}

extension SchemaValidator {
  /// The fields of an object's schema.
  func members(of schema: JSONTree) -> [String: JSONTree] {
    resolved(schema).reduce(into: [:]) { members, part in
      for inner in part["allOf"]?.elements ?? [] { members.merge(self.members(of: inner)) { $1 } }
      members.merge(part["properties"]?.members ?? [:]) { $1 }
    }
  }

  /// The kinds of JSON that a schema takes; nil where it takes any.
  func kinds(of schema: JSONTree) -> Set<String>? {
    var kinds: Set<String>?
    func narrow(_ more: Set<String>?) {
      guard let more else { return }
      kinds = kinds?.intersection(more) ?? more
    }
    for part in resolved(schema) {
      if let type = part["type"] { narrow(Set(type.string.map { [$0] } ?? type.strings)) }
      if let values = part["enum"]?.elements { narrow(Set(values.map { $0 == .null ? "null" : "string" })) }
      if part["const"] != nil { narrow(["array", "string"]) }
      for inner in part["allOf"]?.elements ?? [] { narrow(self.kinds(of: inner)) }
      if let variants = part["anyOf"]?.elements {
        narrow(variants.reduce(into: []) { $0.formUnion(self.kinds(of: $1) ?? []) })
      }
    }
    return kinds
  }
}
