// A span under way. One of a trace that is not kept has an identity to hand on and forgets all it is told.

internal import MartletCore
internal import Synchronization
package import Tracing

package final class OTLPSpan: Tracing.Span {
  package let context: InstrumentationContext
  private let queue: SpanQueue?
  private let state: Mutex<State>

  private struct State {
    var record: SpanRecord?
    /// For those that have no record.
    var name: String
  }

  init(_ record: SpanRecord, context: InstrumentationContext, queue: SpanQueue) {
    self.context = context
    self.queue = queue
    state = Mutex(State(record: record, name: record.name))
  }

  init(unsampled context: InstrumentationContext, name: String) {
    self.context = context
    queue = nil
    state = Mutex(State(record: nil, name: name))
  }

  package var isRecording: Bool { state.withLock { $0.record != nil } }

  package var operationName: String {
    get { state.withLock { $0.record?.name ?? $0.name } }
    set {
      state.withLock { state in
        state.name = newValue
        state.record?.name = newValue
      }
    }
  }

  package var attributes: SpanAttributes {
    get { state.withLock { $0.record?.attributes ?? [:] } }
    set { change { $0.attributes = newValue } }
  }

  package func setStatus(_ status: SpanStatus) {
    change { $0.status = status }
  }

  package func addEvent(_ event: SpanEvent) {
    change { record in
      if record.events.count < SpanRecord.most { record.events.append(event) } else { record.droppedEvents += 1 }
    }
  }

  package func recordError<Instant: TracerInstant>(
    _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
  ) {
    guard isRecording else { return }
    var attributes = attributes
    attributes["exception.type"] = String(describing: type(of: error))
    attributes["exception.message"] = String(describing: error)
    addEvent(SpanEvent(name: "exception", at: instant(), attributes: attributes))
  }

  package func addLink(_ link: SpanLink) {
    guard let identity = link.context.spanIdentity else { return }
    change { record in
      guard record.links.count < SpanRecord.most else {
        record.droppedLinks += 1
        return
      }
      record.links.append(SpanRecord.Link(identity: identity, attributes: link.attributes))
    }
  }

  /// Once; what comes after it is forgotten.
  package func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
    let ended = state.withLock { state in
      defer { state.record = nil }
      state.name = state.record?.name ?? state.name
      return state.record
    }
    guard var record = ended else { return }
    record.end = max(record.start, instant().nanosecondsSinceEpoch)
    queue?.add(record)
  }

  private func change(_ body: (inout SpanRecord) -> Void) {
    state.withLock { state in
      if state.record != nil { body(&state.record!) }
    }
  }
}
