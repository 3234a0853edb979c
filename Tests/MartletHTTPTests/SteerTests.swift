// Cancel, retry, replay and patch.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@Suite struct SteerTests {
  @Test func `cancel ends a waiting task, and once more changes nothing`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      for _ in 1...2 {
        let reply = try await harness.act("/tasks/\(id)/cancel")
        #expect(reply.status == 200)
        #expect(try reply.string("status") == "CANCELLED")
        #expect(try reply.string("reason") == "REQUESTED")
      }
    }
  }

  @Test func `what the state forbids is 409 and names the state`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      for action in ["retry", "replay"] {
        let reply = try await harness.act("/tasks/\(id)/\(action)")
        try reply.expectProblem(409, "invalid-state")
        #expect(try reply.string("detail").contains("READY"))
      }
      try await harness.attempt(id, .success)
      try await harness.act("/tasks/\(id)/cancel").expectProblem(409, "invalid-state")
      try await harness.act("/tasks/\(id)/retry").expectProblem(409, "invalid-state")
      try await harness.patch("/tasks/\(id)", #"{"priority":1}"#).expectProblem(409, "invalid-state")
    }
  }

  @Test func `retry makes a dead task READY with a fresh budget`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","retries":1}"#)
      try await harness.attempt(id, .failed(.stub, .giveUp(.nonRetryable)))
      let reply = try await harness.act("/tasks/\(id)/retry")
      #expect(reply.status == 200)
      #expect(try reply.string("status") == "READY")
      #expect(try reply.int("maxAttempts") == 3)
      #expect(try reply.isNull("reason"))
    }
  }

  @Test func `a replay belongs to the trace of its caller, or else to that of the old task`() async throws {
    func trace(_ digit: Character) -> String {
      "00-\(String(repeating: digit, count: 32))-\(String(repeating: digit, count: 16))-01"
    }
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: [("traceparent", trace("a"))])
      let id = try reply.string("id")
      try await harness.attempt(id, .success)
      for (headers, expected) in [
        ([("traceparent", trace("b"))], trace("b")), ([], trace("a")), ([("traceparent", "nonsense")], trace("a")),
      ] {
        let copy = try await harness.send("POST", "/tasks/\(id)/replay", headers: headers)
        let copyID = try harness.taskID(try copy.string("id"))
        #expect(try await harness.store.tasks([copyID])[0]?.traceparent == expected)
      }
    }
  }

  @Test func `replay makes a new task and answers 201 with its Location`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","payload":[ 1 ],"tags":["a"]}"#)
      try await harness.attempt(id, .success)
      let reply = try await harness.act("/tasks/\(id)/replay")
      #expect(reply.status == 201)
      #expect(try reply.string("replayOf") == id)
      #expect(try reply.raw("payload") == "[ 1 ]")
      let new = try reply.string("id")
      #expect(new != id)
      #expect(reply.header("location") == "/tasks/\(new)")
    }
  }

  @Test(arguments: ["cancel", "retry", "replay"])
  func `a task that is not there is 404`(action: String) async throws {
    try await HTTPHarness.run { harness in
      try await harness.act("/tasks/01890000-0000-7000-8000-000000000000/\(action)").expectProblem(404, "not-found")
      try await harness.act("/tasks/nonsense/\(action)").expectProblem(404, "not-found")
    }
  }

  @Test func `an empty body or an empty object needs no Content-Type`() async throws {
    try await HTTPHarness.run { harness in
      for (body, headers) in [
        ("", []), ("{}", []), (" {\n} ", []), ("{}", [("Content-Type", "application/json")]),
        ("", [("Content-Type", "text/plain")]),
      ] {
        let id = try await harness.submitted()
        let reply = try await harness.send("POST", "/tasks/\(id)/cancel", headers: headers, body: Array(body.utf8))
        #expect(reply.status == 200, "\(reply.text)")
      }
    }
  }

  @Test func `a body with fields is refused by their names`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      let reply = try await harness.post("/tasks/\(id)/cancel", #"{"reason":"x","force":true}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/reason", "/force"])
      try await harness.post("/tasks/\(id)/cancel", "[]").expectProblem(422, "invalid")
      try await harness.post("/tasks/\(id)/cancel", "{").expectProblem(400, "malformed-json")
      let untyped = try await harness.send("POST", "/tasks/\(id)/cancel", body: Array(#"{"a":1}"#.utf8))
      try untyped.expectProblem(415, "unsupported-media-type")
      #expect(try await harness.get("/tasks/\(id)").string("status") == "READY")
    }
  }

  @Test func `patch changes the fields it names and no others`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","tags":["a"],"metadata":{"k":"v"}}"#)
      let reply = try await harness.patch("/tasks/\(id)", #"{"priority":9,"availableAt":"2026-02-01T11:00:00Z"}"#)
      #expect(reply.status == 200, "\(reply.text)")
      #expect(try reply.int("priority") == 9)
      #expect(try reply.string("status") == "PENDING")
      #expect(try reply.string("availableAt") == "2026-02-01T11:00:00.000Z")
      #expect(try reply.raw("tags") == #"["a"]"#)
      let second = try await harness.patch(
        "/tasks/\(id)", #"{"tags":["b","c"],"metadata":{},"priority":null,"availableAt":"2020-01-01T00:00:00Z"}"#)
      #expect(second.status == 200, "\(second.text)")
      #expect(try second.string("status") == "READY")
      #expect(try second.int("priority") == 9)
      #expect(try second.raw("tags") == #"["b","c"]"#)
      #expect(try second.raw("metadata") == "{}")
    }
  }

  @Test(arguments: [
    (#"{"priority":0}"#, ["/priority"]), (#"{"priority":"1"}"#, ["/priority"]),
    (#"{"availableAt":"now"}"#, ["/availableAt"]),
    (#"{"tags":[""]}"#, ["/tags/0"]), (#"{"tags":{}}"#, ["/tags"]), (#"{"metadata":{"":"x"}}"#, ["/metadata/"]),
    (#"{"metadata":{"a":null}}"#, ["/metadata/a"]), (#"{"status":"READY"}"#, ["/status"]), ("{}", [""]),
    (#"{"priority":null}"#, [""]), (#"{"payload":1,"queue":"x"}"#, ["/payload", "/queue"]),
  ])
  func `a patch is checked like a submission`(body: String, pointers: [String]) async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      let reply = try await harness.patch("/tasks/\(id)", body)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == pointers, "\(reply.text)")
    }
  }

  @Test func `a patch must be JSON and say so`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      try await harness.patch("/tasks/\(id)", "{").expectProblem(400, "malformed-json")
      let untyped = try await harness.send("PATCH", "/tasks/\(id)", body: Array(#"{"priority":1}"#.utf8))
      try untyped.expectProblem(415, "unsupported-media-type")
      try await harness.patch("/tasks/nonsense", #"{"priority":1}"#).expectProblem(404, "not-found")
    }
  }
}
