// The gate over HTTP: what a client sees, with every kind of credential and with none.

internal import HTTPTypes
internal import MartletCore
internal import MartletTestKit
internal import ScriptedServer
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct GateTests {
  private static let bootstrap = "a bootstrap key of the administrator".replacing(" ", with: "-")

  private static let auth = AuthConfiguration(
    jwt: .init(secret: Mint.secret), apiKeys: true, bootstrapKey: bootstrap, rateLimit: nil)

  private func run(
    _ auth: AuthConfiguration = auth, book: MemoryAPIKeyBook = MemoryAPIKeyBook(), clock: HandClock = HandClock(),
    _ body: (HTTPHarness) async throws -> Void
  ) async throws {
    try await HTTPHarness.run(configure: { $0.auth = auth }, apiKeys: book, clock: clock, body)
  }

  private func bearer(_ token: String) -> [(String, String)] { [("Authorization", "Bearer \(token)")] }

  @Test func `without a credential guarded routes are 401 with a challenge, and open ones answer`() async throws {
    try await run { harness in
      for reply in [
        try await harness.get("/tasks"), try await harness.get("/metrics"),
        try await harness.post("/tasks", #"{"type":"resize"}"#), try await harness.act("/tasks/x/cancel"),
        // Before anything else is looked at.
        try await harness.get("/tasks?nonsense=1"), try await harness.post("/tasks", "{"),
        try await harness.send("POST", "/tasks", headers: [("Content-Type", "text/plain")], body: [1]),
      ] {
        try reply.expectProblem(401, "unauthenticated")
        #expect(reply.header("www-authenticate") == #"Bearer realm="martlet""#)
        #expect(try reply.object["retryable"] as? Bool == false)
      }
      for target in ["/docs", "/version", "/health/live", "/health/ready"] {
        // Whatever is sent along.
        for headers in [[], [("X-API-Key", "nonsense"), ("Authorization", "Bearer x")]] {
          let reply = try await harness.get(target, headers: headers)
          // A second is long for the store, and may be short for a busy machine.
          #expect(reply.status == 200 || reply.text.contains("no answer within"))
        }
      }
      #expect(try await harness.get("/nothing").status == 404)
      #expect(try await harness.send("DELETE", "/tasks").status == 405)
    }
  }

  @Test func `with a good credential of each kind the route answers`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    try await run(book: book) { harness in
      let token = try Mint.hs256.token(Mint.claims(roles: #""viewer""#))
      for headers in [
        bearer(token), [("X-API-Key", key)], bearer(key), [("X-API-Key", key)] + bearer(key),
        [("X-API-Key", Self.bootstrap)], bearer(Self.bootstrap),
      ] {
        #expect(try await harness.get("/tasks", headers: headers).status == 200)
        #expect(try await harness.send("HEAD", "/tasks", headers: headers).status == 200)
      }
    }
  }

  @Test func `the bootstrap key is an administrator`() async throws {
    try await run(AuthConfiguration(bootstrapKey: Self.bootstrap)) { harness in
      let headers = [("X-API-Key", Self.bootstrap)]
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: headers)
      let id = try reply.string("id")
      let retry = try await harness.send("POST", "/tasks/\(id)/retry", headers: headers)
      try retry.expectProblem(409, "invalid-state")
      for wrong in [String(Self.bootstrap.dropLast()), Self.bootstrap + "x", Self.bootstrap.uppercased()] {
        try await harness.get("/tasks", headers: [("X-API-Key", wrong)]).expectProblem(401, "unauthenticated")
      }
    }
  }

  @Test func `a credential without the right is 403`() async throws {
    try await run { harness in
      let viewer = bearer(try Mint.hs256.token(Mint.claims(roles: #""viewer""#)))
      try await harness.post("/tasks", #"{"type":"resize"}"#, headers: viewer).expectProblem(403, "forbidden")
      // Before the task is looked up, and before the body is read.
      try await harness.post("/tasks", "{", headers: viewer).expectProblem(403, "forbidden")
      let reply = try await harness.send("POST", "/tasks/nonsense/retry", headers: viewer)
      try reply.expectProblem(403, "forbidden")
    }
  }

  @Test func `a bad credential is 401 that says what is wrong with it`() async throws {
    try await run { harness in
      for (headers, words) in [
        (bearer(try Mint.hs256.token(Mint.claims(exp: -1))), "expired"),
        (bearer(try Mint.hs256("another secret of thirty-two bytes").token()), "signature"),
        (bearer("nonsense"), "JSON Web Token"), ([("X-API-Key", "mk_nonsense")], "mistyped"),
        ([("X-API-Key", APIKeyText.make())], "not known"), ([("X-API-Key", "a b")], "visible"),
        ([("Authorization", "Basic YTpi")], "Bearer"), ([("Authorization", "Bearer")], "Bearer"),
        ([("Authorization", "")], "Bearer"), ([("X-API-Key", "")], "visible"), (bearer("a b"), "visible"),
        (bearer("a, b"), "visible"),
      ] {
        let reply = try await harness.get("/tasks", headers: headers)
        try reply.expectProblem(401, "unauthenticated")
        #expect(try reply.string("detail").contains(words))
        #expect(reply.header("www-authenticate")?.hasPrefix(#"Bearer realm="martlet""#) == true)
      }
      let expired = try await harness.get("/tasks", headers: bearer(try Mint.hs256.token(Mint.claims(exp: -1))))
      #expect(expired.header("www-authenticate") == #"Bearer realm="martlet", error="invalid_token""#)
    }
  }

  @Test func `headers that contradict each other or come twice are 400`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    try await run(book: book) { harness in
      let token = try Mint.hs256.token(Mint.claims(roles: #""viewer""#))
      for headers in [
        [("X-API-Key", key)] + bearer(token), [("X-API-Key", key)] + bearer(book.add(["viewer"])),
        [("X-API-Key", key), ("Authorization", "Basic YTpi")], [("X-API-Key", key), ("X-API-Key", key)],
        bearer(token) + bearer(token), bearer(token) + [("authorization", "Bearer x")],
      ] {
        try await harness.get("/tasks", headers: headers).expectProblem(400, "malformed-request")
      }
    }
  }

  @Test func `NUL, line breaks and headers that are too long get no further than the parser`() async throws {
    try await run { harness in
      for value in ["Bearer a\u{0}b", "Bearer a\r\n b", "Bearer \u{1}"] {
        let replies = try await harness.raw(
          "GET /tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: \(value)\r\nConnection: close\r\n\r\n")
        #expect(replies.count == 1 && [400, 401].contains(replies[0].status), "\(replies.map(\.status))")
      }
      let long = String(repeating: "x", count: 1_000_000)
      let replies = try await harness.raw(
        "GET /tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(long)\r\n\r\n")
      try #require(replies.first).expectProblem(431, "headers-too-large")
      let shorter = String(long.prefix(12_000))
      try await harness.get("/tasks", headers: bearer(shorter)).expectProblem(401, "unauthenticated")
    }
  }

  @Test func `a credential bound to queues submits to these only`() async throws {
    try await run { harness in
      let bound = bearer(try Mint.hs256.token(Mint.claims(more: #""queues":["mail*"]"#)))
      for (body, isAllowed) in [
        (#"{"type":"x","queue":"mail"}"#, true), (#"{"type":"x","queue":"mail.bulk"}"#, true),
        (#"{"type":"x","queue":"web"}"#, false), (#"{"type":"x"}"#, false), (#"{"type":"x","queue":null}"#, false),
      ] {
        let reply = try await harness.post("/tasks", body, headers: bound)
        if isAllowed { #expect(reply.status == 201) } else { try reply.expectProblem(403, "forbidden") }
      }
      for wrong in [#"{"type":7,"queue":"web"}"#, #"{"type":"x","queue":"no mail"}"#] {
        try await harness.post("/tasks", wrong, headers: bound).expectProblem(422, "invalid")
      }
      #expect(try await harness.store.list(TaskQuery()).tasks.count == 2)
    }
  }

  @Test func `metrics are a viewer's, or everybody's if they are opened`() async throws {
    try await run { harness in
      let viewer = try Mint.hs256.token(Mint.claims(roles: #""viewer""#))
      #expect(try await harness.get("/metrics", headers: bearer(viewer)).status == 200)
      let worker = try Mint.hs256.token(Mint.claims(roles: #""worker""#))
      try await harness.get("/metrics", headers: bearer(worker)).expectProblem(403, "forbidden")
    }
    try await run(AuthConfiguration(jwt: .init(secret: Mint.secret), metricsOpen: true)) { harness in
      #expect(try await harness.get("/metrics").status == 200)
      try await harness.get("/tasks").expectProblem(401, "unauthenticated")
    }
  }

  @Test func `every answer of a limited credential tells its limit, and beyond it is 429`() async throws {
    let clock = HandClock()
    let auth = AuthConfiguration(jwt: .init(secret: Mint.secret), rateLimit: RateLimit(perSecond: 1, burst: 5))
    try await run(auth, clock: clock) { harness in
      let ann = bearer(try Mint.hs256.token(Mint.claims(roles: #""viewer""#)))
      let answers = [
        try await harness.get("/tasks", headers: ann), try await harness.get("/tasks/nonsense", headers: ann),
        try await harness.get("/tasks?x=1", headers: ann), try await harness.act("/version"),
        try await harness.post("/tasks", "{}", headers: ann), try await harness.get("/stats", headers: ann),
      ]
      #expect(answers.map(\.status) == [200, 404, 422, 405, 403, 200])
      let levels = [4, 3, 2, nil, 1, 0].map { $0.map { #""default";r=\#($0);t=\#(max(1, $0))"# } }
      #expect(answers.map { $0.header("ratelimit") } == levels)
      for reply in answers where reply.status != 405 {
        #expect(reply.header("ratelimit-policy") == #""default";q=5;w=5"#)
      }

      let refused = try await harness.get("/tasks", headers: ann)
      try refused.expectProblem(429, "rate-limited")
      #expect(refused.header("retry-after") == "1")
      #expect(refused.header("ratelimit") == #""default";r=0;t=1"#)
      #expect(try refused.object["retryable"] as? Bool == true)

      // A new token of the same bearer shares the limit, another bearer does not.
      let again = bearer(try Mint.hs256.token(Mint.claims(roles: #""viewer""#, exp: 61)))
      try await harness.get("/tasks", headers: again).expectProblem(429, "rate-limited")
      let bob = bearer(try Mint.hs256.token(Mint.claims(sub: "bob", roles: #""viewer""#)))
      #expect(try await harness.get("/tasks", headers: bob).status == 200)
      let open = try await harness.get("/health/live", headers: ann)
      #expect(open.status == 200 && open.header("ratelimit") == nil)

      clock.advance(by: .seconds(1))
      #expect(try await harness.get("/tasks", headers: ann).status == 200)
      try await harness.get("/tasks", headers: ann).expectProblem(429, "rate-limited")
    }
  }

  @Test func `the limit of a gate that runs can be set, changed and taken away`() async throws {
    let harness = try await GateHarness.secret()
    let ann: HTTPFields = [
      .authorization: "Bearer \(try Mint.hs256.token(Mint.claims(roles: #""viewer""#)))"
    ]
    #expect(try await harness.admit(ann).fields.isEmpty)
    harness.gate.limitRequests(RateLimit(perSecond: 1, burst: 2))
    #expect(try await harness.admit(ann).fields.count == 2)
    _ = try await harness.admit(ann)
    await expectRefusal(.rateLimited) { () async throws(Problem) in try await harness.admit(ann) }
    harness.gate.limitRequests(RateLimit(perSecond: 1, burst: 5))
    for _ in 0..<3 { _ = try await harness.admit(ann) }
    await expectRefusal(.rateLimited) { () async throws(Problem) in try await harness.admit(ann) }
    harness.gate.limitRequests(nil)
    for _ in 0..<20 { #expect(try await harness.admit(ann).fields.isEmpty) }
  }

  @Test func `failed attempts are limited for each address, and who is known is not shut out`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    let clock = HandClock()
    let auth = AuthConfiguration(
      jwt: .init(secret: Mint.secret), apiKeys: true, failedAttempts: RateLimit(perSecond: 1, burst: 3))
    try await run(auth, book: book, clock: clock) { harness in
      let known = bearer(try Mint.hs256.token(Mint.claims(roles: #""viewer""#)))
      #expect(try await harness.get("/tasks", headers: known).status == 200)
      #expect(try await harness.get("/tasks", headers: [("X-API-Key", key)]).status == 200)
      let asked = book.asked
      for _ in 0..<3 {
        let guess = [("X-API-Key", APIKeyText.make())]
        try await harness.get("/tasks", headers: guess).expectProblem(401, "unauthenticated")
      }
      for _ in 0..<3 {
        let reply = try await harness.get("/tasks", headers: [("X-API-Key", APIKeyText.make())])
        try reply.expectProblem(429, "rate-limited")
        #expect(reply.header("retry-after") == "1")
      }
      #expect(try await harness.get("/tasks", headers: known).status == 200)
      #expect(try await harness.get("/tasks").status == 401)

      // Whoever else comes from this address, as behind a proxy, needs no more than a good token or key.
      let fresh = bearer(try Mint.hs256.token(Mint.claims(sub: "bob", roles: #""viewer""#)))
      #expect(try await harness.get("/tasks", headers: fresh).status == 200)
      let expired = bearer(try Mint.hs256.token(Mint.claims(exp: -1)))
      #expect(try await harness.get("/tasks", headers: [("X-API-Key", book.add(["viewer"]))]).status == 200)
      #expect(book.asked == asked + 7)
      try await harness.get("/tasks", headers: expired).expectProblem(401, "unauthenticated")

      clock.advance(by: .seconds(1))
      for _ in 0..<3 {
        try await harness.get("/tasks", headers: bearer("nonsense")).expectProblem(401, "unauthenticated")
      }
      try await harness.get("/tasks", headers: bearer("nonsense")).expectProblem(429, "rate-limited")
      try await harness.get("/tasks", headers: [("X-API-Key", "mk_nonsense")]).expectProblem(429, "rate-limited")
      clock.advance(by: .seconds(5))
      for _ in 0..<3 { try await harness.get("/tasks", headers: bearer("x")).expectProblem(401, "unauthenticated") }
      // Not fresh any more, but known.
      #expect(try await harness.get("/tasks", headers: [("X-API-Key", key)]).status == 200)
    }
  }

  @Test func `what cannot be a credential is limited by itself, and bars no key that nobody has seen yet`() async throws
  {
    let book = MemoryAPIKeyBook()
    let auth = AuthConfiguration(
      jwt: .init(secret: Mint.secret), apiKeys: true, failedAttempts: RateLimit(perSecond: 1, burst: 2))
    let harness = try await GateHarness(auth, book: book)
    let address = "192.0.2.1"
    for code in [Problem.Code.unauthenticated, .unauthenticated, .rateLimited, .rateLimited] {
      await expectRefusal(code) { () async throws(Problem) in try await harness.admit(token: "x", from: address) }
    }
    await expectRefusal(.rateLimited) { () async throws(Problem) in
      try await harness.admit(key: "mk_nonsense", from: address)
    }
    // An attempt that the store has to answer is the first of its kind.
    for code in [Problem.Code.unauthenticated, .unauthenticated, .rateLimited] {
      await expectRefusal(code) { () async throws(Problem) in
        try await harness.admit(key: APIKeyText.make(), from: address)
      }
    }
    #expect(book.asked == 3)
  }

  @Test func `for addresses that have failed too often keys are looked up two at a time`() async throws {
    let book = MemoryAPIKeyBook()
    let auth = AuthConfiguration(apiKeys: true, failedAttempts: RateLimit(perSecond: 1, burst: 1))
    let harness = try await GateHarness(auth, book: book)
    for address in ["192.0.2.1", "192.0.2.2"] {
      await expectRefusal { () async throws(Problem) in try await harness.admit(key: APIKeyText.make(), from: address) }
      await book.question()
    }
    book.hold()
    let (first, second, third) = (book.add(["viewer"]), book.add(["viewer"]), book.add(["viewer"]))
    async let one = harness.admit(key: first, from: "192.0.2.1")
    await book.question()
    async let other = harness.admit(key: second, from: "192.0.2.2")
    await book.question()
    await expectRefusal(.rateLimited, "too many failed attempts") { () async throws(Problem) in
      try await harness.admit(key: third, from: "192.0.2.1")
    }
    #expect(book.asked == 4)
    book.release()
    _ = try await (one, other)
    #expect(try await harness.admit(key: third, from: "192.0.2.1").actor == "key:mailer")
  }

  @Test func `a server fetches its keys by itself`() async throws {
    let mint = Mint.es256("e")
    try await ScriptedServer.serving({ _, _ in .json(200, Mint.jwks(mint)) }) { keys in
      try await run(AuthConfiguration(jwt: .init(jwks: keys.address + "/keys"))) { harness in
        let token = try mint.token(Mint.claims(roles: #""viewer""#))
        #expect(try await harness.get("/tasks", headers: bearer(token)).status == 200)
        #expect(keys.requests.count == 1)
      }
    }
  }

  @Test func `a refused body is not read, and the connection goes on`() async throws {
    try await run { harness in
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(
          "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
            + #"{"type":"resi"}"# + "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return try await connection.rest()
      }
      #expect(replies.map(\.status) == [401, 200])
    }
  }

  @Test func `without authentication credentials are not looked at`() async throws {
    try await HTTPHarness.run { harness in
      for headers in [bearer("nonsense"), [("X-API-Key", "nonsense")], [("X-API-Key", "a"), ("X-API-Key", "b")]] {
        let reply = try await harness.get("/tasks", headers: headers)
        #expect(reply.status == 200)
        #expect(reply.header("ratelimit") == nil)
      }
    }
  }
}
