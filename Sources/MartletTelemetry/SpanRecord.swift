// A span that has ended, as it is sent. Made by `OTLPSpan`, kept by `SpanQueue`, written by `SpanRecord+Protobuf.swift`.

package import MartletCore
package import Tracing

package struct SpanRecord: Sendable {
  package var identity: TraceParent
  /// 0: it began the trace.
  package var parentID: UInt64
  package var name: String
  package var kind: SpanKind
  /// Nanoseconds since 1970.
  package var start: UInt64
  package var end: UInt64
  package var attributes: SpanAttributes
  package var events: [SpanEvent] = []
  package var links: [Link] = []
  package var status: SpanStatus?
  /// What was left out to bound it.
  package var droppedAttributes = 0
  package var droppedEvents = 0
  package var droppedLinks = 0

  package struct Link: Sendable {
    package var identity: TraceParent
    package var attributes: SpanAttributes
  }

  /// Of attributes, events and links of one span each.
  package static let most = 128
  /// Bytes of one text; the rest is cut off.
  package static let longestText = 8192
}
