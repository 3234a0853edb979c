// Token buckets that all nodes share. The arithmetic is that of the buckets that a node has for itself (`TokenBucket` in
// MartletHTTP), in nanoseconds, so that both give the same answers; the clock is Redis' own.

internal import MartletCore

package struct RedisRateLimits: Sendable {
  private let client: RedisClient
  private let keys: RedisKeys

  package struct Limit: Sendable, Hashable {
    package var perSecond: Double
    package var burst: Int

    package init(perSecond: Double, burst: Int) {
      self.perSecond = perSecond
      self.burst = burst
    }

    /// Nanoseconds from one token to the next.
    var interval: Int64 { Int64(1e9 / perSecond) }
  }

  package struct Level: Sendable, Hashable {
    /// Whether the tokens were there, and are taken.
    package let isAllowed: Bool
    /// Whole tokens there are now.
    package let remaining: Int
    /// Until there are as many as were asked for; zero if there are.
    package let retryAfter: Duration
  }

  package init(_ client: RedisClient, _ keys: RedisKeys) {
    self.client = client
    self.keys = keys
  }

  /// Takes tokens if there are so many.
  package func take(_ key: String, cost: Int = 1, _ limit: Limit) async throws(RedisError) -> Level {
    try await ask(key, cost: cost, limit, mayTake: true)
  }

  /// Takes none.
  package func level(_ key: String, cost: Int = 1, _ limit: Limit) async throws(RedisError) -> Level {
    try await ask(key, cost: cost, limit, mayTake: false)
  }

  /// - Parameter at: microseconds, for tests; nil for the clock of Redis.
  func ask(
    _ key: String, cost: Int, _ limit: Limit, mayTake: Bool, at: Int64? = nil
  ) async throws(RedisError) -> Level {
    let arguments = RedisCommand(
      "\(limit.interval)", "\(limit.burst)", "\(cost)", mayTake ? "1" : "0", at.map { String($0) } ?? "")
    let call = RedisScript.Call(keys: [keys.rate(key)], arguments)
    let reply = try await client.run(Self.script, [call])[0]
    let numbers = (reply.array ?? []).compactMap(\.integer)
    guard numbers.count == 3 else { throw .refused("Redis answered a question about a rate limit with nonsense") }
    return Level(isAllowed: numbers[0] == 1, remaining: Int(numbers[1]), retryAfter: .nanoseconds(numbers[2]))
  }

  /// A bucket is what is missing in it, as the time in which so much flows in, and when that was so. A full one needs no key.
  /// Doubles are exact up to 104 days of missing tokens.
  private static let script = RedisScript(
    """
    local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local now = tonumber(ARGV[5])
    if not now then
      local time = redis.call('TIME')
      now = time[1] * 1000000 + time[2]
    end
    local missing, since = 0, now
    local bucket = redis.call('GET', KEYS[1])
    if bucket then
      local space = string.find(bucket, ' ', 1, true)
      missing, since = tonumber(string.sub(bucket, 1, space - 1)), tonumber(string.sub(bucket, space + 1))
    end
    missing = math.max(0, missing - math.max(0, now - since) * 1000)
    local isEnough = interval * burst - missing >= interval * cost
    if isEnough and ARGV[4] == '1' then missing = missing + interval * cost end
    if missing > 0 and (isEnough or now < since) and ARGV[4] == '1' then
      redis.call('SET', KEYS[1], string.format('%.0f %.0f', missing, now), 'PX', math.ceil(missing / 1000000) + 1)
    end
    local content = interval * burst - missing
    return {isEnough and 1 or 0, math.max(0, math.floor(content / interval)), math.max(0, interval * cost - content)}
    """)
}
