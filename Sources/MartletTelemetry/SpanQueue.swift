// Ended spans on their way out: bounded in number and bytes. Whoever ends a span never waits; what has no room is counted and gone.

internal import DequeModule
internal import MartletEngine
internal import Synchronization

package final class SpanQueue: Sendable {
  package struct Limits: Sendable {
    package var spans = 8192
    package var bytes = 16 * 1024 * 1024
    /// As many go out in one message, at once.
    package var batch = 512

    package init() {}
  }

  private let limits: Limits
  private let onDropped: @Sendable (Int) -> Void
  /// Rings when there is something, and again when there is a whole batch.
  let alarm = Alarm()
  private let state = Mutex(State())

  private struct State {
    var spans = Deque<[UInt8]>()
    var bytes = 0
    var isClosed = false
  }

  /// - Parameter onDropped: told how many spans were left out.
  package init(_ limits: Limits = Limits(), onDropped: @escaping @Sendable (Int) -> Void) {
    self.limits = limits
    self.onDropped = onDropped
  }

  package func add(_ record: SpanRecord) {
    let span = record.protobuf
    let rings = state.withLock { state -> Bool? in
      guard !state.isClosed, state.spans.count < limits.spans, state.bytes + span.count <= limits.bytes else {
        return nil
      }
      state.spans.append(span)
      state.bytes += span.count
      return state.spans.count == 1 || state.spans.count == limits.batch
    }
    guard let rings else { return onDropped(1) }
    if rings { alarm.ring() }
  }

  var isEmpty: Bool { state.withLock { $0.spans.isEmpty } }
  var hasBatch: Bool { state.withLock { $0.spans.count >= limits.batch } }

  /// The oldest, a batch of them at most.
  package func take() -> [[UInt8]] {
    state.withLock { state in
      let taken = Array(state.spans.prefix(limits.batch))
      state.spans.removeFirst(taken.count)
      state.bytes -= taken.reduce(0) { $0 + $1.count }
      return taken
    }
  }

  func dropped(_ count: Int) {
    if count > 0 { onDropped(count) }
  }

  /// Nothing more is taken; what is left is given up.
  func close() {
    let left = state.withLock { state in
      defer {
        state.isClosed = true
        state.spans = []
        state.bytes = 0
      }
      return state.spans.count
    }
    dropped(left)
  }
}
