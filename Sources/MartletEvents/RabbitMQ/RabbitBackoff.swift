// When a lost broker is tried again: a little later each time, and not by all nodes at once. For `RabbitConnection`.

struct RabbitBackoff: Sendable {
  private let first: Duration
  private let last: Duration
  private var pause = Duration.zero
  private(set) var nextTry: ContinuousClock.Instant?

  init(_ limits: RabbitLimits) {
    (first, last) = (limits.firstPause, limits.lastPause)
  }

  func isDue(_ now: ContinuousClock.Instant) -> Bool {
    nextTry.map { $0 <= now } ?? true
  }

  /// - Parameter jitter: 0..<1
  mutating func failed(jitter: Double, now: ContinuousClock.Instant) {
    pause = pause == .zero ? first : min(pause * 2, last)
    nextTry = now + pause * (0.5 + jitter / 2)
  }

  mutating func succeeded() {
    (pause, nextTry) = (.zero, nil)
  }
}
