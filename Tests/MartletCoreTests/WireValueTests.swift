// Values as clients write them, at the places where binary numbers and loose parsers get them wrong.

import MartletCore
import Testing

@Suite struct WireValueTests {
  @Test func `every whole number of milliseconds survives being written in seconds`() {
    for milliseconds in 0...100_000 {
      #expect(Duration.wire(seconds: Double(milliseconds) / 1000) == .milliseconds(milliseconds))
    }
  }

  @Test func `what is between two milliseconds is rounded up`() {
    #expect(Duration.wire(seconds: 0.0001) == .milliseconds(1))
    #expect(Duration.wire(seconds: 2.0075) == .milliseconds(2008))
  }

  @Test(
    arguments: [
      ("-9223372036854775809", nil), ("9007199254740993.0", 9_007_199_254_740_993), ("0.99999999999999999999", nil),
      ("1e-400", nil), ("9223372036854775807.0", Int.max), ("0e9", 0), ("1.5", nil),
    ] as [(String, Int?)])
  func `a number is read as the integer that it is, or not at all`(_ text: String, _ expected: Int?) throws {
    #expect(try JSONScanner.scan(Array(text.utf8)).int == expected)
  }

  @Test func `a lease has one text`() {
    let lease = LeaseID(task: TaskID(high: 0x7000, low: 1 << 63), attempt: 1, token: 5)
    let text = lease.description
    #expect(LeaseID(text) == lease)
    #expect(LeaseID(text.replacing(".1.", with: ".+1.")) == nil)
    #expect(LeaseID(text.replacing(".1.", with: ".01.")) == nil)
    #expect(LeaseID(text.uppercased()) == nil || text.uppercased() == text)
  }

  @Test func `no rounding takes a delay past its maximum`() {
    let policy = RetryPolicy(strategy: .fixed, baseSeconds: 1, maxSeconds: 0.0006, jitter: 0)
    #expect(policy.delay(beforeRetry: 1, randomness: 0) == .zero)
  }

  @Test func `a tag's length counts bytes too`() throws {
    var task = NewTask(type: "x")
    task.tags = ["e" + String(repeating: "\u{301}", count: 1000)]
    #expect(throws: ValidationFailure.self) {
      try task.accepted(id: TaskID(high: 0x7000, low: 1 << 63), defaults: TaskDefaults(), now: .earliest)
    }
  }

  @Test func `no time is later than RFC 3339 can say`() {
    let far = When.at(Timestamp(milliseconds: .max))
    #expect(far.resolved(now: Timestamp(milliseconds: 0)) == .latest)
  }
}
