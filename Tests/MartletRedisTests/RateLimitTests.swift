// Token buckets in Redis: the same answers as a node's own.

internal import MartletCore
internal import RedisServer
internal import Testing

@testable internal import MartletRedis

struct RateLimitTests {
  /// A bucket as a node has it for itself: the time at which it will be full.
  private struct Model {
    var fullAt: Int64 = 0

    mutating func take(now: Int64, _ limit: RedisRateLimits.Limit) -> RedisRateLimits.Level {
      func content() -> Int64 { limit.interval * Int64(limit.burst) - max(0, fullAt - now) }
      let isEnough = content() >= limit.interval
      if isEnough { fullAt = max(fullAt, now) + limit.interval }
      return RedisRateLimits.Level(
        isAllowed: isEnough, remaining: Int(content() / limit.interval),
        retryAfter: .nanoseconds(max(0, limit.interval - content())))
    }
  }

  // So slow that no key is gone by Redis' own clock while the test's stands still.
  @Test(arguments: [
    RedisRateLimits.Limit(perSecond: 0.1, burst: 5), .init(perSecond: 0.3, burst: 1),
    .init(perSecond: 0.07, burst: 100),
    .init(perSecond: 0.001, burst: 2), .init(perSecond: 1 / 3, burst: 7),
  ])
  func `It answers as the bucket of a single node does`(_ limit: RedisRateLimits.Limit) async throws {
    try await withSharedClient { client, keys in
      let limits = RedisRateLimits(client, keys)
      let random = RandomSource(seed: 42)
      var model = Model()
      var now: Int64 = 1_700_000_000_000_000
      var allowed = 0
      for step in 0..<400 {
        // In bursts, with pauses in between.
        let gap = Double(limit.interval) / 1000 * (step % 20 == 0 ? 6 : 0.6)
        now += Int64(random.fraction() * gap)
        let level = try await limits.ask("k", cost: 1, limit, mayTake: true, at: now)
        #expect(level == model.take(now: now * 1000, limit))
        allowed += level.isAllowed ? 1 : 0
      }
      #expect(allowed > 0 && allowed < 400)
    }
  }

  @Test func `The burst is had at once, then nothing, and the wait is told`() async throws {
    try await withSharedClient { client, keys in
      let limits = RedisRateLimits(client, keys)
      let limit = RedisRateLimits.Limit(perSecond: 0.01, burst: 3)
      for left in [2, 1, 0] {
        let level = try await limits.take("a", limit)
        #expect(level.isAllowed && level.remaining == left)
      }
      let refused = try await limits.take("a", limit)
      #expect(!refused.isAllowed && refused.remaining == 0)
      #expect(refused.retryAfter > .seconds(50) && refused.retryAfter <= .seconds(100))
      #expect(try await limits.level("a", limit).remaining == 0)
      let other = try await limits.level("b", limit)
      #expect(other == .init(isAllowed: true, remaining: 3, retryAfter: .zero))
      let ttl = try await client.call(RedisCommand("PTTL", keys.rate("a"))).integer ?? 0
      #expect(ttl > 200_000 && ttl <= 300_001)
      #expect(try await client.call(RedisCommand("EXISTS", keys.rate("b"))).integer == 0)
    }
  }

  @Test func `What costs more takes more, or nothing`() async throws {
    try await withSharedClient { client, keys in
      let limits = RedisRateLimits(client, keys)
      let limit = RedisRateLimits.Limit(perSecond: 1, burst: 10)
      let now: Int64 = 1_700_000_000_000_000
      let first = try await limits.ask("a", cost: 8, limit, mayTake: true, at: now)
      #expect(first == .init(isAllowed: true, remaining: 2, retryAfter: .seconds(6)))
      let second = try await limits.ask("a", cost: 3, limit, mayTake: true, at: now)
      #expect(second == .init(isAllowed: false, remaining: 2, retryAfter: .seconds(1)))
      let third = try await limits.ask("a", cost: 3, limit, mayTake: true, at: now + 1_000_000)
      #expect(third == .init(isAllowed: true, remaining: 0, retryAfter: .seconds(3)))
    }
  }

  @Test func `A clock that was set back brings nothing, and stops nothing for good`() async throws {
    try await withSharedClient { client, keys in
      let limits = RedisRateLimits(client, keys)
      let limit = RedisRateLimits.Limit(perSecond: 0.1, burst: 1)
      let now: Int64 = 1_700_000_000_000_000
      #expect(try await limits.ask("a", cost: 1, limit, mayTake: true, at: now).isAllowed)
      let hour: Int64 = 3_600_000_000
      let back = try await limits.ask("a", cost: 1, limit, mayTake: true, at: now - hour)
      #expect(back == .init(isAllowed: false, remaining: 0, retryAfter: .seconds(10)))
      #expect(try await limits.ask("a", cost: 1, limit, mayTake: true, at: now - hour + 10_000_000).isAllowed)
    }
  }

  @Test func `Many nodes at once get no more than one would`() async throws {
    let url = try await RedisServer.shared.url()
    let keys = newInstallation()
    let limit = RedisRateLimits.Limit(perSecond: 0.001, burst: 50)
    let allowed = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<4 {
        group.addTask {
          try await withClient(url) { client in
            var allowed = 0
            for _ in 0..<50 where try await RedisRateLimits(client, keys).take("a", limit).isAllowed { allowed += 1 }
            return allowed
          }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(allowed == 50)
  }
}
