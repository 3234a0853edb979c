// `GET /tasks/{id}/explain` in the situations themselves, and `GET /audit`.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct ExplainTests {
  private func kinds(_ harness: HTTPHarness, _ id: String) async throws -> [String] {
    let reply = try await harness.get("/tasks/\(id)/explain")
    #expect(reply.status == 200, "\(reply.text)")
    #expect(Set(try reply.object.keys) == ["status", "blockers", "queuePosition", "nextAttemptAt"])
    let blockers = try #require(try reply.object["blockers"] as? [[String: String]])
    #expect(blockers.allSatisfy { Set($0.keys) == ["kind", "detail"] && $0["detail"]?.isEmpty == false })
    return blockers.compactMap { $0["kind"] }
  }

  @Test func `each situation that a store alone can bring about is told as what it is`() async throws {
    try await HTTPHarness.run { harness in
      let first = try await harness.submitted()
      #expect(try await kinds(harness, first) == ["no-worker"])
      try await harness.store.register(.stub())
      #expect(try await kinds(harness, first) == [])
      let second = try await harness.submitted()
      #expect(try await kinds(harness, second) == ["behind-others"])
      #expect(try await harness.get("/tasks/\(second)/explain").int("queuePosition") == 2)

      let later = try await harness.submitted(#"{"type":"resize","delaySeconds":60}"#)
      #expect(try await kinds(harness, later) == ["not-due"])
      let due = try await harness.get("/tasks/\(later)").string("availableAt")
      #expect(try await harness.get("/tasks/\(later)/explain").string("nextAttemptAt") == due)
      let child = try await harness.submitted(#"{"type":"resize","dependencies":["\#(first)"]}"#)
      #expect(try await kinds(harness, child) == ["dependency"])
      #expect(try await harness.get("/tasks/\(child)/explain").text.contains("\(first) (READY)"))

      try await harness.attempt(first, nil)
      #expect(try await kinds(harness, first) == ["leased"])
      try await harness.attempt(second, .failed(.stub, .retry))
      #expect(try await kinds(harness, second) == ["not-due"])
      _ = try await harness.act("/tasks/\(second)/cancel")
      #expect(try await kinds(harness, second) == ["final"])
      for id in ["nonsense", "01890000-0000-7000-8000-000000000000"] {
        try await harness.get("/tasks/\(id)/explain").expectProblem(404, "not-found")
      }
    }
  }

  @Test func `pauses and limits are told as what holds a task back`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.store.register(.stub())
      let first = try await harness.submitted()
      let second = try await harness.submitted()
      #expect(try await harness.patch("/queues/default", #"{"concurrency":1}"#).status == 200)
      try await harness.attempt(first, nil)
      #expect(try await kinds(harness, second) == ["concurrency-limit"])
      let rate = #"{"concurrency":null,"ratePerSecond":0.01,"burst":1}"#
      #expect(try await harness.patch("/queues/default", rate).status == 200)
      try await harness.attempt(second, nil)
      let third = try await harness.submitted()
      #expect(try await kinds(harness, third) == ["rate-limit"])
      #expect(try await harness.patch("/queues/default", #"{"ratePerSecond":null,"paused":true}"#).status == 200)
      #expect(try await kinds(harness, third) == ["queue-paused"])
      #expect(try await harness.patch("/queues/default", #"{"paused":false}"#).status == 200)
      #expect(try await harness.put("/types/resize", #"{"paused":true}"#).status == 200)
      #expect(try await kinds(harness, third) == ["type-paused"])
      #expect(try await harness.put("/types/resize", #"{"paused":false}"#).status == 200)
      try await harness.attempt(third, nil)
      let holder = try await harness.submitted(#"{"type":"resize","concurrencyKey":"customer-7"}"#)
      let waiting = try await harness.submitted(#"{"type":"resize","concurrencyKey":"customer-7"}"#)
      _ = try await harness.store.admit(limit: 10)
      try await harness.attempt(holder, nil)
      #expect(try await kinds(harness, waiting) == ["concurrency-limit"])
      #expect(try await harness.get("/tasks/\(waiting)/explain").text.contains("customer-7"))
    }
  }

  @Test func `a task of a queue that the credential is not bound to cannot be found`() async throws {
    let book = MemoryAPIKeyBook()
    let bound = [("X-API-Key", book.add(["viewer"], queues: ["mail*"]))]
    try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      _ = try await harness.store.submit([Submission([.stub(1, queue: "mail"), .stub(2)])])
      #expect(try await harness.get("/tasks/\(TaskID.stub(1))/explain", headers: bound).status == 200)
      let other = try await harness.get("/tasks/\(TaskID.stub(2))/explain", headers: bound)
      try other.expectProblem(404, "not-found")
    }
  }

  @Test func `the audit tells who changed what, and is read by filters and pages`() async throws {
    let book = MemoryAPIKeyBook()
    let admin = [("X-API-Key", book.add(["admin"], name: "root"))]
    let operatorKey = [("X-API-Key", book.add(["operator"], name: "deploy"))]
    try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      _ = try await harness.store.submit([Submission([.stub(1)])])
      let id = TaskID.stub(1)
      for verb in ["cancel", "retry", "cancel", "replay"] {
        let reply = try await harness.send("POST", "/tasks/\(id)/\(verb)", headers: operatorKey)
        #expect(reply.status < 300, "\(reply.text)")
      }
      let patch = try await harness.send(
        "PATCH", "/tasks/\(id)", headers: operatorKey + [("Content-Type", "application/json")],
        body: Array(#"{"priority":1}"#.utf8))
      try patch.expectProblem(409, "invalid-state")
      _ = try await harness.post("/tasks/cancel", #"{"all":true}"#, headers: admin)
      let all = try await harness.get("/audit", headers: admin)
      #expect(all.status == 200)
      let actions = try all.data.compactMap { $0["action"] as? String }
      #expect(actions == ["tasks.cancel", "task.replay", "task.cancel", "task.retry", "task.cancel"])
      #expect(Set(try all.data[0].keys) == ["id", "at", "actor", "action", "target", "detail"])
      #expect(try all.data[1]["actor"] as? String == "key:deploy")
      let detail = try #require(try all.data[1]["detail"] as? [String: String])
      #expect(detail["newTask"] != nil)
      let queries = [
        ("actor=key:deploy", 4), ("action=task.cancel", 2), ("target=\(id)", 4),
        ("actor=key:deploy&action=task.retry", 1),
        ("createdAfter=2020-01-01T00:00:00Z", 5), ("createdBefore=2020-01-01T00:00:00Z", 0),
      ]
      for (query, count) in queries {
        #expect(try await harness.get("/audit?\(query)", headers: admin).data.count == count, "\(query)")
      }
      var cursor = ""
      var seen: [Int] = []
      for _ in 1...3 {
        let page = try await harness.get("/audit?limit=2\(cursor)", headers: admin)
        seen += try page.data.compactMap { $0["id"] as? Int }
        cursor = try page.isNull("nextCursor") ? "" : "&cursor=\(try page.string("nextCursor"))"
      }
      #expect(seen.count == 5 && seen == seen.sorted(by: >) && cursor.isEmpty)
      for query in ["limit=0", "cursor=x", "actor=", "createdAfter=now", "who=me"] {
        try await harness.get("/audit?\(query)", headers: admin).expectProblem(422, "invalid")
      }
      // The cursor of another list is none of this one.
      let tasks = try await harness.get("/tasks?limit=1", headers: admin).string("nextCursor")
      try await harness.get("/audit?cursor=\(tasks)", headers: admin).expectProblem(422, "invalid")
      try await harness.get("/audit", headers: operatorKey).expectProblem(403, "forbidden")
    }
  }

  @Test func `without authentication the actor is api`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      _ = try await harness.act("/tasks/\(id)/cancel")
      #expect(try await harness.get("/audit").data.first?["actor"] as? String == "api")
      #expect(try await harness.get("/tasks/\(id)/events").data.last?["actor"] as? String == "api")
    }
  }
}
