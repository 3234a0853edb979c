// The tracer of swift-distributed-tracing whose spans are sent by OTLP: it draws identities, decides which traces are kept, and
// speaks W3C Trace Context. The engine and handlers know it as a `Tracer` only; the composition root makes it.

package import MartletCore
package import Tracing

package final class OTLPTracer: Tracer {
  package typealias Span = OTLPSpan

  private let queue: SpanQueue
  private let random: RandomSource
  private let ratio: Double

  /// - Parameters:
  ///   - ratio: the share of traces beginning here that is kept, 0…1. Of all others whoever began them has decided.
  ///   - random: for ids and for that decision.
  package init(_ queue: SpanQueue, ratio: Double, random: RandomSource) {
    self.queue = queue
    self.ratio = ratio
    self.random = random
  }

  package func startSpan<Instant: TracerInstant>(
    _ operationName: String, context: @autoclosure () -> InstrumentationContext, ofKind kind: SpanKind,
    at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
  ) -> OTLPSpan {
    var context = context()
    let parent = context.spanIdentity
    let identity = identity(below: parent)
    context.spanIdentity = identity
    guard identity.isSampled else { return OTLPSpan(unsampled: context, name: operationName) }
    let record = SpanRecord(
      identity: identity, parentID: parent?.spanID ?? 0, name: operationName, kind: kind,
      start: instant().nanosecondsSinceEpoch, end: 0, attributes: [:])
    return OTLPSpan(record, context: context, queue: queue)
  }

  /// Spans leave by themselves; to wait for them is the exporter's part.
  package func forceFlush() {}

  package func extract<Carrier, Extract: Extractor>(
    _ carrier: Carrier, into context: inout InstrumentationContext, using extractor: Extract
  ) where Extract.Carrier == Carrier {
    guard let identity = extractor.extract(key: Self.field, from: carrier).flatMap({ TraceParent($0) }) else { return }
    context.spanIdentity = identity
  }

  package func inject<Carrier, Inject: Injector>(
    _ context: InstrumentationContext, into carrier: inout Carrier, using injector: Inject
  ) where Inject.Carrier == Carrier {
    guard let identity = context.spanIdentity else { return }
    injector.inject(identity.text, forKey: Self.field, into: &carrier)
  }

  private static let field = "traceparent"

  private func identity(below parent: TraceParent?) -> TraceParent {
    if let parent {
      return TraceParent(
        traceHigh: parent.traceHigh, traceLow: parent.traceLow, spanID: drawn(), isSampled: parent.isSampled)
    }
    return TraceParent(
      traceHigh: random.next(), traceLow: drawn(), spanID: drawn(), isSampled: random.fraction() < ratio)
  }

  /// 0 is no id.
  private func drawn() -> UInt64 {
    while true {
      let id = random.next()
      if id != 0 { return id }
    }
  }
}

private enum SpanIdentityKey: InstrumentationContextKey {
  typealias Value = TraceParent

  static let nameOverride: String? = "martlet-span"
}

extension InstrumentationContext {
  /// The span that is under way here, by a tracer of this kind.
  package var spanIdentity: TraceParent? {
    get { self[SpanIdentityKey.self] }
    set { self[SpanIdentityKey.self] = newValue }
  }
}
