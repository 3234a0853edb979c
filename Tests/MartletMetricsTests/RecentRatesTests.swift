// The last minute: what is in it, what has left it, and how exact its latencies are.

import MartletEngine
import Testing

@Suite("Recent rates")
struct RecentRatesTests {
  private func at(_ seconds: Double) -> MonotonicTime {
    MonotonicTime(nanoseconds: Int64(seconds * 1e9))
  }

  @Test("are zero, without latencies, when nothing happened")
  func nothing() {
    let summary = RecentRates(since: at(0)).summary(at: at(30))
    #expect(summary.submittedPerSecond == 0 && summary.finishedPerSecond == 0)
    #expect(summary.finishedPerSecondByQueue.isEmpty && summary.wait == nil && summary.run == nil)
  }

  @Test("are taken over the time since counting began while that is less than a minute")
  func youngProcess() {
    let rates = RecentRates(since: at(100))
    rates.submitted(50, at: at(101))
    rates.ended("a", after: .seconds(1), at: at(109))
    rates.ended("a", after: .seconds(1), at: at(109))
    rates.ended("b", after: .seconds(1), at: at(110))
    let summary = rates.summary(at: at(110))
    #expect(summary.submittedPerSecond == 5)
    #expect(summary.finishedPerSecond == 0.3)
    #expect(summary.finishedPerSecondByQueue == ["a": 0.2, "b": 0.1])
  }

  @Test("do not make thousands a second of a first moment")
  func firstMoment() {
    let rates = RecentRates(since: at(7))
    rates.submitted(10, at: at(7.001))
    #expect(rates.summary(at: at(7.001)).submittedPerSecond == 10)
  }

  @Test("cover the current five seconds and the eleven slots before, and nothing older")
  func window() {
    let rates = RecentRates(since: at(0))
    rates.submitted(1000, at: at(99.9))
    rates.submitted(60, at: at(100))
    #expect(rates.summary(at: at(159.999)).submittedPerSecond > 1)
    #expect(rates.summary(at: at(155)).submittedPerSecond == 60.0 / 55)
    #expect(rates.summary(at: at(160)).submittedPerSecond == 0)
    rates.submitted(2, at: at(160))
    #expect(rates.summary(at: at(165)).submittedPerSecond == 2.0 / 55)
  }

  @Test("forget all of a slot when its place is used again, also after a long silence")
  func reuse() {
    let rates = RecentRates(since: at(0))
    rates.ended("a", after: .seconds(10), at: at(1))
    rates.started(waited: .seconds(10), at: at(1))
    rates.ended("b", after: .milliseconds(1), at: at(3601))
    let summary = rates.summary(at: at(3601))
    #expect(Set(summary.finishedPerSecondByQueue.keys) == ["b"])
    #expect(summary.wait == nil)
    #expect(summary.run.map { $0.p99 < 0.0011 } == true)
  }

  @Test("keep an event that comes late with the newer ones rather than lose it")
  func lateEvent() {
    let rates = RecentRates(since: at(0))
    rates.submitted(1, at: at(61))
    rates.submitted(1, at: at(1))
    #expect(rates.summary(at: at(61)).submittedPerSecond == 2.0 / 56)
  }

  @Test(
    "tell latencies within seven per cent, from a tenth of a millisecond to days",
    arguments: [0.0001, 0.001, 0.0123, 0.5, 1, 1.99, 60, 3600, 86_400, 604_800])
  func precision(seconds: Double) throws {
    let rates = RecentRates(since: at(0))
    for _ in 0..<3 { rates.started(waited: .nanoseconds(Int64(seconds * 1e9)), at: at(1)) }
    let wait = try #require(rates.summary(at: at(2)).wait)
    #expect(abs(wait.p50 / seconds - 1) < 0.07)
    #expect(wait.p50 == wait.p99)
  }

  @Test("tell the median and the ninety-ninth percentile apart")
  func percentiles() throws {
    let rates = RecentRates(since: at(0))
    for index in 1...1000 { rates.ended("q", after: .milliseconds(index), at: at(Double(index) / 20)) }
    let run = try #require(rates.summary(at: at(50)).run)
    #expect(abs(run.p50 / 0.5 - 1) < 0.07)
    #expect(abs(run.p99 / 0.99 - 1) < 0.07)
  }

  @Test("count spans beyond all measure in the last step, and negative ones in the first")
  func extremes() throws {
    let rates = RecentRates(since: at(0))
    rates.ended("q", after: .seconds(Int64.max), at: at(1))
    rates.ended("q", after: .seconds(-1), at: at(1))
    let run = try #require(rates.summary(at: at(1)).run)
    #expect(run.p50 < 0.0001 && run.p99 > 900_000)
  }

  @Test("bound the queues counted apart, not the totals")
  func manyQueues() {
    let rates = RecentRates(since: at(0))
    for index in 0..<1500 { rates.ended("q\(index)", after: .zero, at: at(1)) }
    let summary = rates.summary(at: at(1))
    #expect(summary.finishedPerSecondByQueue.count == 1000)
    #expect(summary.finishedPerSecond == 1500)
  }
}
