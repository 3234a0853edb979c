// Health, version, metrics, queues, workers, statistics; and what clients see while the store fails.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct OperationsTests {
  private static let statuses: Set = ["PENDING", "READY", "RUNNING", "RETRY", "SUCCESS", "DEAD", "CANCELLED"]

  @Test func `health and version answer`() async throws {
    try await HTTPHarness.run { harness in
      #expect(try await harness.get("/health/live").text == #"{"status":"ok"}"#)
      let ready = try await Self.settled(harness)
      #expect(ready.status == 200)
      #expect(try ready.string("status") == "ready")
      #expect(ready.text.contains(#"{"name":"store","status":"ok","detail":null}"#))
      #expect(try await harness.get("/version").string("version") == "1.2.3-test")
    }
  }

  @Test func `queues tell their depth by status`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.submitted()
      _ = try await harness.submitted(#"{"type":"resize","delaySeconds":60}"#)
      _ = try await harness.submitted(#"{"type":"resize","queue":"mail"}"#)
      let queues = try await harness.get("/queues").data
      #expect(queues.compactMap { $0["name"] as? String } == ["default", "mail"])
      let depth = try #require(queues[0]["depth"] as? [String: Int])
      #expect(Set(depth.keys) == Self.statuses)
      #expect(depth["READY"] == 1)
      #expect(depth["PENDING"] == 1)
      #expect(queues[0]["oldestReadySeconds"] is Double)
      #expect(queues[0]["paused"] as? Bool == false)
      let one = try await harness.get("/queues/mail")
      #expect(one.status == 200)
      #expect(try one.string("name") == "mail")
      try await harness.get("/queues/nothing").expectProblem(404, "not-found")
    }
  }

  @Test func `workers and statistics are told`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.store.register(.stub(running: 3))
      let workers = try await harness.get("/workers").data
      #expect(workers.count == 1)
      #expect(Set(workers[0].keys) == ["id", "host", "kind", "types", "queues", "running", "lastSeenAt"])
      #expect(workers[0]["kind"] as? String == "node")
      #expect(workers[0]["running"] as? Int == 3)
      #expect(workers[0]["lastSeenAt"] as? String == "2026-02-01T10:00:00.000Z")

      _ = try await harness.submitted()
      let stats = try await harness.get("/stats")
      #expect(stats.status == 200)
      let object = try stats.object
      #expect(Set(object.keys) == ["countedAt", "byStatus", "byType", "throughput", "latency"])
      #expect((object["byStatus"] as? [String: Int])?["READY"] == 1)
      #expect((object["byType"] as? [String: [String: Int]])?["resize"]?["READY"] == 1)
    }
  }

  @Test func `metrics are the injected text, with the media type of Prometheus`() async throws {
    try await HTTPHarness.run(renderMetrics: { "up 1\n" }) { harness in
      let reply = try await harness.get("/metrics")
      #expect(reply.status == 200)
      #expect(reply.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
      #expect(reply.text == "up 1\n")
    }
  }

  @Test func `requests are counted by method, route and status, with bounded labels`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      _ = try await harness.get("/tasks/\(id)")
      _ = try await harness.get("/tasks/nonsense")
      _ = try await harness.get("/some/where/\(id)")
      _ = try await harness.get("/else/where")
      _ = try await harness.rawOne("PROPFIND /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
      _ = try await harness.raw("NONSENSE\r\n\r\n")
      let text = try await harness.get("/metrics").text
      for line in [
        #"martlet_http_requests_total{method="POST",route="/tasks",status="201"} 1"#,
        #"martlet_http_requests_total{method="GET",route="/tasks/{id}",status="200"} 1"#,
        #"martlet_http_requests_total{method="GET",route="/tasks/{id}",status="404"} 1"#,
        #"martlet_http_requests_total{method="GET",route="unmatched",status="404"} 2"#,
        #"martlet_http_requests_total{method="OTHER",route="/tasks",status="405"} 1"#,
        #"martlet_http_requests_total{method="OTHER",route="unmatched",status="400"} 1"#,
        #"martlet_http_request_seconds_count{method="GET",route="/tasks/{id}"} 2"#,
      ] {
        #expect(text.contains(line + "\n"), "\(line)")
      }
      #expect(!text.contains(id))
    }
  }

  @Test func `metrics that cannot be put together are 500 and say nothing of why`() async throws {
    struct Secret: Error {}
    try await HTTPHarness.run(renderMetrics: { throw Secret() }) { harness in
      let reply = try await harness.get("/metrics")
      try reply.expectProblem(500, "internal")
      #expect(!reply.text.contains("Secret"))
    }
  }

  @Test func `while the store cannot be reached, calls are 503 with Retry-After, and nothing was stored`() async throws
  {
    try await HTTPHarness.run(wrap: { store in
      FaultyStore(store) { operation, _ in operation == .now ? nil : .before }
    }) { harness in
      let id = "01890000-0000-7000-8000-000000000000"
      for reply in [
        try await harness.post("/tasks", #"{"type":"resize"}"#), try await harness.get("/tasks/\(id)"),
        try await harness.get("/tasks/\(id)?waitSeconds=60"), try await harness.get("/tasks"),
        try await harness.get("/tasks/\(id)/attempts"), try await harness.get("/tasks/\(id)/events"),
        try await harness.act("/tasks/\(id)/cancel"), try await harness.act("/tasks/\(id)/retry"),
        try await harness.act("/tasks/\(id)/replay"), try await harness.patch("/tasks/\(id)", #"{"priority":1}"#),
        try await harness.get("/queues"), try await harness.get("/stats"), try await harness.get("/workers"),
        try await harness.get("/dead-letters"),
      ] {
        try reply.expectProblem(503, "store-unavailable")
        #expect(reply.header("retry-after") == "1")
        #expect(try reply.object["retryable"] as? Bool == true)
        #expect(try reply.object["outcome"] == nil)
        // The store's own words are for the log.
        #expect(!reply.text.contains("on purpose"))
      }
    }
  }

  @Test func `while the store cannot be reached, the node is live but not ready, and still scraped`() async throws {
    try await HTTPHarness.run(wrap: { FaultyStore($0) { _, _ in .before } }) { harness in
      #expect(try await harness.get("/health/live").status == 200)
      let ready = try await harness.get("/health/ready")
      #expect(ready.status == 503)
      #expect(try ready.string("status") == "not-ready")
      #expect(try await harness.get("/metrics").status == 200)
      #expect(try await harness.get("/version").status == 200)
    }
  }

  @Test func `what is wrong with the store is told to the log and not to strangers, where there is authentication`()
    async throws
  {
    let words = "failed on purpose"
    try await HTTPHarness.run(wrap: { FaultyStore($0) { _, _ in .before } }) { harness in
      let ready = try await Self.settled(harness)
      #expect(ready.text.contains(words), "without it only this machine asks")
    }
    let auth = AuthConfiguration(jwt: .init(secret: Mint.secret))
    try await HTTPHarness.run(
      configure: { $0.auth = auth }, wrap: { FaultyStore($0) { call, _ in call == .check ? .before : nil } }
    ) { harness in
      let boss = [("Authorization", "Bearer \(try Mint.hs256.token(Mint.claims(roles: #""admin""#)))")]
      for headers in [[], boss] {
        let ready = try await Self.settled(harness, headers: headers)
        #expect(ready.status == 503)
        #expect(!ready.text.contains(words))
        #expect(
          ready.text.contains(
            #"{"name":"store","status":"failing","detail":"cannot be reached or cannot write now; the log says why"}"#))
      }
    }
    let log = LogProbe()
    TroubleLog(logger: log.logger, clock: HandClock()).notReady("no route to db.internal")
    #expect(log.lines == ["error: not ready: no route to db.internal"])
  }

  /// What the store itself has said, however slow this machine is.
  private static func settled(_ harness: HTTPHarness, headers: [(String, String)] = []) async throws -> Reply {
    while true {
      let ready = try await harness.get("/health/ready", headers: headers)
      if !ready.text.contains("no answer within") { return ready }
    }
  }

  @Test func `bad input is told as such even while the store cannot be reached`() async throws {
    try await HTTPHarness.run(wrap: { FaultyStore($0) { _, _ in .before } }) { harness in
      try await harness.post("/tasks", "{").expectProblem(400, "malformed-json")
      try await harness.post("/tasks", "{}").expectProblem(422, "invalid")
      try await harness.get("/tasks?x=1").expectProblem(422, "invalid")
    }
  }

  @Test func `a submission whose outcome is unknown is 503 with the id to look for`() async throws {
    try await HTTPHarness.run(wrap: { store in
      FaultyStore(store) { operation, number in operation == .submit && number == 1 ? .after : nil }
    }) { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#)
      try reply.expectProblem(503, "store-unavailable")
      #expect(reply.header("retry-after") == "1")
      #expect(try reply.string("outcome") == "unknown")
      #expect(try reply.object["retryable"] as? Bool == false)
      let id = try reply.string("taskId")
      #expect(try await harness.get("/tasks/\(id)").status == 200)
    }
  }

  @Test(arguments: ["cancel", "retry", "patch"])
  func `a change whose outcome is unknown is 503 with the task's id, and may be repeated`(change: String) async throws {
    try await HTTPHarness.run(wrap: { store in
      FaultyStore(store) { operation, number in operation == .steer && number == 1 ? .after : nil }
    }) { harness in
      let id = try await harness.submitted(#"{"type":"resize","retries":0}"#)
      if change == "retry" { try await harness.attempt(id, .failed) }
      func attempt() async throws -> Reply {
        change == "patch"
          ? try await harness.patch("/tasks/\(id)", #"{"priority":9}"#)
          : try await harness.act("/tasks/\(id)/\(change)")
      }
      let reply = try await attempt()
      try reply.expectProblem(503, "store-unavailable")
      #expect(reply.header("retry-after") == "1")
      #expect(try reply.string("outcome") == "unknown")
      #expect(try reply.string("taskId") == id)
      #expect(try reply.object["retryable"] as? Bool == true)
      #expect(
        try await attempt().status == (change == "retry" ? 409 : 200), "it was made: a second retry comes too late")
    }
  }

  @Test func `what would be done twice is not to be repeated where its outcome is unknown`() async throws {
    let fault: @Sendable (StoreOperation, Int) -> Fault? = { operation, _ in operation == .begin ? .after : nil }
    try await HTTPHarness.run(wrap: { FaultyStore($0, fault: fault) }) { harness in
      _ = try await harness.submitted(#"{"type":"resize"}"#)
      let reply = try await harness.post("/tasks/cancel", #"{"filter":{"type":"resize"},"limit":5}"#)
      try reply.expectProblem(503, "store-unavailable")
      #expect(try reply.string("outcome") == "unknown")
      #expect(try reply.object["retryable"] as? Bool == false)
      #expect(try reply.object["taskId"] == nil)
    }
  }

  @Test func `a replay whose outcome is unknown is 503 with the new task's id`() async throws {
    try await HTTPHarness.run(wrap: { store in
      FaultyStore(store) { operation, number in operation == .submit && number == 2 ? .after : nil }
    }) { harness in
      let id = try await harness.submitted(#"{"type":"resize","retries":0}"#)
      try await harness.attempt(id, .failed)
      let reply = try await harness.act("/tasks/\(id)/replay")
      try reply.expectProblem(503, "store-unavailable")
      #expect(try reply.string("outcome") == "unknown")
      #expect(try reply.object["retryable"] as? Bool == false)
      let copy = try reply.string("taskId")
      #expect(copy != id)
      #expect(try await harness.get("/tasks/\(copy)").string("replayOf") == id)
    }
  }

  @Test func `a problem of many tasks of unknown outcome names each of them`() throws {
    let ids = (1...3).map(TaskID.stub)
    let problem = Problem(ServiceError.store(.unknownOutcome("cut"), tasks: ids))
    let reply = Reply(status: 503, headers: [:], bytes: problem.document(requestID: "r"))
    #expect(try reply.string("taskId") == ids[0].description)
    #expect(try reply.object["taskIds"] as? [String] == ids.map(\.description))
    #expect(try reply.string("outcome") == "unknown")
  }

  @Test func `every problem has a title, and a code in kebab case`() {
    for code in Problem.Code.allCases {
      #expect(!code.title.isEmpty)
      #expect((400...599).contains(code.status))
      #expect(code.rawValue.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "-") })
    }
  }

  @Test func `a Date is written as RFC 9110 asks`() {
    #expect(HTTPDates.text(Timestamp(milliseconds: 784_111_777_000)) == "Sun, 06 Nov 1994 08:49:37 GMT")
    #expect(HTTPDates.text(Timestamp(milliseconds: 0)) == "Thu, 01 Jan 1970 00:00:00 GMT")
    #expect(HTTPDates.text(Timestamp(milliseconds: 1_709_164_800_000)) == "Thu, 29 Feb 2024 00:00:00 GMT")
  }
}
