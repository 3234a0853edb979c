// What limited credentials are told of their limit, by draft-ietf-httpapi-ratelimit-headers-11 (May 2026; the syntax is the
// same since -08). Called by `Gate`.

internal import HTTPTypes

struct RateLimitFields: Sendable {
  private let limit: RateLimit
  private let policy: String

  init(_ limit: RateLimit) {
    self.limit = limit
    let window = Self.wholeSeconds(.nanoseconds(limit.interval * Int64(limit.burst)))
    policy = #""default";q=\#(limit.burst);w=\#(window)"#
  }

  /// `t` is the time in which what is left flows in again: whoever spreads it over that long keeps the pace for good. With
  /// nothing left it is the wait for the next one, the same as `Retry-After`.
  func fields(_ level: TokenBucket.Level) -> [(name: HTTPField.Name, value: String)] {
    let time =
      level.left > 0 ? Self.wholeSeconds(.nanoseconds(limit.interval * Int64(level.left))) : Self.retryAfter(level)
    return [(.rateLimitPolicy, policy), (.rateLimit, #""default";r=\#(level.left);t=\#(time)"#)]
  }

  static func retryAfter(_ level: TokenBucket.Level) -> Int {
    wholeSeconds(level.wait)
  }

  /// Rounded up, at least 1.
  private static func wholeSeconds(_ duration: Duration) -> Int {
    let (seconds, rest) = duration.components
    return max(1, Int(seconds) + (rest > 0 ? 1 : 0))
  }
}

extension HTTPField.Name {
  static let rateLimit = HTTPField.Name("RateLimit")!
  static let rateLimitPolicy = HTTPField.Name("RateLimit-Policy")!
}
