// How long to wait before the next attempt. Pure: the random part is handed in.

internal import Foundation

/// Backoff between attempts. All times in seconds.
public struct RetryPolicy: Sendable, Hashable, Codable {
  public enum Strategy: String, CaseIterable, Sendable, Codable {
    /// base · factorⁿ, n = retries already made within the budget: the first delay is the base
    case exponential
    /// base · (n + 1)
    case linear
    case fixed
  }

  public var strategy: Strategy
  public var baseSeconds: Double
  /// Only the exponential strategy uses it.
  public var factor: Double
  /// No delay is longer, jitter included.
  public var maxSeconds: Double
  /// 0…1: the share of the delay that is random. 0.2 gives 80 % to 100 % of the delay.
  public var jitter: Double

  public init(
    strategy: Strategy = .exponential, baseSeconds: Double = 1, factor: Double = 2, maxSeconds: Double = 3600,
    jitter: Double = 0.2
  ) {
    self.strategy = strategy
    self.baseSeconds = baseSeconds
    self.factor = factor
    self.maxSeconds = maxSeconds
    self.jitter = jitter
  }

  /// The wait before retry number `retry` (1 is the first of the budget); `randomness` is uniform in 0..<1.
  /// Never negative, never above `maxSeconds`, finite for every retry count.
  package func delay(beforeRetry retry: Int, randomness: Double) -> Duration {
    let made = Double(max(0, retry - 1))
    let raw =
      switch strategy {
      case .exponential: baseSeconds * pow(factor, made)
      case .linear: baseSeconds * (made + 1)
      case .fixed: baseSeconds
      }
    let capped = raw.isFinite ? min(max(0, raw), maxSeconds) : maxSeconds  // 0 · ∞ is not a number
    let milliseconds = (capped * (1 - jitter * randomness) * 1000).rounded()
    return .milliseconds(Int64(min(milliseconds, (maxSeconds * 1000).rounded(.down))))
  }
}
