// When a call is sent again, and after how long. Pure; `Transport` asks it after each failed exchange of one call.

/// What is left of `MartletClient.Retries` within one call.
struct RetryBudget {
  private var whileUnreachable: Duration
  private var whenAsked: Duration
  private var next = Duration.milliseconds(100)

  init(_ retries: MartletClient.Retries) {
    whileUnreachable = retries.whileUnreachable
    whenAsked = retries.whenAsked
  }

  /// How long to wait before the next attempt; nil to give up.
  /// - Parameter repeatable: The call may be carried out twice.
  mutating func pause(after failure: ExchangeFailure, repeatable: Bool) -> Duration? {
    switch failure {
    case .unreachable:
      return growingPause()
    case .broken:
      return repeatable ? growingPause() : nil
    case .refused(let problem):
      guard !problem.outcomeIsUnknown || repeatable else { return nil }
      switch (problem.status, problem.retryAfter) {
      case (429, let asked?), (503, let asked?): return askedPause(asked)
      // A proxy that cannot reach its server.
      case (502, _), (503, _), (504, _): return repeatable ? growingPause() : nil
      default: return nil
      }
    case .cancelled, .timedOut, .unexpected, .invalid, .shutDown:
      return nil
    }
  }

  private mutating func growingPause() -> Duration? {
    guard next <= whileUnreachable else { return nil }
    defer { next = min(next * 2, .seconds(2)) }
    whileUnreachable -= next
    return next
  }

  private mutating func askedPause(_ asked: Duration) -> Duration? {
    let pause = max(asked, .milliseconds(100))  // a server that asks for no pause must still not be hammered
    guard pause <= whenAsked else { return nil }
    whenAsked -= pause
    return pause
  }
}

/// Time as the client needs it: how much has passed, and pauses.
package struct ClientClock: Sendable {
  package var now: @Sendable () -> ContinuousClock.Instant
  package var pause: @Sendable (Duration) async throws -> Void

  package init(
    now: @escaping @Sendable () -> ContinuousClock.Instant, pause: @escaping @Sendable (Duration) async throws -> Void
  ) {
    self.now = now
    self.pause = pause
  }

  package static let system = ClientClock(
    now: { ContinuousClock.now }, pause: { try await ContinuousClock().sleep(for: $0) })
}
