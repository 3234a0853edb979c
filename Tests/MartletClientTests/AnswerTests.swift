// How answers are read: bytes kept, unknown fields passed over, nonsense named.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Answers")
struct AnswerTests {
  @Test("payload and result are the bytes that came")
  func rawBytes() async throws {
    let json = Fixtures.task(status: "SUCCESS", #","payload": {"n": 1.50, "u":"\u0041"} ,"result":[ 1,2 ]"#)
    try await withClient(script: { _, _ in .json(200, json) }) { client, _ in
      let task = try await client.task(Fixtures.id)
      #expect(task.payload == Array(#"{"n": 1.50, "u":"\u0041"}"#.utf8))
      #expect(task.result == Array("[ 1,2 ]".utf8))
      #expect(task.json == Array(json.utf8))
    }
  }

  @Test("every field of a task is read")
  func fullTask() async throws {
    let json = """
      {"id":"\(Fixtures.id)","type":"resize","queue":"images","status":"DEAD","reason":"RETRIES_EXHAUSTED","priority":9,
      "attempt":4,"maxAttempts":4,"retriesLeft":0,"payload":null,"result":null,"resultTruncated":true,
      "runAt":"2026-02-01T10:00:00.000Z","availableAt":"2026-02-01T10:00:01.000Z",
      "expiresAt":"2030-01-01T00:00:00.000Z",
      "createdAt":"2026-02-01T09:00:00.000Z","updatedAt":"2026-02-01T10:00:05.000Z",
      "startedAt":"2026-02-01T10:00:02.000Z","finishedAt":"2026-02-01T10:00:05.000Z","worker":"node-1",
      "progress":{"percent":40.5,"message":"half"},"cancelRequested":true,
      "lastError":{"type":"HTTP_503","message":"no","stack":"a\\nb"},"tags":["a"],"metadata":{"k":"v"},
      "replayOf":"\(Fixtures.id)","retries":3,
      "backoff":{"strategy":"linear","baseSeconds":0.5,"factor":2,"maxSeconds":60,"jitter":0.1},
      "timeoutSeconds":2.5,"leaseSeconds":30,"delaySeconds":60,"dependencies":["\(Fixtures.id)"],
      "onDependencyFailure":"CANCEL","ref":"a","graphId":"\(Fixtures.id)","idempotencyKey":"k",
      "concurrencyKey":"c","somethingNew":{"deep":[1]}}
      """
    try await withClient(script: { _, _ in .json(200, json) }) { client, _ in
      let task = try await client.task(Fixtures.id)
      #expect(task.status == .dead)
      #expect(task.reason == "RETRIES_EXHAUSTED")
      #expect(task.queue == "images")
      #expect([task.priority, task.attempt, task.maxAttempts, task.retriesLeft] == [9, 4, 4, 0])
      #expect(task.payload == Array("null".utf8))
      #expect(task.result == nil)
      #expect(task.resultTruncated)
      #expect(task.finishedAt == Timestamp("2026-02-01T10:00:05Z"))
      #expect(task.worker == "node-1")
      #expect(task.progress?.percent == 40.5)
      #expect(task.progress?.message == "half")
      #expect(task.cancelRequested)
      #expect(task.lastError == TaskError(type: "HTTP_503", message: "no", stack: "a\nb"))
      #expect(task.tags == ["a"])
      #expect(task.metadata == ["k": "v"])
      #expect(task.replayOf == Fixtures.id)
      #expect(task.retries == 3 && task.timeoutSeconds == 2.5 && task.leaseSeconds == 30 && task.delaySeconds == 60)
      #expect(task.backoff?.strategy == .linear && task.backoff?.baseSeconds == 0.5 && task.backoff?.factor == 2)
      #expect(task.backoff?.maxSeconds == 60 && task.backoff?.jitter == 0.1)
      #expect(task.dependencies == [Fixtures.id] && task.onDependencyFailure == .cancel && task.ref == "a")
      #expect(task.graphID == Fixtures.id && task.idempotencyKey == "k" && task.concurrencyKey == "c")
      #expect(!task.isReplay)
    }
  }

  @Test("a submission that was there already says so, alone and in a batch", arguments: [true, false])
  func replays(isReplay: Bool) async throws {
    let (status, headers) = isReplay ? (200, ["idempotent-replayed": "true"]) : (201, [:])
    try await withClient(script: { request, _ in
      let task = Fixtures.task()
      return .json(status, request.path == "/tasks" ? task : #"{"data":[\#(task),\#(task)]}"#, headers: headers)
    }) { client, _ in
      let single = try await client.submit(NewTask(type: "resize"))
      #expect(single.isReplay == isReplay)
      let batch = try await client.submit([NewTask(type: "resize"), NewTask(type: "resize")], idempotencyKey: "k")
      #expect(batch.map(\.isReplay) == [isReplay, isReplay])
    }
  }

  @Test(
    "an answer that is no task is unexpected, and says why",
    arguments: [
      (#"{"id":"x"}"#, "'id' is not an id"),
      (#"{}"#, "'id' is missing"),
      (#"[]"#, "an object was expected"),
      (Fixtures.task(status: "ASLEEP"), "'ASLEEP' is not a status that this version knows"),
      (Fixtures.task(status: "READY", #","worker":7"#), "'worker' is not text"),
      (Fixtures.task(status: "READY", #","dependencies":["x"]"#), "'dependencies' is not an array of ids"),
      (#"<html>"#, "the body is not JSON: expected a value, at byte 0"),
      (#""#, "the body is not JSON: the text ends in the middle of a value, at byte 0"),
    ])
  func wrongShapes(body: String, reason: String) async throws {
    try await withClient(script: { _, _ in .json(200, body) }) { client, server in
      await #expect(throws: MartletClientError.unexpectedAnswer(server: server.address, reason: reason)) {
        try await client.task(Fixtures.id)
      }
      #expect(server.requests.count == 1)
    }
  }

  @Test("a server that does not speak HTTP is unexpected")
  func notHTTP() async throws {
    try await withClient(script: { _, _ in .raw("SSH-2.0-OpenSSH_9.2\r\n") }) { client, server in
      await #expect(
        throws: MartletClientError.unexpectedAnswer(server: server.address, reason: "it does not speak HTTP")
      ) {
        try await client.task(Fixtures.id)
      }
    }
  }

  @Test("a redirect is not followed: it would take the credential along")
  func redirect() async throws {
    try await withClient(
      credential: .apiKey("mk_1"), script: { _, _ in .json(307, "{}", headers: ["location": "http://127.0.0.1:1/"]) }
    ) { client, server in
      await #expect(
        throws: MartletClientError.unexpectedAnswer(
          server: server.address, reason: "status 307, a redirect to http://127.0.0.1:1/")
      ) {
        try await client.task(Fixtures.id)
      }
    }
  }

  @Test("an answer over the limit is refused")
  func tooLong() async throws {
    var options = MartletClient.Options()
    options.maxAnswerBytes = 100
    try await withClient(options: options, script: { _, _ in .json(200, Fixtures.task()) }) { client, server in
      await #expect(
        throws: MartletClientError.unexpectedAnswer(
          server: server.address, reason: "the body is longer than 100 bytes")
      ) {
        try await client.task(Fixtures.id)
      }
    }
  }

  @Test("attempts and events are read")
  func history() async throws {
    try await withClient(script: { request, _ in
      request.target.hasSuffix("/attempts")
        ? .json(
          200,
          """
          {"data":[{"number":1,"worker":"w","startedAt":"2026-02-01T10:00:00.000Z",
          "finishedAt":"2026-02-01T10:00:01.000Z",
          "outcome":"FAILED","error":{"type":"E","message":"m"},"logs":["one","two"]},
          {"number":2,"worker":"w","startedAt":"2026-02-01T10:00:02.000Z","finishedAt":null,"outcome":null,"error":null,
          "logs":[]}],"nextCursor":null}
          """)
        : .json(
          200,
          """
          {"data":[{"sequence":1,"type":"martlet.task.received",
          "at":"2026-02-01T10:00:00.000Z","actor":"api","cause":null}],
          "nextCursor":null}
          """)
    }) { client, _ in
      let attempts = try await client.attempts(of: Fixtures.id)
      #expect(attempts.map(\.outcome) == ["FAILED", nil])
      #expect(attempts[0].error == TaskError(type: "E", message: "m"))
      #expect(attempts[0].logs == ["one", "two"])
      #expect(attempts[1].finishedAt == nil)
      let events = try await client.events(of: Fixtures.id)
      #expect(events.map(\.name) == ["received"])
      #expect(events[0].type == "martlet.task.received")
    }
  }

  @Test("queues, workers, statistics and the version are read")
  func serverState() async throws {
    let answers = [
      "/queues": """
      {"data":[{"name":"default","depth":{"READY":3,"DEAD":1,"NEW_STATUS":9},"oldestReadySeconds":1.5,
      "throughputPerSecond":20,"paused":false}],"nextCursor":null}
      """,
      "/queues/default": #"{"name":"default","depth":{},"oldestReadySeconds":null,"throughputPerSecond":0}"#,
      "/workers": """
      {"data":[{"id":"w1","host":"h","kind":"node","types":["a"],"queues":["q"],"running":2,
      "lastSeenAt":"2026-02-01T10:00:00.000Z"}],"nextCursor":null}
      """,
      "/stats": """
      {"countedAt":"2026-02-01T10:00:00.000Z","byStatus":{"READY":3},"byType":{"a":{"READY":3}},
      "throughput":{"submittedPerSecond":1,"finishedPerSecond":2.5},
      "latency":{"waitSeconds":{"p50":0.1,"p99":0.2},"runSeconds":null}}
      """,
      "/version": #"{"name":"martlet","version":"0.1.0"}"#,
    ]
    try await withClient(script: { request, _ in
      answers[request.path].map { .json(200, $0) } ?? .problem(404, "{}")
    }) { client, _ in
      let queue = try #require(try await client.queues().first)
      #expect(queue.depth == [.ready: 3, .dead: 1])
      #expect(queue.oldestReadySeconds == 1.5)
      let calm = try await client.queue("default")
      #expect(calm.oldestReadySeconds == nil)
      let worker = try #require(try await client.workers().first)
      #expect(worker.types == ["a"])
      #expect(worker.running == 2)
      let statistics = try await client.statistics()
      #expect(statistics.byType == ["a": [.ready: 3]])
      #expect(statistics.finishedPerSecond == 2.5)
      #expect(statistics.wait?.p99 == 0.2)
      #expect(statistics.run == nil)
      let answer = try await client.version()
      #expect(answer.version == "0.1.0")
    }
  }

  @Test("a server that says it cannot serve has answered")
  func notReady() async throws {
    try await withClient(script: { _, _ in .json(503, #"{"status":"not-ready","components":[]}"#) }) { client, server in
      let readiness = try await client.ready()
      #expect(!readiness.canServe)
      #expect(server.requests.count == 1)
    }
  }
}
