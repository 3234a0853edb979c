// Outgoing calls as spans, and the `traceparent` that their receivers get.

import Foundation
import MartletCore
import MartletEngine
import MartletTelemetry
import NIOHTTP1
import SpanReading
import Testing
import Tracing

@testable import Martlet

@Suite("Outgoing traces", .timeLimit(.minutes(10)))
struct OutgoingTraceTests {
  private let queue = SpanQueue { _ in Issue.record("nothing is to be dropped") }
  private let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
  private var spans: SpanSource { SpanSource(OTLPTracer(queue, ratio: 1, random: RandomSource(seed: 1))) }

  /// A call of WEBHOOK_CALL as part of the given trace.
  private func call(
    _ answer: HookServer.Answer, path: String = "/services/s3cret?token=s3cret"
  ) async throws -> (Ended, [HookServer.Request]) {
    let (spans, given) = (spans, given)
    return try await HookServer.run([answer]) { server in
      let http = OutgoingHTTP(targets: PrivateTargets(areAllowed: true), clock: StoppedClock(), spans: spans)
      let ended = await ServiceContext.$current.withValue(spans.context(given)) {
        await run(
          WebhookCall(http: http, clock: StoppedClock()), #"{"url":"\#(server.url(path))"}"#,
          Attempt(traceparent: given))
      }
      await http.shutdown()
      return (ended, server.requests)
    }
  }

  @Test func `a call is a span below what it is part of, and its receiver is told of that span`() async throws {
    let (_, requests) = try await call(.reply(204))
    let all = try queue.decoded()
    let span = try all.one("POST")
    #expect(all.count == 1)
    #expect((span.parentID, span.kind, span.statusCode) == ("b7ad6b7169203331", 3, 0))
    #expect(requests.first?.headers["traceparent"] == ["00-\(span.traceID)-\(span.spanID)-01"])
    #expect(span.attributes["http.request.method"] == "POST")
    #expect(span.attributes["http.response.status_code"] == "204")
    #expect(span.attributes["server.address"] == "127.0.0.1")
    #expect(!"\(span)".contains("s3cret"), "paths and queries of webhooks are secrets")
  }

  @Test func `an answer that is no success, and none at all, are errors of the span`() async throws {
    _ = try await call(.reply(503))
    let answered = try queue.decoded().one("POST")
    #expect((answered.statusCode, answered.attributes["error.type"]) == (2, "503"))
    _ = try await call(.close)
    let broken = try queue.decoded().one("POST")
    #expect((broken.statusCode, broken.attributes["error.type"]) == (2, "NETWORK_ERROR"))
    #expect(broken.events.first?.name == "exception")
  }

  @Test func `without tracing the receiver gets the task's own`() async throws {
    try await HookServer.run([.reply(204)]) { server in
      let http = OutgoingHTTP(targets: PrivateTargets(areAllowed: true), clock: StoppedClock())
      _ = await run(
        WebhookCall(http: http, clock: StoppedClock()), #"{"url":"\#(server.url("/"))"}"#, Attempt(traceparent: given))
      await http.shutdown()
      #expect(server.requests.first?.headers["traceparent"] == [given])
    }
  }
}
