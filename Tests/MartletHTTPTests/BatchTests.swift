// Batches, graphs and keys over HTTP.

import MartletCore
import MartletTestKit
import NIOHTTP1
import Testing

@Suite struct BatchTests {
  // MARK: Batches

  @Test func `a batch answers with its tasks in order, each with its ref, and its graph can be seen`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post(
        "/tasks/batch",
        #"{"tasks":[{"type":"b","ref":"b","dependencies":["a"]},{"type":"a","ref":"a","payload":[1]},{"type":"c"}]}"#)
      #expect(reply.status == 201, "\(reply.text)")
      let tasks = try #require(try reply.json()["data"]?.elements)
      #expect(tasks.map { $0["ref"]?.string } == ["b", "a", nil])
      #expect(tasks.map { $0["status"]?.string } == ["PENDING", "READY", "READY"])
      let (b, a) = (try #require(tasks[0]["id"]?.string), try #require(tasks[1]["id"]?.string))
      #expect(tasks[0]["dependencies"]?.elements?.map(\.string) == [a])
      let graphID = try #require(tasks[0]["graphId"]?.string)

      let graph = try await harness.get("/graphs/\(graphID)")
      #expect(graph.status == 200)
      #expect(try graph.string("id") == graphID)
      let members = try #require(try graph.json()["tasks"]?.elements)
      #expect(Set(members.map { $0["ref"]?.string }) == ["a", "b", nil])
      #expect(try graph.json()["edges"]?.elements?.map { $0.elements?.map(\.string) } == [[a, b]])
      let listed = try await harness.get("/tasks?graphId=\(graphID)")
      #expect(try listed.json()["data"]?.elements?.count == 3)
    }
  }

  @Test func `a graph that is not there is not found`() async throws {
    try await HTTPHarness.run { harness in
      for id in ["01890000-0000-7000-8000-000000000000", "x"] {
        let reply = try await harness.get("/graphs/\(id)")
        try reply.expectProblem(404, "not-found")
        #expect(try reply.string("detail").contains("graph"))
      }
    }
  }

