// Tells the operator of trouble that clients met, without a line for each of thousands of requests: at most one a
// second, with the number of those left out. Called by the routes and the responder.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import Synchronization

final class TroubleLog: Sendable {
  private let logger: Logger
  private let clock: any EngineClock
  private let state = Mutex(State())

  private struct State {
    var quietUntil: MonotonicTime?
    var leftOut = 0
  }

  init(logger: Logger, clock: any EngineClock) {
    self.logger = logger
    self.clock = clock
  }

  func store(_ error: StoreError) {
    log("requests fail because the store does: \(error.message)")
  }

  func notReady(_ detail: String) {
    log("not ready: \(detail)")
  }

  func unexpected(_ error: any Error) {
    log("a request failed unexpectedly: \(error)")
  }

  private func log(_ message: @autoclosure () -> String) {
    let now = clock.now
    let leftOut = state.withLock { state -> Int? in
      if let quietUntil = state.quietUntil, now < quietUntil {
        state.leftOut += 1
        return nil
      }
      defer { state = State(quietUntil: now + .seconds(1)) }
      return state.leftOut
    }
    guard let leftOut else { return }
    logger.error("\(message())", metadata: leftOut > 0 ? ["similar": "\(leftOut)"] : nil)
  }
}
