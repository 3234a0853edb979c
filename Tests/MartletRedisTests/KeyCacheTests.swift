// Idempotency keys in Redis.

internal import MartletCore
internal import RedisServer
internal import Testing

@testable internal import MartletRedis

struct KeyCacheTests {
  private let order = RedisKeyCache.Entry(
    fingerprint: (0..<32).map { UInt8($0) * 8 }, tasks: [TaskID(high: 1, low: .max), TaskID(high: .max, low: 2)])

  @Test func `What is remembered is found under its key, in order, and gone when forgotten`() async throws {
    try await withSharedClient { client, keys in
      let cache = RedisKeyCache(client, keys)
      let odd = "}{ key: \u{7E}!\"$ " + String(repeating: "x", count: 240)
      let single = RedisKeyCache.Entry(fingerprint: [], tasks: [])
      try await cache.remember([("order-42", order), (odd, single)], for: .seconds(60))
      #expect(try await cache.find([odd, "other", "order-42"]) == [single, nil, order])
      #expect(try await cache.find([]).isEmpty)
      let ttl = try await client.call(RedisCommand("PTTL", keys.idempotency(odd))).integer ?? 0
      #expect(ttl > 30_000 && ttl <= 60_000)
      try await cache.forget(["order-42", "other"])
      try await cache.forget([])
      #expect(try await cache.find(["order-42", odd]) == [nil, single])
    }
  }

  @Test func `What is remembered for no time is not, and what is over is not found`() async throws {
    try await withSharedClient { client, keys in
      let cache = RedisKeyCache(client, keys)
      try await cache.remember([("a", order)], for: .zero)
      #expect(try await cache.find(["a"]) == [nil])
      try await cache.remember([("a", order)], for: .milliseconds(1))
      try await eventually("it is over") { try await cache.find(["a"]) == [nil] }
    }
  }

  @Test func `What somebody else has put there is not believed`() async throws {
    try await withSharedClient { client, keys in
      let cache = RedisKeyCache(client, keys)
      let written = order.written
      #expect(RedisKeyCache.Entry(written: written) == order)
      let others: [[UInt8]] = [[], [1], [2] + written.dropFirst(), Array(written.dropLast()), [1, 200, 3]]
      for bytes in others {
        var set = RedisCommand("SET", keys.idempotency("a"))
        set.add(bytes)
        try await client.call(set)
        #expect(try await cache.find(["a"]) == [nil])
      }
      try await client.call(RedisCommand("DEL", keys.idempotency("a")))
      try await client.call(RedisCommand("LPUSH", keys.idempotency("a"), "x"))
      #expect(try await cache.find(["a"]) == [nil])
    }
  }
}
