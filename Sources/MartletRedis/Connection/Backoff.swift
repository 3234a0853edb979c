// How long to wait before the next try to connect: longer and longer, and never all nodes at once.

package struct Backoff: Sendable, Hashable {
  package var first: Duration
  package var longest: Duration
  private var pause = Duration.zero

  package init(first: Duration = .milliseconds(50), longest: Duration = .seconds(2)) {
    self.first = first
    self.longest = longest
  }

  /// The pause after one more failure: between a half of it and the whole.
  /// - Parameter jitter: 0..<1
  package mutating func next(jitter: Double) -> Duration {
    pause = pause == .zero ? first : min(pause * 2, longest)
    return pause * (0.5 + jitter / 2)
  }

  package mutating func reset() {
    pause = .zero
  }
}
