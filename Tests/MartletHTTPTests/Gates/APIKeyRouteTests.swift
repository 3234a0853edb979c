// The routes of `/api-keys`: what is made, what is shown of it, and when it is dead.

internal import Foundation
internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct APIKeyRouteTests {
  private static let bootstrap = "the-first-key-of-this-installation"
  private static let boss = [("X-API-Key", bootstrap)]

  private func run(clock: HandClock = HandClock(), _ body: (HTTPHarness) async throws -> Void) async throws {
    let auth = AuthConfiguration(jwt: .init(secret: Mint.secret), apiKeys: true, bootstrapKey: Self.bootstrap)
    try await HTTPHarness.run(configure: { $0.auth = auth }, clock: clock, body)
  }

  @Test func `a key is shown once, works at once, and its text is kept nowhere`() async throws {
    try await run { harness in
      let made = try await harness.post(
        "/api-keys",
        #"{"name":"shop ✓","roles":["viewer","producer","viewer"],"queues":["mail*"],"expiresAt":"2099-01-01T00:00:00Z"}"#,
        headers: Self.boss)
      #expect(made.status == 201, "\(made.text)")
      #expect(made.header("cache-control") == "no-store")
      let text = try made.string("key")
      let object = try made.object
      #expect(APIKeyText.isWellFormed(text))
      #expect(object["name"] as? String == "shop ✓")
      #expect(object["roles"] as? [String] == ["viewer", "producer"])
      #expect(object["queues"] as? [String] == ["mail*"])
      #expect(object["expiresAt"] as? String == "2099-01-01T00:00:00.000Z")
      #expect(object["createdAt"] as? String == harness.time.now.description)
      #expect(object["lastUsedAt"] is NSNull)
      #expect(TaskID(try made.string("id")) != nil)

      #expect(try await harness.get("/tasks", headers: [("X-API-Key", text)]).status == 200)
      let list = try await harness.get("/api-keys", headers: Self.boss)
      #expect(try list.ids == [try made.string("id")])
      #expect(!list.text.contains(text) && !list.text.contains("hash"))
      #expect(try list.data[0]["lastUsedAt"] as? String == harness.time.now.description)
      #expect(try list.isNull("nextCursor"))
      let kept = try #require(try await harness.store.apiKeys().first)
      let secret = try await harness.store.hashSecret()
      #expect(kept.hash == APIKeyText.hash(of: text, secret: secret))
    }
  }

  @Test func `a revoked key is dead here within five seconds, and at once where it was not seen`() async throws {
    let clock = HandClock()
    try await run(clock: clock) { harness in
      let made = try await harness.post("/api-keys", #"{"name":"a","roles":["viewer"]}"#, headers: Self.boss)
      let (id, key) = (try made.string("id"), [("X-API-Key", try made.string("key"))])
      #expect(try await harness.get("/tasks", headers: key).status == 200)
      let revoked = try await harness.send("DELETE", "/api-keys/\(id)", headers: Self.boss)
      #expect(revoked.status == 200)
      #expect(try revoked.string("id") == id)
      #expect(try revoked.json()["key"] == nil)
      clock.advance(by: .seconds(5))
      try await harness.get("/tasks", headers: key).expectProblem(401, "unauthenticated")
      #expect(try await harness.get("/api-keys", headers: Self.boss).ids.isEmpty)
      let again = try await harness.send("DELETE", "/api-keys/\(id)", headers: Self.boss)
      try again.expectProblem(404, "not-found")
      #expect(try again.string("detail").contains(id))

      let unseen = try await harness.post("/api-keys", #"{"name":"b","roles":["viewer"]}"#, headers: Self.boss)
      _ = try await harness.send("DELETE", "/api-keys/\(try unseen.string("id"))", headers: Self.boss)
      let reply = try await harness.get("/tasks", headers: [("X-API-Key", try unseen.string("key"))])
      try reply.expectProblem(401, "unauthenticated")
    }
  }

  @Test(arguments: [
    (#"{}"#, ["/name", "/roles"]), (#"{"name":"","roles":["viewer"]}"#, ["/name"]),
    (#"{"name":"a\u0007","roles":["viewer"]}"#, ["/name"]), (#"{"name":"a\u202eb","roles":["viewer"]}"#, ["/name"]),
    (#"{"name":"bootstrap","roles":["viewer"]}"#, ["/name"]), (#"{"name":"key:a","roles":["viewer"]}"#, ["/name"]),
    (#"{"name":"token:ann","roles":["viewer"]}"#, ["/name"]),
    (#"{"name":5,"roles":"viewer"}"#, ["/name", "/roles"]), (#"{"name":"a","roles":[]}"#, ["/roles"]),
    (#"{"name":"a","roles":["viewer","boss",3]}"#, ["/roles/2"]),
    (#"{"name":"a","roles":["viewer","boss"]}"#, ["/roles/1"]),
    (#"{"name":"a","roles":["viewer"],"queues":[]}"#, ["/queues"]),
    (#"{"name":"a","roles":["viewer"],"queues":["ok","a b"]}"#, ["/queues/1"]),
    (#"{"name":"a","roles":["viewer"],"expiresAt":"2020-01-01T00:00:00Z"}"#, ["/expiresAt"]),
    (#"{"name":"a","roles":["viewer"],"expiresAt":"soon"}"#, ["/expiresAt"]),
    (#"{"name":"a","roles":["viewer"],"role":"x"}"#, ["/role"]), (#"[]"#, [""]),
  ])
  func `what is wrong with a request is told by field, and nothing is made`(json: String, pointers: [String])
    async throws
  {
    try await run { harness in
      let reply = try await harness.post("/api-keys", json, headers: Self.boss)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == pointers, "\(reply.text)")
      #expect(try await harness.get("/api-keys", headers: Self.boss).ids.isEmpty)
    }
  }

  @Test func `too many roles and queues are refused`() async throws {
    try await run { harness in
      let many = (0..<101).map { #""q\#($0)""# }.joined(separator: ",")
      let roles = (0..<6).map { _ in #""viewer""# }.joined(separator: ",")
      let reply = try await harness.post(
        "/api-keys", #"{"name":"a","roles":[\#(roles)],"queues":[\#(many)]}"#, headers: Self.boss)
      #expect(try reply.pointers == ["/roles", "/queues"])
    }
  }

  @Test func `an administrator bound to queues has no say over keys, or it could make itself one without bounds`()
    async throws
  {
    try await run { harness in
      let claims = Mint.claims(roles: #"["admin"]"#, more: #""queues":["*"]"#)
      let bound = [("Authorization", "Bearer \(try Mint.hs256.token(claims))")]
      let made = try await harness.post("/api-keys", #"{"name":"x","roles":["admin"]}"#, headers: bound)
      try made.expectProblem(403, "forbidden")
      try await harness.get("/api-keys", headers: bound).expectProblem(403, "forbidden")
      try await harness.send("DELETE", "/api-keys/x", headers: bound).expectProblem(403, "forbidden")
      try await harness.get("/audit", headers: bound).expectProblem(403, "forbidden")
      try await harness.get("/metrics", headers: bound).expectProblem(403, "forbidden")
      #expect(try await harness.get("/tasks", headers: bound).status == 200)
    }
  }

  @Test func `without authentication keys can be made for the day when there is some`() async throws {
    try await HTTPHarness.run { harness in
      let made = try await harness.post("/api-keys", #"{"name":"first","roles":["admin"]}"#)
      #expect(made.status == 201)
      #expect(try await harness.get("/api-keys").ids == [try made.string("id")])
    }
  }

  @Test func `a store that is down is 503`() async throws {
    let wrap: (any TaskStore) -> any TaskStore = { FaultyStore($0) { call, _ in call == .apiKeys ? .before : nil } }
    try await HTTPHarness.run(wrap: wrap) { harness in
      let made = try await harness.post("/api-keys", #"{"name":"first","roles":["admin"]}"#)
      try made.expectProblem(503, "store-unavailable")
      try await harness.get("/api-keys").expectProblem(503, "store-unavailable")
      try await harness.send("DELETE", "/api-keys/x").expectProblem(503, "store-unavailable")
    }
  }
}
