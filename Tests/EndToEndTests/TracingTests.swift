// Traces from outside: a client's trace goes through submission, wait, attempt and webhook to the receivers, as a real receiver of
// OpenTelemetry reads it; and a receiver that is away costs nobody anything.

internal import Foundation
internal import MartletCore
internal import OTLPReceiver
internal import PostgresServer
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Tracing", .timeLimit(.minutes(20)))
  struct TracingTests {
    private static let trace = "0af7651916cd43dd8448eb211c80319c"
    private static let client = "b7ad6b7169203331"
    private static let given = "00-\(trace)-\(client)-01"

    @Test(arguments: ["sqlite", "postgres"])
    func `one trace leads from the client by submission and attempt to the webhooks`(database: String) async throws {
      try await ScriptedServer.serving({ _, _ in .json(200, "{}") }) { hook in
        try await Scene.play { scene in
          let receiver = try await OTLPReceiver.start()
          var environment = [
            "MARTLET_TELEMETRY_OTLP_ENDPOINT": receiver.endpoint, "MARTLET_TELEMETRY_SERVICE_NAME": "shop",
          ]
          if database == "postgres" { environment["MARTLET_DATABASE_URL"] = try await scene.postgres().url() }
          let server = try await scene.serve(environment: environment)
          let reply = try await server.api.post(
            "/tasks",
            #"""
            {"type":"WEBHOOK_CALL","payload":{"url":"\#(hook.address)/call"},
             "notify":[{"webhook":"\#(hook.address)/notice","on":["SUCCESS"]}]}
            """#, headers: [("traceparent", Self.given)])
          #expect(reply.status == 201)
          let id = try #require(try reply.json()["id"]?.string)
          try await server.api.task(id, becomes: "SUCCESS")
          try await eventually("the notice is there") { hook.requests.count == 2 }
          let spans = try await eventually("the spans are there") {
            let spans = try receiver.spans.filter { $0.traceId == Self.trace }
            return spans.count >= 7 ? spans : nil
          }
          let system = database == "postgres" ? "postgresql" : "sqlite"

          let submit = try spans.one("submit")
          #expect((submit.parentSpanId, submit.kind) == (Self.client, 2))
          #expect((submit["http.route"], submit["http.response.status_code"]) == ("/tasks", "201"))
          let stored = try spans.one("store submit")
          #expect((stored.parentSpanId, stored.kind, stored["db.system.name"]) == (submit.spanId, 3, system))
          #expect(try spans.one("wait").parentSpanId == Self.client)
          let attempt = try spans.one("attempt")
          #expect((attempt.parentSpanId, attempt.kind) == (Self.client, 5))
          #expect((attempt["martlet.task.id"], attempt["martlet.outcome"]) == (id, "SUCCESS"))
          #expect(try spans.one("store finish").parentSpanId == attempt.spanId)
          #expect(Double(attempt.startTimeUnixNano) ?? 0 <= Double(attempt.endTimeUnixNano) ?? 0)

          let posts = spans.filter { $0.name == "POST" }
          let call = try #require(posts.first { $0.parentSpanId == attempt.spanId })
          let notice = try #require(posts.first { $0.parentSpanId == Self.client })
          #expect((posts.count, call.kind, call["http.response.status_code"]) == (2, 3, "200"))
          let told = Dictionary(uniqueKeysWithValues: hook.requests.map { ($0.path, $0.headers["traceparent"]) })
          #expect(told["/call"] == "00-\(Self.trace)-\(call.spanId)-01")
          #expect(told["/notice"] == "00-\(Self.trace)-\(notice.spanId)-01")

          // Counted once the receiver has answered.
          try await eventually("they are counted") { try await server.metric("martlet_spans_exported_total") >= 7 }
          #expect(try await server.metric("martlet_spans_dropped_total") == 0)
          #expect(try await server.stop() == .exited(0))
          await receiver.stop()
        }
      }
    }

    @Test func `a worker elsewhere hands on the trace of its attempt`() async throws {
      try await Scene.play { scene in
        let receiver = try await OTLPReceiver.start()
        let server = try await scene.serve(environment: ["MARTLET_TELEMETRY_OTLP_ENDPOINT": receiver.endpoint])
        let worker = try scene.start(
          Tool.built("martlet"),
          [
            "work", "--server", server.api.address, "--type", "echo", "--", "/bin/sh", "-c",
            #"printf '"%s"' "$MARTLET_TRACEPARENT""#,
          ])
        let reply = try await server.api.post("/tasks", #"{"type":"echo"}"#, headers: [("traceparent", Self.given)])
        let task = try await server.api.task(try #require(try reply.json()["id"]?.string), becomes: "SUCCESS")
        let attempt = try await eventually("the attempt is told") { try receiver.spans.first { $0.name == "attempt" } }
        #expect(attempt.parentSpanId == Self.client)
        #expect(task["result"]?.string == "00-\(Self.trace)-\(attempt.spanId)-01")
        worker.signal(SIGTERM)
        _ = try await worker.ended()
        #expect(try await server.stop() == .exited(0))
        await receiver.stop()
      }
    }

    @Test func `a receiver that is away costs nobody anything, what was left out is counted, and it is found again`()
      async throws
    {
      try await Scene.play { scene in
        var receiver = try await OTLPReceiver.start()
        let port = receiver.port
        await receiver.stop()
        let server = try await scene.serve(environment: ["MARTLET_TELEMETRY_OTLP_ENDPOINT": "http://127.0.0.1:\(port)"])
        // Five spans each and more than there is room for.
        for _ in 0..<5 {
          let tasks = Array(repeating: #"{"type":"FAIL_SOMETIMES","payload":{"probability":0}}"#, count: 1000)
          let reply = try await server.api.post("/tasks/batch", #"{"tasks":[\#(tasks.joined(separator: ","))]}"#)
          #expect(reply.status == 201)
        }
        try await server.api.allAreAtRest()
        #expect(try await server.metric("martlet_spans_dropped_total") > 0)
        #expect(try await server.metric("martlet_spans_exported_total") == 0)
        try await server.api.becomesReady()
        #expect(server.program.errorLines.filter { $0.contains("spans cannot be sent") }.count == 1)
        receiver = try await OTLPReceiver.start(port: port)
        try await eventually("spans are there") { try !receiver.spans.isEmpty }
        try await eventually("it is told") { server.program.errors.contains("spans are sent again") }
        try await eventually("they are counted") { try await server.metric("martlet_spans_exported_total") > 0 }
        #expect(try await server.stop() == .exited(0))
        await receiver.stop()
      }
    }

    @Test func `a server that stops sends what it has, and waits for no receiver that does not answer`() async throws {
      try await Scene.play { scene in
        let receiver = try await OTLPReceiver.start()
        var server = try await scene.serve(environment: ["MARTLET_TELEMETRY_OTLP_ENDPOINT": receiver.endpoint])
        let reply = try await server.api.post("/tasks", #"{"type":"nobody"}"#, headers: [("traceparent", Self.given)])
        #expect(reply.status == 201)
        #expect(try await server.stop() == .exited(0))
        try await eventually("it is there") { try receiver.spans.contains { $0.name == "submit" } }
        await receiver.stop()

        try await ScriptedServer.serving({ _, _ in .silence }) { silent in
          server = try await scene.serve(environment: ["MARTLET_TELEMETRY_OTLP_ENDPOINT": silent.address])
          _ = try await server.api.submit(#"{"type":"nobody"}"#)
          server.program.signal(SIGTERM)
          #expect(try await server.program.ended(within: .seconds(120)) == .exited(0))
        }
      }
    }

    @Test func `lines of the log name request, task and trace`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve(environment: [
          "MARTLET_TELEMETRY_OTLP_ENDPOINT": try ScriptedServer.deafAddress(), "MARTLET_LOG_FORMAT": "json",
          "MARTLET_LOG_LEVEL": "debug",
        ])
        let reply = try await server.api.post(
          "/tasks", #"{"type":"DELAYED_MESSAGE","payload":{"message":"one\ntwo\u2028three\u001b[31m"}}"#,
          headers: [("traceparent", Self.given), ("X-Request-Id", "ask-7")])
        let id = try #require(try reply.json()["id"]?.string)
        try await server.api.task(id, becomes: "SUCCESS")
        let lines = try server.program.errorLines.map { try JSONScanner.scan(Array($0.utf8)) }
        let said = try #require(lines.first { $0["message"]?.string?.contains("two") == true })
        #expect((said["task_id"]?.string, said["attempt"]?.string) == (id, "1"))
        #expect(said["trace_id"]?.string == Self.trace)
        #expect(said["span_id"]?.string?.utf8.count == 16)
        let request = try #require(lines.first { $0["request_id"]?.string == "ask-7" })
        #expect(request["message"]?.string == "POST /tasks 201")
        #expect(try await server.stop() == .exited(0))
      }
    }
  }
}

extension Server {
  /// A metric without labels.
  fileprivate func metric(_ name: String) async throws -> Double {
    let text = String(decoding: try await api.get("/metrics").body, as: UTF8.self)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name + " ") })
    return try #require(line.split(separator: " ").last.flatMap { Double($0) })
  }
}

extension [ReceivedSpan] {
  fileprivate func one(_ name: String) throws -> ReceivedSpan {
    let all = filter { $0.name == name }
    try #require(all.count == 1, "\(map(\.name))")
    return all[0]
  }
}
