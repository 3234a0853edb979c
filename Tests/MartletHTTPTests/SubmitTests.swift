// `POST /tasks`: what is accepted, what is answered, what is refused.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Testing

@Suite struct SubmitTests {
  static let firstExample =
    #"{"type":"email","payload":{"to":"user@example.com","subject":"Welcome"},"delaySeconds":60,"retries":3,"dependencies":[]}"#
  static let secondExample =
    #"{"type":"SEND_EMAIL","payload":{"to":"user@example.com","subject":"Welcome to Our Platform!","content":"<h1>…","from":"no-reply@example.com"},"runAt":"2026-02-01T10:00:00.000Z","availableAt":"2026-02-01T10:00:00.000Z"}"#

  @Test func `the first example of the contract works as it stands`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", Self.firstExample)
      #expect(reply.status == 201)
      #expect(try reply.string("status") == "PENDING")
      #expect(try reply.string("type") == "email")
      #expect(try reply.raw("payload") == #"{"to":"user@example.com","subject":"Welcome"}"#)
      #expect(try reply.string("availableAt") == "2026-02-01T10:01:00.000Z")
      #expect(try reply.isNull("runAt"))
      #expect(try reply.int("retries") == 3)
      #expect(try reply.int("maxAttempts") == 4)
    }
  }

  @Test func `the second example of the contract works as it stands`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", Self.secondExample)
      #expect(reply.status == 201)
      #expect(try reply.string("status") == "READY")
      #expect(try reply.string("runAt") == "2026-02-01T10:00:00.000Z")
      #expect(try reply.string("availableAt") == "2026-02-01T10:00:00.000Z")
      #expect(try reply.raw("payload").contains(#""content":"<h1>…""#))
    }
  }

  @Test func `a submission is answered with 201, its Location and the task, and is then stored`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#)
      #expect(reply.status == 201)
      #expect(reply.header("content-type") == "application/json")
      let id = try reply.string("id")
      #expect(reply.header("location") == "/tasks/\(id)")
      #expect(try await harness.store.tasks([try harness.taskID(id)])[0]?.type == "resize")
      let read = try await harness.get("/tasks/\(id)")
      #expect(read.status == 200)
      #expect(read.text == reply.text)
    }
  }

  @Test func `unknown names, wrong kinds and bad values are told together`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post(
        "/tasks", #"{"type":"resize","retrys":3,"queue":7,"priority":11,"retries":-1,"tags":[""]}"#)
      #expect(reply.status == 422)
      let errors = try #require(try reply.object["errors"] as? [[String: Any]])
      let pointers = errors.compactMap { $0["pointer"] as? String }
      #expect(Set(pointers) == ["/retrys", "/queue", "/priority", "/retries", "/tags/0"])
      #expect(pointers.count == 5, "each once")
    }
  }

  @Test func `a task has every field of the contract, null where there is no value`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#)
      let object = try reply.object
      let names: Set = [
        "id", "type", "queue", "status", "reason", "priority", "payload", "delaySeconds", "runAt", "availableAt",
        "expiresAt", "attempt", "maxAttempts", "retries", "retriesLeft", "backoff", "timeoutSeconds", "leaseSeconds",
        "createdAt", "updatedAt",
        "startedAt", "finishedAt", "worker", "progress", "cancelRequested", "result", "resultTruncated", "lastError",
        "tags", "metadata", "replayOf", "dependencies", "onDependencyFailure", "idempotencyKey", "concurrencyKey",
        "notify", "ref", "graphId", "scheduleName",
      ]
      #expect(Set(object.keys) == names)
      for name in [
        "reason", "runAt", "expiresAt", "startedAt", "finishedAt", "worker", "progress", "result", "lastError",
        "replayOf", "idempotencyKey", "concurrencyKey", "ref", "graphId", "scheduleName",
      ] {
        #expect(try reply.isNull(name), "\(name)")
      }
      #expect(try reply.string("queue") == "default")
      #expect(try reply.string("status") == "READY")
      #expect(try reply.int("priority") == 5)
      #expect(try reply.int("attempt") == 0)
      #expect(try reply.int("maxAttempts") == 4)
      #expect(try reply.int("retries") == 3)
      #expect(try reply.int("retriesLeft") == 4)
      #expect(try reply.raw("payload") == "{}")
      #expect(
        try reply.raw("backoff")
          == #"{"strategy":"exponential","baseSeconds":1,"factor":2,"maxSeconds":3600,"jitter":0.2}"#)
      #expect(try reply.raw("timeoutSeconds") == "300")
      #expect(try reply.raw("leaseSeconds") == "30")
      #expect(try reply.string("createdAt") == "2026-02-01T10:00:00.000Z")
      #expect(try reply.string("updatedAt") == "2026-02-01T10:00:00.000Z")
      #expect(try reply.string("onDependencyFailure") == "HOLD")
      #expect(try reply.raw("dependencies") == "[]")
      #expect(try reply.raw("notify") == "[]")
      #expect(try reply.raw("tags") == "[]")
      #expect(try reply.raw("metadata") == "{}")
      #expect(object["cancelRequested"] as? Bool == false)
    }
  }

  @Test func `all that a client gives comes back`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post(
        "/tasks",
        """
        {"type": "a.b_c:d-9", "payload": [1], "queue": "mail", "priority": 9, "runAt": "2026-02-01T12:00:00+01:00",
         "retries": 0, "backoff": {"strategy": "linear", "baseSeconds": 0.5, "maxSeconds": 10, "jitter": 0},
         "timeoutSeconds": 1.5, "leaseSeconds": 2, "expiresAt": "2030-01-01T00:00:00Z",
         "tags": ["billing", "ünï"], "metadata": {"b": "2", "a/b": ""}}
        """)
      #expect(reply.status == 201, "\(reply.text)")
      #expect(try reply.string("type") == "a.b_c:d-9")
      #expect(try reply.string("queue") == "mail")
      #expect(try reply.int("priority") == 9)
      #expect(try reply.string("runAt") == "2026-02-01T11:00:00.000Z")
      #expect(try reply.string("availableAt") == "2026-02-01T11:00:00.000Z")
      #expect(try reply.int("maxAttempts") == 1)
      #expect(
        try reply.raw("backoff") == #"{"strategy":"linear","baseSeconds":0.5,"factor":2,"maxSeconds":10,"jitter":0}"#)
      #expect(try reply.raw("timeoutSeconds") == "1.5")
      #expect(try reply.raw("leaseSeconds") == "2")
      #expect(try reply.string("expiresAt") == "2030-01-01T00:00:00.000Z")
      #expect(try reply.raw("tags") == #"["billing","ünï"]"#)
      #expect(try reply.raw("metadata") == #"{"a/b":"","b":"2"}"#)
    }
  }

  @Test func `null counts as absent in every field but the payload`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post(
        "/tasks",
        """
        {"type":"resize","payload":null,"queue":null,"priority":null,"delaySeconds":null,"runAt":null,
        "availableAt":null,"retries":null,"backoff":null,"timeoutSeconds":null,"leaseSeconds":null,"expiresAt":null,"tags":null,
        "metadata":null,"dependencies":null,"onDependencyFailure":null,"idempotencyKey":null,"concurrencyKey":null,
        "notify":null}
        """)
      #expect(reply.status == 201, "\(reply.text)")
      #expect(try reply.string("queue") == "default")
      #expect(try reply.raw("payload") == "null")
    }
  }

  @Test func `all problems are told at once`() async throws {
    try await HTTPHarness.run { harness in
      let kinds = try await harness.post("/tasks", #"{"priority":"high","tags":[1,"a"],"delaySecond":3}"#)
      try kinds.expectProblem(422, "invalid")
      #expect(try Set(kinds.pointers) == ["/type", "/priority", "/tags/0", "/delaySecond"])
      #expect(kinds.text.contains("did you mean delaySeconds?"))
      let values = try await harness.post("/tasks", #"{"type":"no spaces","priority":10,"retries":101,"queue":""}"#)
      try values.expectProblem(422, "invalid")
      #expect(try Set(values.pointers) == ["/type", "/priority", "/retries", "/queue"])
    }
  }

  @Test(arguments: [
    // Kinds.
    ("type", "3"), ("queue", "[]"), ("priority", #""5""#), ("priority", "5.5"), ("priority", "1e400"),
    ("delaySeconds", #""60""#), ("delaySeconds", "1e400"), ("runAt", "1769940000"), ("runAt", #""tomorrow""#),
    ("runAt", #""2026-02-30T10:00:00Z""#), ("availableAt", "true"), ("retries", "{}"), ("retries", "2.5"),
    ("backoff", "[]"), ("backoff", "3"), ("timeoutSeconds", "false"), ("leaseSeconds", #""""#), ("expiresAt", "0"),
    ("tags", #""billing""#), ("tags", "{}"), ("metadata", "[]"), ("metadata", #""a""#),
    // Values.
    ("type", #""""#), ("type", #""a b""#), ("type", #""ä""#), ("type", #""a\u0000""#), ("queue", #""a/b""#),
    ("priority", "0"), ("priority", "10"), ("priority", "-1"), ("delaySeconds", "-1"), ("delaySeconds", "1e12"),
    ("retries", "-1"), ("retries", "101"), ("timeoutSeconds", "0"), ("timeoutSeconds", "1e9"), ("leaseSeconds", "0.5"),
    ("leaseSeconds", "3601"), ("expiresAt", #""2026-02-01T09:59:59.999Z""#),
  ])
  func `a field of the wrong kind or value is 422 at its place`(name: String, value: String) async throws {
    try await HTTPHarness.run { harness in
      let type = name == "type" ? "" : #""type":"resize","#
      let reply = try await harness.post("/tasks", #"{\#(type)"\#(name)":\#(value)}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers.contains("/\(name)"), "\(reply.text)")
    }
  }

  @Test(arguments: [
    (#"{"strategy":"quadratic"}"#, "/backoff/strategy"), (#"{"baseSeconds":-1}"#, "/backoff/baseSeconds"),
    (#"{"factor":0.5}"#, "/backoff/factor"), (#"{"maxSeconds":"1"}"#, "/backoff/maxSeconds"),
    (#"{"jitter":1.5}"#, "/backoff/jitter"), (#"{"jiter":1}"#, "/backoff/jiter"),
  ])
  func `each part of the backoff is checked`(backoff: String, pointer: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize","backoff":\#(backoff)}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == [pointer])
    }
  }

  @Test func `names of 128 characters are taken, longer ones are not`() async throws {
    try await HTTPHarness.run { harness in
      let longest = String(repeating: "x", count: 128)
      #expect(try await harness.post("/tasks", #"{"type":"\#(longest)","queue":"\#(longest)"}"#).status == 201)
      let reply = try await harness.post("/tasks", #"{"type":"\#(longest)x","queue":"\#(longest)x"}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try Set(reply.pointers) == ["/type", "/queue"])
    }
  }

  @Test func `tags and metadata have limits of number and length`() async throws {
    try await HTTPHarness.run { harness in
      let tags = (1...17).map { #""t\#($0)""# }.joined(separator: ",")
      let names = (1...33).map { #""n\#($0)":"v""# }.joined(separator: ",")
      let long = String(repeating: "x", count: 513)
      for (body, pointer) in [
        (#""tags":[\#(tags)]"#, "/tags"), (#""tags":[""]"#, "/tags/0"),
        (#""tags":["ok","\#(long.prefix(65))"]"#, "/tags/1"), (#""tags":["a\u0000b"]"#, "/tags/0"),
        (#""metadata":{\#(names)}"#, "/metadata"), (#""metadata":{"":"v"}"#, "/metadata/"),
        (#""metadata":{"n":"\#(long)"}"#, "/metadata/n"), (#""metadata":{"a~/b":3}"#, "/metadata/a~0~1b"),
        (#""metadata":{"n":"1","n":"2"}"#, "/metadata/n"),
      ] {
        let reply = try await harness.post("/tasks", #"{"type":"resize",\#(body)}"#)
        try reply.expectProblem(422, "invalid")
        #expect(try reply.pointers == [pointer], "\(reply.text)")
      }
    }
  }

  @Test func `a delay and a time, or two unequal times, are refused`() async throws {
    try await HTTPHarness.run { harness in
      for times in [
        #""delaySeconds":1,"runAt":"2026-02-01T10:00:00Z""#, #""delaySeconds":0,"availableAt":"2026-02-01T10:00:00Z""#,
        #""runAt":"2026-02-01T10:00:00Z","availableAt":"2026-02-01T10:00:01Z""#,
      ] {
        try await harness.post("/tasks", #"{"type":"resize",\#(times)}"#).expectProblem(422, "invalid")
      }
    }
  }

  @Test func `a field given twice is refused`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize","priority":1,"priority":9}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/priority"])
    }
  }

  @Test func `a body that is JSON but no object is 422`() async throws {
    try await HTTPHarness.run { harness in
      for body in ["[]", "3", #""type""#, "null", "true"] {
        try await harness.post("/tasks", body).expectProblem(422, "invalid")
      }
    }
  }

  @Test(arguments: [
    "", " ", "{", #"{"type":"x""#, #"{"type":'x'}"#, #"{"type":"x",}"#, "{type:1}", #"{"type":"x"}{}"#,
    "{\"type\":\"\u{1}\"}",
    #"{"type":"\x"}"#, "nul", "[1,]", "01", "+1", "\u{FEFF}{}",
  ])
  func `what is not JSON is 400`(body: String) async throws {
    try await HTTPHarness.run { harness in
      try await harness.post("/tasks", body).expectProblem(400, "malformed-json")
    }
  }

  @Test func `bytes that are not UTF-8 are 400`() async throws {
    try await HTTPHarness.run { harness in
      for bad: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82]] {
        let body = Array(#"{"type":"resize","payload":""#.utf8) + bad + Array(#""}"#.utf8)
        let reply = try await harness.send(
          "POST", "/tasks", headers: [("Content-Type", "application/json")], body: body)
        try reply.expectProblem(400, "malformed-json")
      }
    }
  }

  @Test func `what the handler of the type says against a payload is 422 at its place in the payload`() async throws {
    struct Picky: TaskHandler {
      struct Payload: Codable { var to: String }
      static let type = "picky"
      func problems(in payload: Payload) -> [ValidationProblem] {
        payload.to.isEmpty ? [ValidationProblem(pointer: "/to", detail: "must not be empty")] : []
      }
      func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult { .done }
    }
    try await HTTPHarness.run(handlers: [Picky()]) { harness in
      let reply = try await harness.post("/tasks", #"{"type":"picky","payload":{"to":""}}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/payload/to"])
      try await harness.post("/tasks", #"{"type":"picky"}"#).expectProblem(422, "invalid")
      #expect(try await harness.post("/tasks", #"{"type":"picky","payload":{"to":"a"}}"#).status == 201)
    }
  }

  @Test(arguments: [
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
    ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-ever", true),
    ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
    ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
    ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
    ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false), ("nonsense", false),
  ])
  func `a valid traceparent is stored with the task, any other is ignored`(text: String, isValid: Bool) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: [("traceparent", text)])
      #expect(reply.status == 201)
      let id = try harness.taskID(try reply.string("id"))
      #expect(try await harness.store.tasks([id])[0]?.traceparent == (isValid ? text : nil))
    }
  }

  @Test(arguments: [
    "application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=\"UTF-8\"",
    "application/json ; Charset=UTF-8",
  ])
  func `JSON is taken under every spelling of its media type`(type: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.send(
        "POST", "/tasks", headers: [("Content-Type", type)], body: Array(#"{"type":"resize"}"#.utf8))
      #expect(reply.status == 201, "\(reply.text)")
    }
  }

  @Test(arguments: [
    nil, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=latin1",
    "multipart/form-data; boundary=x", "",
  ])
  func `another media type, or none, is 415 and the detail names the header to send`(type: String?) async throws {
    try await HTTPHarness.run { harness in
      let headers = type.map { [("Content-Type", $0)] } ?? []
      let reply = try await harness.send("POST", "/tasks", headers: headers, body: Array(#"{"type":"resize"}"#.utf8))
      try reply.expectProblem(415, "unsupported-media-type")
      #expect(try reply.string("detail").contains("Content-Type: application/json"))
    }
  }

  @Test func `a compressed body is 415`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", "{}", headers: [("Content-Encoding", "gzip")])
      try reply.expectProblem(415, "unsupported-media-type")
      #expect(try reply.string("detail").contains("Content-Encoding"))
    }
  }
}
