// When a call is sent again, and when it must not be. Pauses are recorded, not waited.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Retries", .timeLimit(.minutes(10)))
struct RetryTests {
  private let busy = ScriptedAnswer.problem(503, #"{"code":"store-unavailable"}"#, headers: ["retry-after": "2"])

  @Test("a submit refused with Retry-After is sent again after that time, the same", arguments: [429, 503])
  func retryAfter(status: Int) async throws {
    let time = FakeTime()
    try await withClient(
      options: patient, time: time,
      script: { _, number in
        number < 2 ? .problem(status, "{}", headers: ["retry-after": "2"]) : .json(201, Fixtures.task())
      }
    ) { client, server in
      _ = try await client.submit(NewTask(type: "resize"))
      #expect(time.pauses == [.seconds(2), .seconds(2)])
      #expect(server.requests.count == 3)
      #expect(Set(server.requests.map(\.body)).count == 1)
    }
  }

  @Test("a server that asks for more patience than there is gets none")
  func retryAfterTooLong() async throws {
    let time = FakeTime()
    try await withClient(
      options: patient, time: time, script: { _, _ in .problem(429, "{}", headers: ["retry-after": "3600"]) }
    ) {
      client, server in
      await #expect(throws: MartletClientError.self) { try await client.submit(NewTask(type: "resize")) }
      #expect(time.pauses.isEmpty)
      #expect(server.requests.count == 1)
    }
  }

  @Test("patience with a server that keeps asking for it ends")
  func retryAfterBudget() async throws {
    let time = FakeTime()
    try await withClient(options: patient, time: time, script: { _, _ in busy }) { client, server in
      await #expect(throws: MartletClientError.self) { try await client.task(Fixtures.id) }
      #expect(time.pauses == Array(repeating: .seconds(2), count: 5))
      #expect(server.requests.count == 6)
    }
  }

  @Test("a submit whose connection breaks is not sent again: it may have been accepted")
  func brokenSubmit() async throws {
    let time = FakeTime()
    try await withClient(options: patient, time: time, script: { _, _ in .hangUp }) { client, server in
      await #expect {
        try await client.submit(NewTask(type: "resize"))
      } throws: { error in
        guard case .noAnswer(server.address, _)? = error as? MartletClientError else { return false }
        return true
      }
      #expect(server.requests.count == 1)
      #expect(time.pauses.isEmpty)
    }
  }

  @Test("steering whose connection breaks is not sent again either")
  func brokenSteering() async throws {
    try await withClient(options: patient, script: { _, _ in .hangUp }) { client, server in
      await #expect(throws: MartletClientError.self) { try await client.replay(Fixtures.id) }
      #expect(server.requests.count == 1)
    }
  }

  @Test("a submit whose outcome the server does not know is not sent again")
  func unknownOutcome() async throws {
    try await withClient(
      options: patient,
      script: { _, _ in
        .problem(503, #"{"outcome":"unknown","taskId":"\#(Fixtures.id)"}"#, headers: ["retry-after": "1"])
      }
    ) { client, server in
      await #expect(throws: MartletClientError.self) { try await client.submit(NewTask(type: "resize")) }
      #expect(server.requests.count == 1)
    }
  }

  @Test("nothing that could happen twice is sent again after an unknown outcome, with a task's id or without")
  func unknownOutcomes() async throws {
    let acts: [@Sendable (MartletClient) async throws -> Void] = [
      { _ = try await $0.submit([NewTask(type: "a")]) }, { _ = try await $0.replay(Fixtures.id) },
      { _ = try await $0.retry(Fixtures.id) }, { _ = try await $0.cancelTasks(TaskFilter()) },
      { _ = try await $0.retryDeadLetters(TaskFilter()) }, { _ = try await $0.purgeDeadLetters(TaskFilter()) },
      { _ = try await $0.stopBulk(Fixtures.id) }, { _ = try await $0.createAPIKey("a", roles: ["viewer"]) },
      { _ = try await $0.triggerSchedule("n") },
      { client in
        _ = try await client.createSchedule(
          ScheduleDefinition(name: "n", .every(seconds: 60), task: NewTask(type: "t")))
      },
    ]
    for act in acts {
      let time = FakeTime()
      try await withClient(options: patient, time: time, script: { _, _ in Self.lost }) { client, server in
        await #expect {
          try await act(client)
        } throws: { error in
          guard case .problem(let problem)? = error as? MartletClientError else { return false }
          return problem.outcomeIsUnknown && !problem.isRetryable && problem.taskIDs.isEmpty
        }
        #expect(server.requests.count == 1, "\(server.requests.map(\.target))")
        #expect(time.pauses.isEmpty)
      }
    }
  }