  @Test(arguments: [
    (#"{}"#, ["/tasks"]), (#"{"tasks":[]}"#, ["/tasks"]), (#"{"tasks":3}"#, ["/tasks"]), (#"[]"#, [""]),
    (#"{"tasks":[3]}"#, ["/tasks/0"]), (#"{"tasks":[{}]}"#, ["/tasks/0/type"]),
    (#"{"tasks":[{"type":"a"}],"more":1}"#, ["/more"]),
    (#"{"tasks":[{"type":"a","ref":7},{"type":"b","priority":12}]}"#, ["/tasks/0/ref", "/tasks/1/priority"]),
    (#"{"tasks":[{"type":"a","dependencies":["b"]}]}"#, ["/tasks/0/dependencies/0"]),
    (#"{"tasks":[{"type":"a","dependencies":"b"}]}"#, ["/tasks/0/dependencies"]),
    (#"{"tasks":[{"type":"a","onDependencyFailure":"hold"}]}"#, ["/tasks/0/onDependencyFailure"]),
    (#"{"tasks":[{"type":"a","idempotencyKey":"k"},{"type":"a","idempotencyKey":"k"}]}"#, ["/tasks/1/idempotencyKey"]),
    (
      #"{"tasks":[{"type":"a","dependencies":["01890000-0000-7000-8000-000000000000"]}]}"#,
      ["/tasks/0/dependencies/0"]
    ),
  ])
  func `what is wrong is told with its place, and nothing is stored`(body: String, pointers: [String]) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks/batch", body)
      try reply.expectProblem(422, "invalid")
      #expect(try Set(reply.pointers) == Set(pointers), "\(reply.text)")
      #expect(try await harness.store.list(TaskQuery()).tasks.isEmpty)
    }
  }

  @Test func `more tasks than the limit are refused`() async throws {
    try await HTTPHarness.run { harness in
      let tasks = [String](repeating: #"{"type":"a"}"#, count: 1001).joined(separator: ",")
      let reply = try await harness.post("/tasks/batch", "{\"tasks\":[\(tasks)]}")
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/tasks"])
    }
  }

  @Test func `a ring is refused with its path`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post(
        "/tasks/batch",
        #"{"tasks":[{"type":"t","ref":"a","dependencies":["b"]},{"type":"t","ref":"b","dependencies":["a"]}]}"#)
      try reply.expectProblem(422, "dependency-cycle")
      #expect(try reply.string("detail").hasPrefix("a → b → a"))
    }
  }

  @Test func `ref belongs to batches alone`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"a","ref":"x"}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/ref"])
    }
  }

  // MARK: Keys

  @Test(arguments: [true, false])
  func `the same request again is answered with the same task`(isHeader: Bool) async throws {
    try await HTTPHarness.run { harness in
      func post(_ payload: String) async throws -> Reply {
        isHeader
          ? try await harness.post(
            "/tasks", #"{"type":"mail","payload":\#(payload)}"#, headers: [("Idempotency-Key", "order-42")])
          : try await harness.post("/tasks", #"{"idempotencyKey":"order-42","type":"mail","payload":\#(payload)}"#)
      }
      let first = try await post(#"{"a": 1, "b": [2.0]}"#)
      #expect(first.status == 201)
      #expect(try first.string("idempotencyKey") == "order-42")
      #expect(first.headers["idempotent-replayed"] == nil)
      let again = try await post(#"{"b":[2.0],"a":1}"#)
      #expect(again.status == 200, "\(again.text)")
      #expect(again.headers["idempotent-replayed"] == ["true"])
      #expect(try again.string("id") == first.string("id"))
      try await post(#"{"a": 1, "b": [2]}"#).expectProblem(422, "idempotency-key-reused")
      #expect(try await harness.store.list(TaskQuery()).tasks.count == 1)
    }
  }

  @Test func `the header and the field mean the same`() async throws {
    try await HTTPHarness.run { harness in
      let header = [("Idempotency-Key", "k")]
      let first = try await harness.post("/tasks", #"{"type":"a"}"#, headers: header)
      let field = try await harness.post("/tasks", #"{"type":"a","idempotencyKey":"k"}"#)
      let both = try await harness.post("/tasks", #"{"type":"a","idempotencyKey":"k"}"#, headers: header)
      #expect([first.status, field.status, both.status] == [201, 200, 200])
      let different = try await harness.post("/tasks", #"{"type":"a","idempotencyKey":"l"}"#, headers: header)
      try different.expectProblem(422, "invalid")
      #expect(try different.pointers == ["/idempotencyKey"])
    }
  }

  @Test func `a request that is repeated when it would be refused by now is answered with its task`() async throws {
    try await HTTPHarness.run { harness in
      let end = harness.time.clock() + .seconds(3600)
      let body = #"{"type":"a","idempotencyKey":"k","expiresAt":"\#(end)"}"#
      let first = try await harness.post("/tasks", body)
      try #require(first.status == 201, "\(first.text)")
      harness.time.advance(by: .seconds(7200))
      // Another node, which asks for the store's time only now.
      try await HTTPHarness.run(wrap: { _ in harness.store }) { other in
        let again = try await other.post("/tasks", body)
        #expect(again.status == 200, "\(again.text)")
        #expect(again.headers["idempotent-replayed"] == ["true"])
        #expect(try again.string("id") == first.string("id"))
        let new = try await other.post("/tasks", #"{"type":"a","expiresAt":"\#(end)"}"#)
        try new.expectProblem(422, "invalid")
      }
    }
  }

  @Test(arguments: ["", "a b", "\u{e9}", String(repeating: "k", count: 256)])
  func `a key that is none is refused by its place`(key: String) async throws {
    try await HTTPHarness.run { harness in
      let field = try await harness.post("/tasks", #"{"type":"a","idempotencyKey":"\#(key)"}"#)
      try field.expectProblem(422, "invalid")
      #expect(try field.pointers == ["/idempotencyKey"])
      guard key.allSatisfy(\.isASCII) else { return }
      let header = try await harness.post("/tasks", #"{"type":"a"}"#, headers: [("Idempotency-Key", key)])
      try header.expectProblem(422, "invalid")
      #expect(try header.pointers == ["/header/Idempotency-Key"])
    }
  }

  @Test func `in a batch each task may have a key, and the header one for all others`() async throws {
    try await HTTPHarness.run { harness in
      let keyed = #"{"tasks":[{"type":"a","idempotencyKey":"1"},{"type":"b","idempotencyKey":"2"}]}"#
      let first = try await harness.post("/tasks/batch", keyed)
      let again = try await harness.post("/tasks/batch", keyed)
      #expect([first.status, again.status] == [201, 200])
      let mixed = try await harness.post(
        "/tasks/batch", #"{"tasks":[{"type":"a","idempotencyKey":"1"},{"type":"c","idempotencyKey":"3"}]}"#)
      #expect(mixed.status == 201)
      #expect(mixed.headers["idempotent-replayed"] == nil)
      let ids = try [first, again, mixed].map { try $0.json()["data"]?.elements?.first?["id"]?.string }
      #expect(Set(ids).count == 1)

      let whole = #"{"tasks":[{"type":"x"},{"type":"y"}]}"#
      let header = [("Idempotency-Key", "batch")]
      let one = try await harness.post("/tasks/batch", whole, headers: header)
      let two = try await harness.post("/tasks/batch", whole, headers: header)
      #expect([one.status, two.status] == [201, 200])
      #expect(two.headers["idempotent-replayed"] == ["true"])
      let both = #"{"tasks":[{"type":"x","idempotencyKey":"own"},{"type":"y"}]}"#
      let header2 = [("Idempotency-Key", "batch-2")]
      let three = try await harness.post("/tasks/batch", both, headers: header2)
      let four = try await harness.post("/tasks/batch", both, headers: header2)
      #expect([three.status, four.status] == [201, 200])
      let keys = try #require(try four.json()["data"]?.elements).map { $0["idempotencyKey"]?.string }
      #expect(keys == ["own", "batch-2"])
      let changed = #"{"tasks":[{"type":"x","idempotencyKey":"own"},{"type":"z"}]}"#
      try await harness.post("/tasks/batch", changed, headers: header2).expectProblem(422, "idempotency-key-reused")
      let twice = #"{"tasks":[{"type":"x","idempotencyKey":"batch-2"},{"type":"z"}]}"#
      let refused = try await harness.post("/tasks/batch", twice, headers: header2)
      try refused.expectProblem(422, "invalid")
      #expect(try refused.pointers == ["/tasks/0/idempotencyKey"])
      #expect(try await harness.get("/tasks?idempotencyKey=batch").json()["data"]?.elements?.count == 2)
      #expect(try await harness.store.list(TaskQuery()).tasks.count == 7)
      let listed = try await harness.get("/tasks?idempotencyKey=3")
      #expect(try listed.json()["data"]?.elements?.count == 1)
    }
  }
}
