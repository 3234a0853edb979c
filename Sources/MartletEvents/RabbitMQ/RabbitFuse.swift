// Ends a send that hangs. librabbitmq waits for ever for a broker that has stopped reading; once nothing more can be sent on the
// socket, it gives up. What the broker had said until then can still be read.

internal import Dispatch
internal import Foundation
internal import MartletCore
internal import Synchronization

final class RabbitFuse: Sendable {
  private struct State {
    var descriptor: Int32?
    var number = 0
  }
  private let state = Mutex(State())

  /// Burns after so long, unless put out. One at a time.
  func light(_ descriptor: Int32, for duration: Duration) {
    let number = state.withLock { state in
      state.descriptor = descriptor
      state.number += 1
      return state.number
    }
    burn(number, after: duration)
  }

  /// Burns a lit one sooner.
  func shorten(to duration: Duration) {
    let number = state.withLock { $0.descriptor == nil ? nil : $0.number }
    if let number { burn(number, after: duration) }
  }

  /// To be called before the socket is closed: its number may be another's afterwards.
  func putOut() {
    state.withLock { $0.descriptor = nil }
  }

  private func burn(_ number: Int, after duration: Duration) {
    rabbitLater(duration) { [self] in
      state.withLock { state in
        guard state.number == number, let descriptor = state.descriptor else { return }
        shutdown(descriptor, Int32(SHUT_WR))
      }
    }
  }
}

/// Runs something after so long, on a thread of the system's.
func rabbitLater(_ duration: Duration, _ body: @escaping @Sendable () -> Void) {
  let milliseconds = Int(max(duration, .zero).wholeMilliseconds)
  DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(milliseconds), execute: body)
}
