// What the tests of spans share.

import MartletCore
import MartletTelemetry
import Tracing

/// A moment that tests can name.
func moment(_ nanoseconds: UInt64) -> DefaultTracerClock.Timestamp {
  DefaultTracerClock.Timestamp(nanosecondsSinceEpoch: nanoseconds)
}

extension Tracer {
  func begin(_ name: String, in context: ServiceContext = .topLevel, _ kind: SpanKind = .internal, at time: UInt64 = 1)
    -> Self.Span
  {
    startSpan(name, context: context, ofKind: kind, at: moment(time))
  }
}

let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
let givenTrace = "0af7651916cd43dd8448eb211c80319c"
let givenSpan = "b7ad6b7169203331"

func context(_ traceparent: String) -> ServiceContext {
  var context = ServiceContext.topLevel
  context.spanIdentity = TraceParent(traceparent)
  return context
}