  @Test("what sets a value, and what has a key, is sent again after an unknown outcome and a broken connection")
  func repeatable() async throws {
    var keyed = NewTask(type: "a")
    keyed.idempotencyKey = "k"
    let task = keyed
    let acts: [@Sendable (MartletClient) async throws -> Void] = [
      { _ = try await $0.submit(task) }, { _ = try await $0.submit([task, task]) },
      { _ = try await $0.submit([NewTask(type: "a")], idempotencyKey: "k") },
      { _ = try await $0.patch(Fixtures.id, .runNow) }, { _ = try await $0.change(queue: "q", QueueChanges()) },
      { _ = try await $0.put(type: "t", TypeRules()) },
    ]
    for act in acts {
      for failure in [Self.lost, .hangUp] {
        try await withClient(
          options: patient,
          script: { request, number in
            if number == 0 { return failure }
            return switch request.path {
            case "/tasks/batch": .json(200, #"{"data":[]}"#)
            case "/queues/q", "/types/t": .json(200, #"{"name":"q"}"#)
            default: .json(200, Fixtures.task())
            }
          }
        ) { client, server in
          try await act(client)
          #expect(server.requests.count == 2)
          #expect(Set(server.requests.map(\.body)).count == 1)
        }
      }
    }
  }

  private static let lost = ScriptedAnswer.problem(
    503, #"{"code":"store-unavailable","outcome":"unknown","retryable":false}"#, headers: ["retry-after": "1"])

  @Test("a read whose connection breaks, or whose answer is cut, is sent again", arguments: [true, false])
  func brokenRead(hangsUp: Bool) async throws {
    let cut = ScriptedAnswer.raw("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":")
    let time = FakeTime()
    try await withClient(
      options: patient, time: time,
      script: { _, number in
        number == 0 ? (hangsUp ? .hangUp : cut) : .json(200, Fixtures.task())
      }
    ) { client, server in
      let answer = try await client.task(Fixtures.id)
      #expect(answer.id == Fixtures.id)
      #expect(server.requests.count == 2)
      #expect(time.pauses == [.milliseconds(100)])
    }
  }

  @Test("a read through a proxy that lost its server is sent again", arguments: [502, 503, 504])
  func badGateway(status: Int) async throws {
    try await withClient(
      options: patient,
      script: { _, number in
        number == 0 ? .body(status, Array("<html>".utf8), headers: [:]) : .json(200, Fixtures.task())
      }
    ) { client, server in
      _ = try await client.task(Fixtures.id)
      #expect(server.requests.count == 2)
    }
  }

  @Test("a refusal is not asked for twice", arguments: [400, 401, 403, 404, 409, 413, 415, 422, 500])
  func plainRefusal(status: Int) async throws {
    try await withClient(options: patient, script: { _, _ in .problem(status, "{}") }) { client, server in
      await #expect(throws: MartletClientError.problem(Problem(status: status))) { try await client.task(Fixtures.id) }
      #expect(server.requests.count == 1)
    }
  }

  @Test("nobody listening: tried with growing pauses, then told, for a submit too")
  func unreachable() async throws {
    let address = try ScriptedServer.deafAddress()
    let time = FakeTime()
    try await MartletClient.withClient(server: address, options: patient) { client in
      var client = client
      client.clock = time.clock
      await #expect(throws: MartletClientError.unreachable(server: address, reason: "connection refused")) {
        try await client.submit(NewTask(type: "resize"))
      }
    }
    #expect(time.pauses == [100, 200, 400, 800, 1600].map { .milliseconds($0) })
  }

  @Test("a host that does not exist is told as such")
  func unknownHost() async throws {
    var options = MartletClient.Options()
    options.retries = .none
    // Longer than a part of a name may be: no resolver is asked.
    let address = "http://\(String(repeating: "x", count: 64)).invalid:8080"
    try await MartletClient.withClient(server: address, options: options) { client in
      _ = await #expect(
        throws: MartletClientError.unreachable(server: address, reason: "the host name cannot be resolved")
      ) {
        try await client.task(Fixtures.id)
      }
    }
  }

  @Test("without retries every failure is told at once")
  func noRetries() async throws {
    var options = patient
    options.retries = .none
    let time = FakeTime()
    try await withClient(options: options, time: time, script: { _, number in number == 0 ? .hangUp : busy }) {
      client, server in
      await #expect(throws: MartletClientError.self) { try await client.task(Fixtures.id) }
      await #expect(throws: MartletClientError.self) { try await client.task(Fixtures.id) }
      #expect(server.requests.count == 2)
      #expect(time.pauses.isEmpty)
    }
  }

  @Test("a server that never answers is given up, once")
  func silence() async throws {
    var options = MartletClient.Options()
    options.requestTimeout = .seconds(2)
    let time = FakeTime()
    try await withClient(options: options, time: time, script: { _, _ in .silence }) { client, server in
      await #expect(
        throws: MartletClientError.noAnswer(server: server.address, reason: "the time for the request was over")
      ) {
        try await client.task(Fixtures.id)
      }
      #expect(time.pauses.isEmpty)
    }
  }

  @Test("a cancelled caller gets CancellationError, not a broken connection")
  func cancellation() async throws {
    let (arrivals, arrived) = AsyncStream<Void>.makeStream()
    try await withClient(
      options: patient,
      script: { _, _ in
        arrived.yield()
        return .silence
      }
    ) { client, _ in
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          await #expect(throws: CancellationError.self) { try await client.task(Fixtures.id) }
        }
        for await _ in arrivals { break }
        group.cancelAll()
        try await group.waitForAll()
      }
    }
  }

  @Test("a client that was shut down says so")
  func afterShutdown() async throws {
    let client = try MartletClient(server: "http://127.0.0.1:1")
    try await client.shutdown()
    await #expect(
      throws: MartletClientError.unreachable(server: "http://127.0.0.1:1", reason: "the client was shut down")
    ) {
      try await client.task(Fixtures.id)
    }
  }
}

/// On a loaded machine even connecting may take longer than the defaults allow, and would cost a pause.
private let patient: MartletClient.Options = {
  var options = MartletClient.Options()
  options.connectTimeout = .seconds(300)
  options.requestTimeout = .seconds(300)
  return options
}()
