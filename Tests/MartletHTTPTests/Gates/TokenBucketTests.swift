// How much a limit lets through, and what is told of it.

internal import HTTPTypes
internal import MartletEngine
internal import NIOCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct TokenBucketTests {
  private static let limit = RateLimit(perSecond: 2, burst: 5)
  private let start = MonotonicTime(nanoseconds: 0)

  @Test func `a burst goes through at once, then as much as flows in`() {
    var bucket = TokenBucket(now: start)
    let taken = (0..<7).map { _ in bucket.take(now: start, Self.limit) }
    #expect(taken.map(\.isEnough) == [true, true, true, true, true, false, false])
    #expect(taken.map(\.left) == [4, 3, 2, 1, 0, 0, 0])
    #expect(taken[5].wait == .milliseconds(500))

    let almost = bucket.take(now: start + .milliseconds(499), Self.limit)
    #expect(!almost.isEnough && almost.wait == .milliseconds(1))
    #expect(bucket.take(now: start + .milliseconds(500), Self.limit).isEnough)
    #expect(!bucket.take(now: start + .milliseconds(999), Self.limit).isEnough)
  }

  @Test func `it never holds more than the burst, however long nobody came`() {
    var bucket = TokenBucket(now: start)
    for _ in 0..<5 { _ = bucket.take(now: start, Self.limit) }
    let later = start + .seconds(86_400 * 365)
    #expect(bucket.level(now: later, Self.limit).left == 5)
    let taken = (0..<6).map { _ in bucket.take(now: later, Self.limit).isEnough }
    #expect(taken == [true, true, true, true, true, false])
  }

  @Test func `a limit that is changed is kept to at once, and a bucket is empty at worst`() {
    var bucket = TokenBucket(now: start)
    let slow = RateLimit(perSecond: 0.001, burst: 100)
    for _ in 0..<100 { _ = bucket.take(now: start, slow) }
    let empty = bucket.level(now: start, Self.limit)
    #expect(!empty.isEnough && empty.left == 0 && empty.wait == .milliseconds(500))
    var full = TokenBucket(now: start)
    for _ in 0..<3 { _ = full.take(now: start, Self.limit) }
    #expect(full.level(now: start, RateLimit(perSecond: 2, burst: 3)).left == 0)
    #expect(full.level(now: start, RateLimit(perSecond: 2, burst: 10)).left == 7)
  }

  @Test func `who is refused is not set back`() {
    var bucket = TokenBucket(now: start)
    for _ in 0..<1000 { _ = bucket.take(now: start, Self.limit) }
    #expect(bucket.take(now: start + .milliseconds(500), Self.limit).isEnough)
  }

  @Test(arguments: [(0.001, 1), (0.001, 1_000_000), (1_000_000, 1), (1_000_000, 1_000_000), (3, 7), (0.3, 2)])
  func `over a long time as much goes through as the limit says`(perSecond: Double, burst: Int) {
    let limit = RateLimit(perSecond: perSecond, burst: burst)
    var bucket = TokenBucket(now: start)
    // Twice as often as allowed.
    let attempts = 4000
    var through = 0
    for number in 0..<attempts {
      let now = MonotonicTime(nanoseconds: Int64(Double(number) * 0.5e9 / perSecond))
      if bucket.take(now: now, limit).isEnough { through += 1 }
    }
    #expect(abs(through - min(attempts, burst + attempts / 2)) <= 1)
  }

  @Test func `each key has a bucket of its own, and their number is bounded`() {
    let clock = HandClock()
    let buckets = TokenBuckets<Int>(capacity: 100, clock: clock)
    let limit = RateLimit(perSecond: 1, burst: 1)
    #expect(buckets.take(1, limit).isEnough && !buckets.take(1, limit).isEnough && buckets.take(2, limit).isEnough)
    #expect(!buckets.level(1, limit).isEnough && buckets.level(3, limit).isEnough)
    for key in 0..<49 { _ = buckets.take(key, limit) }
    #expect(!buckets.take(1, limit).isEnough)
  }

  @Test func `a table forgets what was not used for longest, and holds no more than its capacity`() {
    var table = RecentTable<Int, Int>(capacity: 10)
    for key in 0..<1000 {
      table[key] = key
      #expect(table.count <= 10)
      #expect(table[0] == 0, "what is used stays")
      if key > 0 { #expect(table[key] == key && table[key - 1] == key - 1) }
    }
    #expect(table[500] == nil)
    table[999] = nil
    #expect(table[999] == nil)
    table[998] = 7
    #expect(table[998] == 7)
  }

  @Test func `the header fields are those of the IETF draft`() {
    let limit = RateLimit(perSecond: 10, burst: 25)
    let fields = RateLimitFields(limit)
    var bucket = TokenBucket(now: start)
    let first = fields.fields(bucket.take(now: start, limit))
    #expect(first.map(\.name.rawName) == ["RateLimit-Policy", "RateLimit"])
    #expect(first.map(\.value) == [#""default";q=25;w=3"#, #""default";r=24;t=3"#])
    for _ in 0..<24 { _ = bucket.take(now: start, limit) }
    let refused = bucket.take(now: start, limit)
    #expect(fields.fields(refused).last?.value == #""default";r=0;t=1"#)
    #expect(RateLimitFields.retryAfter(refused) == 1)
  }

  @Test func `a long wait is told in whole seconds, rounded up`() {
    let limit = RateLimit(perSecond: 0.3, burst: 1)
    var bucket = TokenBucket(now: start)
    _ = bucket.take(now: start, limit)
    #expect(RateLimitFields.retryAfter(bucket.take(now: start, limit)) == 4)
    #expect(RateLimitFields.retryAfter(bucket.take(now: start + .milliseconds(3300), limit)) == 1)
  }

  @Test(arguments: [
    ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false), ("192.0.2.1", "::ffff:192.0.2.1", true),
    ("2001:db8::1", "2001:db8::2", true), ("2001:db8::1", "2001:db8:0:1::1", false), ("::1", "0.0.0.0", false),
    ("::1", "127.0.0.1", false), ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
  ])
  func `an IPv4 address counts whole, of an IPv6 address the first half`(one: String, other: String, isSame: Bool)
    throws
  {
    let addresses = try [one, other].map { ClientAddress(try SocketAddress(ipAddress: $0, port: 80)) }
    #expect(addresses[0] != nil && addresses[1] != nil)
    #expect((addresses[0] == addresses[1]) == isSame)
    #expect(ClientAddress(nil) == nil)
    #expect(ClientAddress(try SocketAddress(unixDomainSocketPath: "/tmp/x")) == nil)
  }
}
