// Spans: their identities, which are kept, and how they look on the wire.

import MartletCore
import SpanReading
import Testing
import Tracing

@testable import MartletTelemetry

@Suite struct SpanTests {
  let queue = SpanQueue { _ in Issue.record("nothing is to be dropped") }

  private func tracer(_ ratio: Double = 1, seed: UInt64 = 1) -> OTLPTracer {
    OTLPTracer(queue, ratio: ratio, random: RandomSource(seed: seed))
  }

  @Test func `a span has every field of the wire format that it was given`() throws {
    let tracer = tracer()
    let other = tracer.begin("other")
    let span = tracer.begin("submit", in: context(given), .server, at: 1_700_000_000_000_000_001)
    span.attributes = [
      "text": "ä\n\u{0}", "yes": .bool(true), "no": .bool(false), "zero": .int64(0), "less": .int64(-5),
      "half": .double(0.5), "empty": "", "small": .int32(-7), "list": .stringArray(["a", ""]),
      "numbers": .int64Array([1, -1]), "flags": .boolArray([false]), "halves": .doubleArray([0]),
    ]
    span.addEvent(SpanEvent(name: "exception", at: moment(5), attributes: ["exception.type": "Broken"]))
    span.addLink(SpanLink(context: other.context, attributes: ["why": "batch"]))
    span.setStatus(SpanStatus(code: .error, message: "no luck"))
    span.operationName = "submitted"
    span.end(at: moment(1_700_000_000_000_000_009))

    let bytes = try #require(queue.take().first)
    let decoded = try DecodedSpan(bytes)
    #expect(decoded.traceID == givenTrace)
    #expect(decoded.parentID == givenSpan)
    #expect(decoded.spanID == span.context.spanIdentity?.spanIDText)
    #expect(decoded.spanID.count == 16 && decoded.spanID != givenSpan)
    #expect(decoded.name == "submitted")
    #expect(decoded.kind == 2)
    #expect(decoded.start == 1_700_000_000_000_000_001)
    #expect(decoded.end == 1_700_000_000_000_000_009)
    #expect(
      decoded.attributes == [
        "text": "ä\n\u{0}", "yes": "true", "no": "false", "zero": "0", "less": "-5", "half": "0.5", "empty": "",
        "small": "-7", "list": "[a,]", "numbers": "[1,-1]", "flags": "[false]", "halves": "[0.0]",
      ])
    #expect(decoded.events.map(\.name) == ["exception"])
    #expect(decoded.events.first?.attributes == ["exception.type": "Broken"])
    #expect((decoded.statusCode, decoded.statusMessage) == (2, "no luck"))
    let message = try WireMessage(bytes)
    let link = try #require(try message.messages(13).first)
    #expect(link.bytes(2).count == 8)
    #expect(try link.attributes(4) == ["why": "batch"])
    #expect(message.number(16) == 1)
  }

  @Test func `a message names its origin once and holds the spans as they are`() throws {
    tracer().begin("a").end(at: moment(2))
    tracer().begin("b").end(at: moment(2))
    let origin = SpanOrigin(
      resource: [("service.name", "shop"), ("process.pid", .int64(7))], scopeName: "martlet", scopeVersion: "1.2")
    let request = try WireMessage(origin.request(queue.take()))
    let resourceSpans = try #require(try request.messages(1).first)
    #expect(try resourceSpans.messages(1).first?.attributes(1) == ["service.name": "shop", "process.pid": "7"])
    let scopeSpans = try #require(try resourceSpans.messages(2).first)
    let scope = try #require(try scopeSpans.messages(1).first)
    #expect((scope.text(1), scope.text(2)) == ("martlet", "1.2"))
    #expect(try scopeSpans.messages(2).map { $0.text(5) } == ["a", "b"])
  }

  @Test func `what is too much of a span is left out, and counted where the format has a place for it`() throws {
    let span = tracer().begin(String(repeating: "n", count: 10_000))
    span.attributes = SpanAttributes(
      Dictionary(uniqueKeysWithValues: (0..<200).map { ("k\($0)", SpanAttribute.string("v")) }))
    span.attributes["k0"] = String(repeating: "ä", count: 5000)
    for _ in 0..<150 { span.addEvent(SpanEvent(name: "e", at: moment(1))) }
    for _ in 0..<130 { span.addLink(SpanLink(context: span.context, attributes: [:])) }
    span.end(at: moment(2))
    let message = try WireMessage(try #require(queue.take().first))
    #expect(message.text(5).utf8.count == 8192)
    #expect(message.all(9).count == 128 && message.number(10) == 72)
    #expect(message.all(11).count == 128 && message.number(12) == 22)
    #expect(message.all(13).count == 128 && message.number(14) == 2)
    #expect(try message.attributes(9)["k0"] == String(repeating: "ä", count: 4096))
  }

  @Test func `a span ends once, and never before it began`() throws {
    let span = tracer().begin("a", at: 10)
    span.end(at: moment(4))
    span.attributes["late"] = "x"
    span.end(at: moment(20))
    #expect(!span.isRecording)
    #expect(span.operationName == "a")
    let spans = try queue.decoded()
    #expect(spans.map(\.end) == [10])
    #expect(spans.first?.attributes == [:])
  }

  @Test func `a thrown error becomes an exception of the span`() throws {
    struct Broken: Error {}
    let span = tracer().begin("a")
    span.recordError(Broken(), attributes: ["more": "1"], at: moment(3))
    span.end(at: moment(4))
    let event = try #require(try queue.decoded().first?.events.first)
    #expect(event.name == "exception")
    #expect(event.attributes == ["exception.type": "Broken", "exception.message": "Broken()", "more": "1"])
  }

  // MARK: Which are kept

  @Test(arguments: [("01", true), ("00", false), ("03", true), ("02", false)])
  func `of a trace that was brought along, its flag decides whatever the ratio`(flags: String, isKept: Bool) throws {
    for ratio in [0.0, 1] {
      let span = tracer(ratio).begin("a", in: context(given.dropLast(2) + flags))
      #expect(span.isRecording == isKept)
      span.attributes["k"] = "v"
      span.end(at: moment(2))
      #expect(queue.take().count == (isKept ? 1 : 0))
      #expect(span.context.spanIdentity?.traceIDText == givenTrace)
      #expect(span.context.spanIdentity?.isSampled == isKept)
    }
  }

  @Test func `of traces that begin here a share is kept, the same ones for the same randomness`() {
    func kept(_ ratio: Double, seed: UInt64) -> [Bool] {
      let tracer = tracer(ratio, seed: seed)
      return (0..<1000).map { _ in tracer.begin("a").isRecording }
    }
    #expect(kept(0.25, seed: 7) == kept(0.25, seed: 7))
    #expect((200...300).contains(kept(0.25, seed: 7).count { $0 }))
    #expect(kept(0, seed: 1).allSatisfy { !$0 })
    #expect(kept(1, seed: 1).allSatisfy { $0 })
  }

  @Test func `what is below a span is of its trace, kept or not`() {
    for ratio in [0.0, 1] {
      let tracer = tracer(ratio)
      let parent = tracer.begin("a")
      let child = tracer.begin("b", in: parent.context)
      #expect(child.context.spanIdentity?.traceIDText == parent.context.spanIdentity?.traceIDText)
      #expect(child.context.spanIdentity?.spanID != parent.context.spanIdentity?.spanID)
      #expect(child.isRecording == parent.isRecording)
    }
  }

  // MARK: W3C Trace Context

  private struct Fields: Extractor, Injector {
    func extract(key: String, from fields: [String: String]) -> String? { fields[key] }
    func inject(_ value: String, forKey key: String, into fields: inout [String: String]) { fields[key] = value }
  }

  @Test func `traceparent is read and written`() {
    let tracer = tracer()
    var context = ServiceContext.topLevel
    tracer.extract(["traceparent": given], into: &context, using: Fields())
    var out: [String: String] = [:]
    tracer.inject(context, into: &out, using: Fields())
    #expect(out == ["traceparent": given])
    for text in ["", "nonsense", given.uppercased(), "00-" + String(repeating: "0", count: 32) + given.dropFirst(35)] {
      var context = ServiceContext.topLevel
      tracer.extract(["traceparent": text], into: &context, using: Fields())
      #expect(context.spanIdentity == nil, "\(text)")
    }
    var none: [String: String] = [:]
    tracer.inject(.topLevel, into: &none, using: Fields())
    #expect(none.isEmpty)
  }
}
