// How long retries wait: the shape of each strategy, its bounds, and that no setting can make a wait endless or
// negative.

import MartletCore
import Testing

private let strategies = RetryPolicy.Strategy.allCases
/// The greatest number that a die uniform in 0..<1 can show.
private let almostOne = 1.0.nextDown

@Suite struct RetryPolicyTests {
  private func policy(
    _ strategy: RetryPolicy.Strategy, base: Double = 2, factor: Double = 3, max: Double = 1_000_000, jitter: Double = 0
  ) -> RetryPolicy {
    RetryPolicy(strategy: strategy, baseSeconds: base, factor: factor, maxSeconds: max, jitter: jitter)
  }

  private func seconds(_ policy: RetryPolicy, _ retries: [Int]) -> [Double] {
    retries.map { policy.delay(beforeRetry: $0, randomness: 0).secondsAsDouble }
  }

  @Test(arguments: strategies)
  func `the first delay is the base`(strategy: RetryPolicy.Strategy) {
    #expect(seconds(policy(strategy), [1]) == [2])
    #expect(seconds(policy(strategy, base: 0.25), [1]) == [0.25])
  }

  @Test func `exponential delays grow by the factor`() {
    #expect(seconds(policy(.exponential), [1, 2, 3, 4, 5]) == [2, 6, 18, 54, 162])
  }

  @Test func `linear delays grow by the base, whatever the factor`() {
    #expect(seconds(policy(.linear), [1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10])
  }

  @Test func `fixed delays do not grow`() {
    #expect(seconds(policy(.fixed), [1, 2, 3, 4, 100]) == [2, 2, 2, 2, 2])
  }

  @Test func `the defaults are an exponential second, doubled, at most an hour, a fifth of it random`() {
    let policy = RetryPolicy()
    #expect(seconds(policy, [1, 2, 3, 12, 13, 100]) == [1, 2, 4, 2048, 3600, 3600])
    #expect(policy.delay(beforeRetry: 13, randomness: 0.5) == .seconds(3240))
  }

  @Test func `no delay is longer than the maximum`() {
    #expect(seconds(policy(.exponential, max: 50), [3, 4, 5]) == [18, 50, 50])
    #expect(seconds(policy(.linear, max: 5), [2, 3, 100]) == [4, 5, 5])
    #expect(seconds(policy(.fixed, max: 1), [1]) == [1])
    #expect(seconds(policy(.fixed, max: 0), [1]) == [0])
  }

  @Test(arguments: strategies)
  func `jitter takes nothing at least and its share at most`(strategy: RetryPolicy.Strategy) {
    let policy = policy(strategy, base: 100, jitter: 0.2)
    #expect(policy.delay(beforeRetry: 1, randomness: 0) == .seconds(100))
    #expect(policy.delay(beforeRetry: 1, randomness: 0.5) == .seconds(90))
    #expect(policy.delay(beforeRetry: 1, randomness: almostOne) == .seconds(80))
  }

  @Test func `jitter is taken from the capped delay`() {
    let policy = policy(.exponential, max: 10, jitter: 0.5)
    #expect(policy.delay(beforeRetry: 50, randomness: 0.5) == .milliseconds(7500))
    #expect(policy.delay(beforeRetry: 50, randomness: almostOne) == .seconds(5))
  }

  @Test func `full jitter reaches from the whole delay down to nothing`() {
    let policy = policy(.fixed, base: 10, jitter: 1)
    #expect(policy.delay(beforeRetry: 1, randomness: 0) == .seconds(10))
    #expect(policy.delay(beforeRetry: 1, randomness: almostOne) == .zero)
  }

  @Test func `the hundredth retry at the steepest factor waits the maximum`() {
    let policy = policy(.exponential, base: 1, factor: 1000, max: 7200)
    #expect(seconds(policy, [2, 3, 99, 100, 101, 1000]) == [1000, 7200, 7200, 7200, 7200, 7200])
  }

  @Test func `growth beyond all numbers waits the maximum`() {
    let policy = policy(.exponential, base: 3_155_760_000, factor: 1000, max: 3_155_760_000)
    #expect(seconds(policy, [100, 1000]) == [3_155_760_000, 3_155_760_000])
  }

  @Test(arguments: strategies)
  func `a base of nothing never waits`(strategy: RetryPolicy.Strategy) {
    #expect(seconds(policy(strategy, base: 0, factor: 1000, jitter: 1), [1, 2, 50, 100]) == [0, 0, 0, 0])
  }

  @Test(arguments: strategies)
  func `a retry before the first counts as the first`(strategy: RetryPolicy.Strategy) {
    #expect(seconds(policy(strategy), [0, -1, .min + 1]) == [2, 2, 2])
  }

  @Test func `delays are whole milliseconds, to the nearest`() {
    #expect(policy(.fixed, base: 0.0014).delay(beforeRetry: 1, randomness: 0) == .milliseconds(1))
    #expect(policy(.fixed, base: 0.0016).delay(beforeRetry: 1, randomness: 0) == .milliseconds(2))
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func `every delay is between its jittered floor and the maximum`(seed: UInt64) {
    let random = RandomSource(seed: seed)
    for _ in 0..<500 {
      let maximum = random.below(100_000_000)
      let policy = RetryPolicy(
        strategy: strategies[random.below(strategies.count)], baseSeconds: random.fraction() * 10_000,
        factor: 1 + random.fraction() * 999, maxSeconds: Double(maximum) / 1000, jitter: random.fraction())
      let retry = 1 + random.below(100)
      let delay = policy.delay(beforeRetry: retry, randomness: random.fraction())
      let whole = policy.delay(beforeRetry: retry, randomness: 0)
      let floor = whole.secondsAsDouble * (1 - policy.jitter)
      #expect(delay >= .zero && delay <= whole && whole <= .milliseconds(maximum), "\(policy), retry \(retry)")
      #expect(delay.secondsAsDouble >= floor - 0.001, "\(policy), retry \(retry)")
      #expect(policy.delay(beforeRetry: retry + 1, randomness: 0) >= whole, "\(policy), retry \(retry)")
    }
  }
}
