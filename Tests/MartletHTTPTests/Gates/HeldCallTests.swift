// Calls that were held when their credential was revoked or came to its end: they get nothing any more.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct HeldCallTests {
  private static let bootstrap = "the-first-key-of-this-installation"
  private static let boss = [("X-API-Key", bootstrap)]

  /// - Parameters:
  ///   - calls: the store's call by which it is seen that the held one has begun.
  ///   - end: what happens while it is held.
  private func hold(
    until calls: StoreOperation, _ headers: (MemoryAPIKeyBook) throws -> [(String, String)],
    call: @escaping @Sendable (HTTPHarness, [(String, String)], _ id: String) async throws -> Reply,
    end: (HTTPHarness, MemoryAPIKeyBook, HandClock) async throws -> Void,
    then look: (_ harness: HTTPHarness, _ reply: Reply, _ id: String) async throws -> Void
  ) async throws {
    let (book, clock, lookUps) = (MemoryAPIKeyBook(), HandClock(), LookUps(of: calls))
    let auth = AuthConfiguration(jwt: .init(secret: Mint.secret), apiKeys: true, bootstrapKey: Self.bootstrap)
    let headers = try headers(book)
    try await HTTPHarness.run(
      configure: { $0.auth = auth }, wrap: lookUps.watch, apiKeys: book, clock: clock
    ) { harness in
      let id = try await harness.post(
        "/tasks", #"{"type":"resize","payload":"secret","delaySeconds":1}"#, headers: Self.boss
      ).string("id")
      async let held = call(harness, headers, id)
      await lookUps.first()
      try await end(harness, book, clock)
      harness.time.advance(by: .seconds(1))
      _ = try await harness.store.promote(limit: 10)
      _ = try await harness.post("/tasks", #"{"type":"resize","payload":"secret"}"#, headers: Self.boss)
      try await look(harness, held, id)
    }
  }

  private func key(_ book: MemoryAPIKeyBook) -> [(String, String)] {
    [("X-API-Key", book.add(["worker", "viewer"], name: "held"))]
  }

  private func revoke(_ book: MemoryAPIKeyBook, _ clock: HandClock) async throws {
    for key in try await book.apiKeys() { _ = try await book.revoke(apiKey: key.id, actor: "api") }
    clock.advance(by: .seconds(5))
  }

  @Test func `a poll for work whose key was revoked meanwhile is 401, and its task is as it was`() async throws {
    try await hold(until: .claim, key) { harness, headers, _ in
      try await harness.post("/leases", #"{"worker":"w","types":["resize"],"waitSeconds":20}"#, headers: headers)
    } end: { _, book, clock in
      try await revoke(book, clock)
    } then: { harness, reply, _ in
      try reply.expectProblem(401, "unauthenticated")
      #expect(!reply.text.contains("secret"))
      let tasks = try await harness.get("/tasks", headers: Self.boss).data
      #expect(!tasks.isEmpty)
      for task in tasks where task["status"] as? String != "PENDING" {
        #expect(task["status"] as? String == "READY")
        #expect(task["retriesLeft"] as? Int == 4, "no attempt was spent on it")
      }
    }
  }

  @Test func `a poll for work whose key is good still gets its task`() async throws {
    try await hold(until: .claim, key) { harness, headers, _ in
      try await harness.post("/leases", #"{"worker":"w","types":["resize"],"waitSeconds":20}"#, headers: headers)
    } end: { _, _, clock in
      clock.advance(by: .seconds(5))
    } then: { _, reply, _ in
      #expect(reply.status == 200)
      #expect(reply.text.contains("secret"))
    }
  }

  @Test func `a poll for work whose token has expired meanwhile is 401`() async throws {
    try await hold(until: .claim) { _ in
      let token = try Mint.hs256.token(Mint.claims(roles: #""worker""#, exp: 1))
      return [("Authorization", "Bearer \(token)")]
    } call: { harness, headers, _ in
      try await harness.post("/leases", #"{"worker":"w","types":["resize"],"waitSeconds":20}"#, headers: headers)
    } end: { harness, _, _ in
      harness.time.advance(by: .seconds(1))
    } then: { _, reply, _ in
      try reply.expectProblem(401, "unauthenticated")
    }
  }

  @Test func `who waits for a task's end with a key that was revoked meanwhile is not told`() async throws {
    try await hold(until: .tasks, key) { harness, headers, id in
      try await harness.get("/tasks/\(id)?waitSeconds=20", headers: headers)
    } end: { harness, book, clock in
      try await revoke(book, clock)
      let id = try #require(try await harness.store.list(TaskQuery()).tasks.first?.id)
      _ = try await harness.send("POST", "/tasks/\(id)/cancel", headers: Self.boss)
    } then: { _, reply, _ in
      try reply.expectProblem(401, "unauthenticated")
    }
  }
}
