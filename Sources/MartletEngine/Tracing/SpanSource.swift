// How the engine, the HTTP edge and outgoing calls make spans: by any tracer of swift-distributed-tracing, and by an injected clock. There
// is none where nothing is traced; then all of it comes down to a look at an optional.

package import Tracing

package struct SpanSource: Sendable {
  package typealias Moment = DefaultTracerClock.Timestamp

  package let tracer: any Tracer
  /// `db.system.name` of the store: `sqlite`, `postgresql`.
  package var database = "other_sql"
  private let clock: @Sendable () -> Moment

  package init(_ tracer: any Tracer, clock: @escaping @Sendable () -> Moment = { DefaultTracerClock.now }) {
    self.tracer = tracer
    self.clock = clock
  }

  /// By the tracer that the program has set up for itself; nil where it has none.
  package static var ofTheProcess: SpanSource? {
    let tracer = InstrumentationSystem.tracer
    return tracer is NoOpTracer ? nil : SpanSource(tracer)
  }

  package var now: Moment { clock() }

  /// - Parameters:
  ///   - parent: nil begins a trace.
  ///   - moment: nil is now.
  package func begin(
    _ name: String, _ kind: SpanKind, in parent: ServiceContext?, at moment: Moment? = nil,
    _ attributes: SpanAttributes = [:]
  ) -> any Tracing.Span {
    let span = tracer.startSpan(name, context: parent ?? .topLevel, ofKind: kind, at: moment ?? now)
    if span.isRecording, !attributes.isEmpty { span.attributes = attributes }
    return span
  }

  package func end(_ span: any Tracing.Span, at moment: Moment? = nil) {
    span.end(at: moment ?? now)
  }

  /// What was thrown, as an exception of the span.
  package func fail(
    _ span: any Tracing.Span, type: String, message: String, stack: String? = nil, at moment: Moment? = nil
  ) {
    guard span.isRecording else { return }
    var attributes: SpanAttributes = ["exception.type": .string(type), "exception.message": .string(message)]
    if let stack { attributes["exception.stacktrace"] = stack }
    span.addEvent(SpanEvent(name: "exception", at: moment ?? now, attributes: attributes))
    span.attributes["error.type"] = type
    span.setStatus(SpanStatus(code: .error, message: message))
  }

  // MARK: W3C Trace Context

  /// What a `traceparent` says; nil without one.
  package func context(_ traceparent: String?) -> ServiceContext? {
    guard let traceparent else { return nil }
    var context = ServiceContext.topLevel
    tracer.extract([Self.field: traceparent], into: &context, using: TraceFields())
    return context
  }

  /// Nil where the tracer hands on something else.
  package func traceparent(of span: any Tracing.Span) -> String? { traceparent(in: span.context) }

  /// Of the span that is under way here.
  package var currentTraceparent: String? { ServiceContext.current.flatMap(traceparent(in:)) }

  private func traceparent(in context: ServiceContext) -> String? {
    var fields: [String: String] = [:]
    tracer.inject(context, into: &fields, using: TraceFields())
    return fields[Self.field]
  }

  private static let field = "traceparent"

  private struct TraceFields: Extractor, Injector {
    func extract(key: String, from fields: [String: String]) -> String? { fields[key] }

    func inject(_ value: String, forKey key: String, into fields: inout [String: String]) {
      fields[key.lowercased()] = value
    }
  }

  // MARK: Inside of a span

  /// Runs `body` so that spans that it makes by swift-distributed-tracing are below this one.
  package func within<Value, Failure: Error>(
    _ span: any Tracing.Span, _ body: () async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    let result = await withTracer(tracer) { () async -> Result<Value, Failure> in
      await ServiceContext.$current.withValue(span.context) { () async -> Result<Value, Failure> in
        do throws(Failure) {
          return .success(try await body())
        } catch {
          return .failure(error)
        }
      }
    }
    return try result.get()
  }
}
