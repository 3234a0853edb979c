// Requests as spans, and whose trace new tasks belong to.

import Foundation
import MartletCore
import MartletEngine
import MartletTelemetry
import SpanReading
import Synchronization
import Testing

@Suite struct TraceTests {
  private let queue = SpanQueue { _ in Issue.record("nothing is to be dropped") }
  private let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  private func traced(
    ratio: Double = 1, _ body: (HTTPHarness) async throws -> Void
  ) async throws -> [DecodedSpan] {
    var spans = SpanSource(OTLPTracer(queue, ratio: ratio, random: RandomSource(seed: 1)))
    spans.database = "sqlite"
    try await HTTPHarness.run(spans: spans, body)
    return try queue.decoded()
  }

  @Test func `a submission is a span below that of its client, and the store's call is below it`() async throws {
    let spans = try await traced { harness in
      let reply = try await harness.post(
        "/tasks", #"{"type":"resize"}"#, headers: [("traceparent", given), ("X-Request-Id", "ask-1")])
      #expect(reply.status == 201)
      #expect(try await harness.stored(reply).traceparent == given)
    }
    let submit = try spans.one("submit")
    #expect((submit.traceID, submit.parentID) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))
    #expect((submit.kind, submit.statusCode) == (2, 0))
    let expected = [
      "http.request.method": "POST", "http.route": "/tasks", "url.path": "/tasks", "url.scheme": "http",
      "http.response.status_code": "201", "client.address": "127.0.0.1", "network.protocol.name": "http",
      "martlet.request.id": "ask-1",
    ]
    #expect(submit.attributes == expected)
    #expect(submit.end >= submit.start)
    let store = try spans.one("store submit")
    #expect((store.traceID, store.parentID, store.kind) == (submit.traceID, submit.spanID, 3))
    #expect(store.attributes == ["db.system.name": "sqlite", "db.operation.name": "submit"])
  }

  @Test func `a task that comes without a trace gets that of its submission`() async throws {
    let stored = Mutex<[String?]>([])
    let spans = try await traced { harness in
      let record = try await harness.stored(try await harness.post("/tasks", #"{"type":"resize"}"#))
      stored.withLock { $0.append(record.traceparent) }
    }
    let submit = try spans.one("submit")
    #expect(submit.parentID == "")
    #expect(stored.withLock(\.self) == ["00-\(submit.traceID)-\(submit.spanID)-01"])
  }

  @Test func `one that is not kept is handed on as such`() async throws {
    let stored = Mutex<[String?]>([])
    let spans = try await traced(ratio: 0) { harness in
      let record = try await harness.stored(try await harness.post("/tasks", #"{"type":"resize"}"#))
      stored.withLock { $0.append(record.traceparent) }
    }
    #expect(spans.isEmpty)
    #expect(stored.withLock(\.self).first??.hasSuffix("-00") == true)
  }

  @Test func `all tasks of a batch belong to its submission`() async throws {
    let stored = Mutex<[String?]>([])
    let spans = try await traced { harness in
      let reply = try await harness.post("/tasks/batch", #"{"tasks":[{"type":"a"},{"type":"b"}]}"#)
      #expect(reply.status == 201)
      for record in try await harness.store.list(TaskQuery()).tasks {
        stored.withLock { $0.append(record.traceparent) }
      }
    }
    let submit = try spans.one("submit")
    #expect(submit.attributes["http.route"] == "/tasks/batch")
    let own = "00-\(submit.traceID)-\(submit.spanID)-01"
    #expect(stored.withLock(\.self) == [own, own])
  }

  @Test func `without tracing a task keeps what it came with, and nothing else`() async throws {
    try await HTTPHarness.run { harness in
      #expect(try await harness.stored(try await harness.post("/tasks", #"{"type":"resize"}"#)).traceparent == nil)
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: [("traceparent", given)])
      #expect(try await harness.stored(reply).traceparent == given)
    }
  }

  @Test func `a replay without a trace belongs to that of the old task`() async throws {
    _ = try await traced { harness in
      let old = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: [("traceparent", given)])
      let id = try await harness.stored(old).id
      #expect(try await harness.act("/tasks/\(id)/cancel").status == 200)
      let copy = try await harness.act("/tasks/\(id)/replay")
      #expect(try await harness.stored(copy).traceparent == given)
    }
  }

  @Test func `other calls are named by method and route, and refusals are no errors`() async throws {
    let spans = try await traced { (harness) async throws in
      #expect(try await harness.get("/tasks/none").status == 404)
      #expect(try await harness.post("/tasks", #"{"typ":1}"#).status == 422)
      #expect(try await harness.get("/nowhere").status == 404)
    }
    let read = try spans.one("GET /tasks/{id}")
    #expect(read.attributes["url.path"] == "/tasks/none")
    #expect((read.attributes["http.response.status_code"], read.statusCode) == ("404", 0))
    let submit = try spans.one("submit")
    #expect((submit.attributes["http.response.status_code"], submit.statusCode) == ("422", 0))
    #expect(!spans.contains { $0.name.contains("nowhere") })
  }

  @Test func `what only keeps the machine going is traced where its client does`() async throws {
    let spans = try await traced { (harness) async throws in
      for path in ["/health/live", "/health/ready", "/metrics", "/version"] {
        let status = try await harness.get(path).status
        // A busy machine may not be ready.
        #expect(status == 200 || path == "/health/ready" && status == 503, "\(path)")
      }
      let ask = #"{"worker":"w","types":["a"],"waitSeconds":0}"#
      #expect(try await harness.post("/leases", ask).status == 200)
      #expect(try await harness.post("/leases", ask, headers: [("traceparent", given)]).status == 200)
    }
    #expect(spans.map(\.name) == ["POST /leases"])
  }
}

extension HTTPHarness {
  /// The task that an answer tells of, as the store has it.
  fileprivate func stored(_ reply: Reply) async throws -> TaskRecord {
    let text = try reply.string("id")
    let id = try #require(TaskID(text))
    return try #require(try await store.tasks([id])[0])
  }
}
