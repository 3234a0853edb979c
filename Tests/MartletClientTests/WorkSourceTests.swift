// A server far away as the engine's source of work: what goes over the wire, what is sent again, and what is cut to fit.

internal import MartletClient
internal import MartletCore
internal import MartletEngine
internal import ScriptedServer
internal import Synchronization
internal import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct WorkSourceTests {
  private static func request(limit: Int = 5, ahead: Int = 0, queues: [String] = ["*"], patience: Duration = .zero)
    -> ClaimRequest
  {
    ClaimRequest(
      worker: "w1", queues: queues, types: ["resize"], limit: limit, ahead: ahead, token: 0, isLocal: false,
      patience: patience)
  }

  private static func finish(_ number: Int, _ outcome: Outcome, logs: [String] = []) -> Finish {
    Finish(lease: Leases.id(number), outcome: outcome, logs: logs, randomness: 0)
  }

  @Test func `a claim says what is wanted, and a lease is read with all that belongs to it`() async throws {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    try await withSource(script: { _, _ in
      Leases.answer([Leases.lease(1, payload: #"{"n": 1.0}"#, lease: 12.5, trace: "\"\(trace)\"")], held: 17.25)
    }) { source, server, _ in
      let claimed = try await source.claim([Self.request(ahead: 2, queues: ["a", "b"], patience: .seconds(30))])[0]
      #expect(server.requests.map(\.target) == ["/leases"])
      #expect(
        server.requests[0].text
          == #"{"worker":"w1","queues":["a","b"],"types":["resize"],"limit":5,"ahead":2,"waitSeconds":30}"#)
      let task = try #require(claimed.first)
      #expect(task.lease == Leases.id(1))
      #expect(task.payload == Array(#"{"n": 1.0}"#.utf8))
      #expect(task.expiresIn == .milliseconds(12_500))
      #expect(task.heldFor == .milliseconds(17_250))
      #expect(task.leaseDuration == .milliseconds(12_500))
      #expect(task.timeout == .seconds(300))
      #expect((task.type, task.queue, task.priority, task.maxAttempts) == ("resize", "images", 7, 4))
      #expect(task.tags == ["a"])
      #expect(task.metadata == ["k": "v"])
      #expect(task.traceparent == trace)
    }
  }

  @Test func `every queue is not named, and no more is asked for than one call gives`() async throws {
    try await withSource(script: { _, _ in Leases.answer([]) }) { source, server, _ in
      _ = try await source.claim([Self.request(limit: 1200, ahead: 900)])
      #expect(
        server.requests[0].text == #"{"worker":"w1","types":["resize"],"limit":1000,"ahead":700,"waitSeconds":0}"#)
    }
  }

  @Test func `a payload may be as deep as a server takes it`() async throws {
    let deep = String(repeating: "[", count: 63) + String(repeating: "]", count: 63)
    try await withSource(script: { _, _ in Leases.answer([Leases.lease(1, payload: deep)]) }) { source, _, _ in
      let claimed = try await source.claim([Self.request()])[0]
      #expect(claimed.first?.payload == Array(deep.utf8))
    }
  }

  @Test func `a claim whose connection breaks is not sent again: its leases would be nobody's`() async throws {
    try await withSource(script: { _, _ in .hangUp }) { source, server, _ in
      await #expect(throws: StoreError.self) { try await source.claim([Self.request()]) }
      #expect(server.requests.count == 1)
    }
  }

  @Test func `a renewal or a report whose connection breaks is sent again, the same`() async throws {
    try await withSource(script: { request, number in
      guard number % 2 == 1 else { return .hangUp }
      return request.path == "/leases/renew" ? Leases.renewed(request) : Leases.applied(request)
    }) { source, server, _ in
      let renewals = [Renewal(lease: Leases.id(1), progress: Progress(percent: 50, message: "half"))]
      let verdicts = try await source.renew(renewals)
      guard case .renewed(_, .seconds(30)) = verdicts.first else { throw Unexpected() }
      let applied = try await source.finish([Self.finish(1, .success(result: nil))])
      #expect(applied == [.applied(.success)])
      #expect(server.requests.count == 4)
      #expect(
        server.requests[0].text
          == #"{"leases":[{"leaseId":"\#(Leases.id(1))","progress":{"percent":50,"message":"half"}}]}"#)
      #expect(Set(server.requests.prefix(2).map(\.text)).count == 1)
      #expect(Set(server.requests.suffix(2).map(\.text)).count == 1)
    }
  }

  @Test(arguments: [
    (Outcome.success(result: nil), #""outcome":"SUCCESS""#),
    (.success(result: Array(#"{"a": 1}"#.utf8)), #""outcome":"SUCCESS","result":{"a": 1}"#),
    (
      .failed(TaskError(type: "T", message: "m", stack: "s"), .retry),
      #""outcome":"FAILED","error":{"type":"T","message":"m","stack":"s"}"#
    ),
    (
      .failed(TaskError(type: "T", message: "m"), .retryAfter(.milliseconds(1500))),
      #""outcome":"FAILED","error":{"type":"T","message":"m"},"delaySeconds":1.5"#
    ),
    (
      .failed(TaskError(type: "BAD_PAYLOAD", message: "m"), .giveUp(.badPayload)),
      #""outcome":"FAILED","error":{"type":"BAD_PAYLOAD","message":"m"},"retryable":false"#
    ),
    (.snoozed(.seconds(60)), #""outcome":"SNOOZED","delaySeconds":60"#), (.released, #""outcome":"RELEASED""#),
    (.cancelled, #""outcome":"CANCELLED""#), (.timedOut, #""outcome":"TIMED_OUT""#),
  ])
  func `each outcome has its words`(outcome: Outcome, words: String) async throws {
    try await withSource(script: { request, _ in Leases.applied(request) }) { source, server, _ in
      _ = try await source.finish([Self.finish(1, outcome, logs: ["a"])])
      #expect(
        server.requests[0].text == #"{"results":[{"leaseId":"\#(Leases.id(1))",\#(words),"logs":["a"]}]}"#)
    }
  }

  @Test func `verdicts are read one by one`() async throws {
    try await withSource(script: { request, _ in
      request.path == "/leases/finish"
        ? .json(
          200,
          #"{"data":[{"state":"APPLIED","task":{"id":"x","status":"RETRY"}},{"state":"LOST"},{"state":"INVALID","detail":"no"}]}"#
        )
        : .json(
          200,
          """
          {"data":[{"state":"CANCEL_REQUESTED","expiresAt":"2026-02-01T10:00:30Z","expiresInSeconds":9.9999},
          {"state":"LOST","expiresAt":null,"expiresInSeconds":0}]}
          """)
    }) { source, _, _ in
      let verdicts = try await source.finish((1...3).map { Self.finish($0, .success(result: nil)) })
      #expect(verdicts == [.applied(.retry), .lost, .lost])
      let renewed = try await source.renew((1...2).map { Renewal(lease: Leases.id($0)) })
      guard case .cancelRequested(_, .milliseconds(9999)) = renewed[0] else { throw Unexpected() }
      #expect(renewed[1] == .lost)
    }
  }

  @Test func `many reports go in as many calls as it takes, by number and by size`() async throws {
    try await withSource(script: { request, _ in
      request.path == "/leases/renew" ? Leases.renewed(request) : Leases.applied(request)
    }) { source, server, _ in
      let small = (0..<1500).map { Self.finish($0, .success(result: nil)) }
      let first = try await source.finish(small)
      #expect(first.count == 1500)
      #expect(server.requests.count == 2)
      let result = Array(("\"" + String(repeating: "x", count: 200_000) + "\"").utf8)
      let large = (0..<12).map { Self.finish($0, .success(result: result)) }
      let second = try await source.finish(large)
      #expect(second.count == 12)
      #expect(server.requests.dropFirst(2).allSatisfy { $0.body.count <= 1_100_000 })
      #expect(server.requests.count == 5)
      let renewed = try await source.renew((0..<1001).map { Renewal(lease: Leases.id($0)) })
      #expect(renewed.count == 1001)
      #expect(server.requests.count == 7)
    }
  }

  @Test func `a server with a small limit is told in halves, and if need be without the result`() async throws {
    try await withSource(script: { request, _ in
      request.body.count > 20_000
        ? .problem(413, #"{"code":"body-too-large"}"#) : Leases.applied(request)
    }) { source, server, refusals in
      let result = Array(("\"" + String(repeating: "x", count: 9_000) + "\"").utf8)
      let several = (0..<8).map { Self.finish($0, .success(result: result)) }
      let verdicts = try await source.finish(several)
      #expect(verdicts == Array(repeating: .applied(.success), count: 8))
      let huge = Array(("\"" + String(repeating: "x", count: 50_000) + "\"").utf8)
      let one = Self.finish(9, .success(result: huge), logs: [String(repeating: "y", count: 30_000)])
      let bare = try await source.finish([one])
      #expect(bare == [.applied(.success)])
      let last = try #require(server.requests.last)
      #expect(last.text.contains(#""outcome":"SUCCESS","logs":["the report was too large"#))
      let failure = Outcome.failed(TaskError(type: "T", message: String(repeating: "z", count: 60_000)), .retry)
      let short = try await source.finish([Self.finish(10, failure)])
      #expect(short == [.applied(.success)])
      #expect(refusals.all.isEmpty)
    }
  }

  @Test(arguments: [401, 403, 422])
  func `a refusal that will not pass is told to whoever runs the worker`(status: Int) async throws {
    try await withSource(script: { _, _ in .problem(status, #"{"detail":"no"}"#) }) { source, _, refusals in
      await #expect(throws: StoreError.self) { try await source.claim([Self.request()]) }
      guard case .problem(let problem)? = refusals.all.first else { throw Unexpected() }
      #expect(problem.status == status)
    }
  }

  @Test func `a server without leases, or what is none, is told as such`() async throws {
    for answer in [ScriptedAnswer.problem(404, "{}"), .json(200, "[]"), .raw("HTTP/1.1 200 OK\r\n\r\n<html>")] {
      try await withSource(script: { _, _ in answer }) { source, _, refusals in
        await #expect(throws: StoreError.self) { try await source.claim([Self.request()]) }
        guard case .unexpectedAnswer? = refusals.all.first else { throw Unexpected() }
      }
    }
  }

  @Test(arguments: [408, 429, 500, 502, 503])
  func `what may pass is no refusal`(status: Int) async throws {
    try await withSource(script: { _, _ in .problem(status, "{}") }) { source, _, refusals in
      await #expect(throws: StoreError.self) { try await source.claim([Self.request()]) }
      #expect(refusals.all.isEmpty)
    }
  }

  @Test func `draining ends a request that is held`() async throws {
    let (arrivals, arrived) = AsyncStream<Void>.makeStream()
    try await withSource(script: { _, _ in
      arrived.yield()
      return .silence
    }) { source, _, _ in
      async let claiming = source.claim([Self.request(patience: .seconds(30))])
      for await _ in arrivals { break }
      source.drain()
      let claimed = try await claiming
      #expect(claimed == [[]])
    }
  }
}

struct Unexpected: Error {}
