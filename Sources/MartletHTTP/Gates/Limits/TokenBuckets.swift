// Token buckets, many of them: for each credential its requests, for each address its failed attempts.
// Called by `Gate`.

internal import MartletEngine
internal import Synchronization

/// How much is allowed: `burst` at once, `perSecond` for good.
package struct RateLimit: Hashable, Sendable {
  /// 0.001 to 1,000,000.
  package var perSecond: Double
  /// 1 to 1,000,000.
  package var burst: Int

  package init(perSecond: Double, burst: Int) {
    self.perSecond = perSecond
    self.burst = burst
  }
}

/// A bucket is only the time at which it will be full: what is missing now is what flows in until then (the virtual
/// scheduling form of the generic cell rate algorithm, ITU-T I.371 annex A).
struct TokenBucket: Sendable {
  private var fullAt: MonotonicTime

  struct Level: Sendable, Hashable {
    /// Whether there was one to take.
    let isEnough: Bool
    /// Whole tokens there are now.
    let left: Int
    /// Until there is one; zero if there is.
    let wait: Duration
  }

  /// A full one.
  init(now: MonotonicTime) {
    fullAt = now
  }

  /// Takes one if there is one.
  mutating func take(now: MonotonicTime, _ limit: RateLimit) -> Level {
    let isEnough = content(now, limit) >= limit.interval
    if isEnough { fullAt.nanoseconds = max(fullAt, now).nanoseconds + limit.interval }
    return level(now, limit, isEnough: isEnough)
  }

  func level(now: MonotonicTime, _ limit: RateLimit) -> Level {
    level(now, limit, isEnough: content(now, limit) >= limit.interval)
  }

  private func level(_ now: MonotonicTime, _ limit: RateLimit, isEnough: Bool) -> Level {
    let content = content(now, limit)
    return Level(
      isEnough: isEnough, left: Int(content / limit.interval),
      wait: .nanoseconds(max(0, limit.interval - content)))
  }

  /// As the time in which so much flows in. Under a limit that was changed it is empty at worst.
  private func content(_ now: MonotonicTime, _ limit: RateLimit) -> Int64 {
    max(0, limit.interval * Int64(limit.burst) - max(0, fullAt.nanoseconds - now.nanoseconds))
  }
}

extension RateLimit {
  /// Nanoseconds from one token to the next.
  var interval: Int64 { Int64(1e9 / perSecond) }
}

final class TokenBuckets<Key: Hashable & Sendable>: Sendable {
  private let clock: any EngineClock
  /// One that is not there is full. A bucket is forgotten early only while more than half the capacity of others are in use.
  private let buckets: Mutex<RecentTable<Key, TokenBucket>>

  init(capacity: Int = 20_000, clock: any EngineClock) {
    self.clock = clock
    buckets = Mutex(RecentTable(capacity: capacity))
  }

  /// Takes one if there is one. What has been taken counts under another limit too.
  func take(_ key: Key, _ limit: RateLimit) -> TokenBucket.Level {
    let now = clock.now
    return buckets.withLock { buckets in
      var bucket = buckets[key] ?? TokenBucket(now: now)
      defer { buckets[key] = bucket }
      return bucket.take(now: now, limit)
    }
  }

  func level(_ key: Key, _ limit: RateLimit) -> TokenBucket.Level {
    let now = clock.now
    return buckets.withLock { ($0[key] ?? TokenBucket(now: now)).level(now: now, limit) }
  }
}
