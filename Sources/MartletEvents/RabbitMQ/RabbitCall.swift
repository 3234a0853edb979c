// Somebody's wait for the connection's thread, which ends once: by the thread's answer, or because it took too long. For
// `RabbitConnection`; its thread may hang in the name service, where no time limit reaches.

internal import Synchronization

final class RabbitCall<Answer: Sendable>: Sendable {
  private struct State {
    var continuation: CheckedContinuation<Answer, Never>?
    var isOver = false
  }
  private let state = Mutex(State())

  func begin(_ continuation: CheckedContinuation<Answer, Never>) {
    state.withLock { $0.continuation = continuation }
  }

  /// Whether the thread may as well stop: nobody wants the answer.
  var isOver: Bool { state.withLock(\.isOver) }

  func cancel() {
    state.withLock { $0.isOver = true }
  }

  /// Only the first counts.
  func answer(_ answer: Answer) {
    let continuation = state.withLock { state in
      defer { state = State(isOver: true) }
      return state.continuation
    }
    continuation?.resume(returning: answer)
  }
}
