// The token bucket of a queue's rate, as a value: what a claim may take now, and when there will be more. Decided here for all
// stores; PostgreSQL says the same in SQL.

/// Fills at a rate up to its capacity; each attempt that is begun takes one token. (Turner, "New directions in communications",
/// 1986, describes the leaky bucket as a meter, which is this.)
package struct RateBucket: Sendable, Hashable {
  package private(set) var tokens: Double
  /// When it held these.
  package private(set) var countedAt: Timestamp

  package init(tokens: Double, countedAt: Timestamp) {
    self.tokens = tokens
    self.countedAt = countedAt
  }

  /// A full one, as every queue begins that is given a rate.
  package init(full settings: QueueSettings, at now: Timestamp) {
    self.init(tokens: settings.capacity, countedAt: now)
  }

  /// Counts what has come in since. A clock that was set back brings nothing.
  package mutating func refill(_ settings: QueueSettings, now: Timestamp) {
    let seconds = max(0, (now - countedAt).secondsAsDouble)
    tokens = min(settings.capacity, tokens + seconds * (settings.ratePerSecond ?? 0))
    countedAt = now
  }

  /// Whole tokens. A little less than one is one: sums of fractions do not come out even.
  package var whole: Int { max(0, Int((tokens + 1e-6).rounded(.down))) }

  package mutating func take(_ count: Int) {
    tokens -= Double(count)
  }

  /// How long until it holds one token.
  package func nextIn(_ settings: QueueSettings) -> Duration {
    guard whole < 1, let rate = settings.ratePerSecond, rate > 0 else { return .zero }
    return .milliseconds(Int64(((1 - tokens) / rate * 1000).rounded(.up)))
  }
}
