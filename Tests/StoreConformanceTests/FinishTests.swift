// What each end of an attempt makes of its task. The decisions themselves are tested with `Transition`; here it is what the
// store writes down of them.

import MartletCore
import MartletTestKit
import Testing

@Suite struct FinishTests {
  @Test(arguments: stores)
  func `a success is final, with its result, its time and one event`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      var expected = try await bench.record()
      bench.advance(.seconds(3))
      let now = start + .seconds(3)
      #expect(try await bench.finish(claimed.lease, .success(result: Array("[1]".utf8))) == .applied(.success))
      expected.status = .success
      expected.result = Array("[1]".utf8)
      expected.finishedAt = now
      expected.updatedAt = now
      expected.sequence = 4
      #expect(try await bench.record() == expected)
      #expect(try await bench.events().last == event(4, .succeeded, now, by: "worker-1"))
      #expect(
        try await bench.attempts() == [
          AttemptRecord(
            number: 1, worker: "worker-1", startedAt: start, finishedAt: now, outcome: .success, error: nil, logs: [])
        ])
    }
  }

  @Test(arguments: stores)
  func `a failure with retries left waits out its backoff in RETRY`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(
        .stub(retries: 1, backoff: RetryPolicy(strategy: .fixed, baseSeconds: 12.5, jitter: 0)))
      var expected = try await bench.record()
      bench.advance(.seconds(3))
      let now = start + .seconds(3)
      #expect(try await bench.finish(claimed.lease, .failed, logs: ["a line"]) == .applied(.retry))
      expected.status = .retry
      expected.availableAt = now + .milliseconds(12_500)
      expected.lastError = .stub
      expected.updatedAt = now
      expected.sequence = 5
      #expect(try await bench.record() == expected)
      #expect(
        try await bench.events().suffix(2) == [
          event(4, .failed, now, by: "worker-1", "FAILED"), event(5, .retry, now, by: "worker-1"),
        ])
      #expect(
        try await bench.attempts() == [
          AttemptRecord(
            number: 1, worker: "worker-1", startedAt: start, finishedAt: now, outcome: .failed, error: .stub,
            logs: ["a line"])
        ])
    }
  }

  @Test(arguments: stores)
  func `a failure without retries left is DEAD`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(retries: 0))
      var expected = try await bench.record()
      bench.advance(.seconds(3))
      let now = start + .seconds(3)
      #expect(try await bench.finish(claimed.lease, .failed) == .applied(.dead))
      expected.status = .dead
      expected.reason = .retriesExhausted
      expected.lastError = .stub
      expected.finishedAt = now
      expected.updatedAt = now
      expected.sequence = 5
      #expect(try await bench.record() == expected)
      #expect(
        try await bench.events().suffix(2) == [
          event(4, .failed, now, by: "worker-1", "FAILED"), event(5, .dead, now, by: "worker-1", "RETRIES_EXHAUSTED"),
        ])
    }
  }

  @Test(arguments: stores)
  func `a task has one attempt more than retries, and no more`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(retries: 3))
      var verdicts: [FinishVerdict?] = []
      for _ in 1...4 {
        verdicts.append(try await bench.finish(try await bench.claimOne().lease, .failed))
        bench.advance(.seconds(1))
        try await bench.promote()
      }
      #expect(verdicts == [.applied(.retry), .applied(.retry), .applied(.retry), .applied(.dead)])
      #expect(try await bench.record().attempt == 4)
      #expect(try await bench.record().maxAttempts == 4)
      #expect(try await bench.claim() == [])
    }
  }

  @Test(arguments: stores)
  func `the backoff grows with each retry of the budget`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(retries: 4, backoff: RetryPolicy(baseSeconds: 1, factor: 3, maxSeconds: 20, jitter: 0)))
      var delays: [Duration] = []
      for _ in 1...4 {
        try await bench.finish(try await bench.claimOne().lease, .failed)
        delays.append(try await bench.record().availableAt - bench.now)
        bench.advance(.seconds(60))
        try await bench.promote()
      }
      #expect(delays == [.seconds(1), .seconds(3), .seconds(9), .seconds(20)])
    }
  }

  @Test(arguments: stores)
  func `the jitter is that of the report's randomness`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let backoff = RetryPolicy(strategy: .fixed, baseSeconds: 100, jitter: 0.5)
      for (number, randomness) in [0, 0.5, 0.999].enumerated() {
        let claimed = try await bench.running(.stub(number, backoff: backoff))
        try await bench.finish(claimed.lease, .failed, randomness: randomness)
        #expect(
          try await bench.record(.stub(number)).availableAt
            == start + backoff.delay(beforeRetry: 1, randomness: randomness))
      }
      #expect(try await bench.record(.stub(1)).availableAt == start + .seconds(75))
    }
  }

  @Test(arguments: stores)
  func `a failure's own delay replaces the backoff, but not the budget`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(retries: 1))
      let advice = Outcome.failed(.stub, .retryAfter(.milliseconds(7654)))
      #expect(try await bench.finish(try await bench.claimOne().lease, advice, randomness: 0.9) == .applied(.retry))
      #expect(try await bench.record().availableAt == start + .milliseconds(7654))
      bench.advance(.seconds(8))
      try await bench.promote()
      #expect(try await bench.finish(try await bench.claimOne().lease, advice) == .applied(.dead))
      #expect(try await bench.record().reason == .retriesExhausted)
    }
  }

  @Test(arguments: stores, [FinalReason.nonRetryable, .badPayload])
  func `a failure that no retry can mend is DEAD at once`(store: StoreUnderTest, reason: FinalReason) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(retries: 50))
      #expect(try await bench.finish(claimed.lease, .failed(.stub, .giveUp(reason))) == .applied(.dead))
      #expect(try await bench.record().reason == reason)
      #expect(
        try await bench.events().suffix(2) == [
          event(4, .failed, start, by: "worker-1", "FAILED"), event(5, .dead, start, by: "worker-1", reason.rawValue),
        ])
    }
  }

  @Test(arguments: stores)
  func `a timeout that the worker reports is a failure with an error of its own`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(retries: 1))
      #expect(try await bench.finish(claimed.lease, .timedOut) == .applied(.retry))
      #expect(try await bench.record().lastError?.type == "TIMEOUT")
      #expect(try await bench.attempts().map(\.outcome) == [.timedOut])
      #expect(try await bench.attempts().map(\.error) == [Outcome.timedOut.error])
      #expect(
        try await bench.events().suffix(2) == [
          event(4, .failed, start, by: "worker-1", "TIMED_OUT"), event(5, .retry, start, by: "worker-1"),
        ])
    }
  }

  @Test(arguments: stores)
  func `an attempt that the worker reports cancelled cancels its task`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      var expected = try await bench.record()
      #expect(try await bench.finish(claimed.lease, .cancelled) == .applied(.cancelled))
      expected.status = .cancelled
      expected.reason = .requested
      expected.finishedAt = start
      expected.sequence = 4
      #expect(try await bench.record() == expected)
      #expect(try await bench.events().last == event(4, .cancelled, start, by: "worker-1", "REQUESTED"))
      #expect(try await bench.attempts().map(\.outcome) == [.cancelled])
    }
  }

  @Test(arguments: stores)
  func `a snooze waits in PENDING and gives the attempt back`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(retries: 2))
      var expected = try await bench.record()
      bench.advance(.seconds(1))
      let now = start + .seconds(1)
      #expect(try await bench.finish(claimed.lease, .snoozed(.milliseconds(1500))) == .applied(.pending))
      expected.status = .pending
      expected.availableAt = now + .milliseconds(1500)
      expected.maxAttempts = 4
      expected.updatedAt = now
      expected.sequence = 4
      #expect(try await bench.record() == expected)
      #expect(try await bench.record().retriesLeft == 3)
      #expect(try await bench.events().last == event(4, .snoozed, now, by: "worker-1"))
      #expect(try await bench.attempts().map(\.outcome) == [.snoozed])
    }
  }

  @Test(arguments: stores)
  func `a release is READY at once and gives the attempt back`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(retries: 2))
      var expected = try await bench.record()
      bench.advance(.seconds(1))
      let now = start + .seconds(1)
      #expect(try await bench.finish(claimed.lease, .released) == .applied(.ready))
      expected.status = .ready
      expected.availableAt = now
      expected.maxAttempts = 4
      expected.updatedAt = now
      expected.sequence = 5
      #expect(try await bench.record() == expected)
      #expect(
        try await bench.events().suffix(2) == [
          event(4, .released, now, by: "worker-1"), event(5, .ready, now, by: "worker-1"),
        ])
      bench.advance(.seconds(1))
      #expect(try await bench.claimOne().readyAt == now)
    }
  }

  @Test(arguments: stores)
  func `snoozes and releases never use up the budget, nor count in the backoff`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(retries: 1, backoff: RetryPolicy(baseSeconds: 2, factor: 10, jitter: 0)))
      for round in 1...20 {
        let claimed = try await bench.claimOne()
        #expect(claimed.attempt == round)
        try await bench.finish(claimed.lease, round.isMultiple(of: 2) ? .snoozed(.zero) : .released)
        try await bench.promote()
      }
      #expect(try await bench.finish(try await bench.claimOne().lease, .failed) == .applied(.retry))
      #expect(try await bench.record().availableAt == start + .seconds(2))
      bench.advance(.seconds(2))
      try await bench.promote()
      #expect(try await bench.finish(try await bench.claimOne().lease, .failed) == .applied(.dead))
      #expect(try await bench.record().attempt == 22)
    }
  }

  @Test(arguments: stores)
  func `after a requested cancellation all but a success is CANCELLED`(store: StoreUnderTest) async throws {
    let expected: [(Outcome, TaskStatus, [TaskEventType], [String?])] = [
      (.success(result: Array("1".utf8)), .success, [.succeeded], [nil]),
      (.failed(.stub, .retry), .cancelled, [.failed, .cancelled], ["FAILED", "REQUESTED"]),
      (.failed(.stub, .retryAfter(.seconds(9))), .cancelled, [.failed, .cancelled], ["FAILED", "REQUESTED"]),
      (.failed(.stub, .giveUp(.badPayload)), .cancelled, [.failed, .cancelled], ["FAILED", "REQUESTED"]),
      (.timedOut, .cancelled, [.failed, .cancelled], ["TIMED_OUT", "REQUESTED"]),
      (.cancelled, .cancelled, [.cancelled], ["REQUESTED"]),
      (.snoozed(.seconds(9)), .cancelled, [.cancelled], ["REQUESTED"]),
      (.released, .cancelled, [.cancelled], ["REQUESTED"]),
    ]
    try await store.onBench { bench in
      for (number, (outcome, status, types, causes)) in expected.enumerated() {
        let claimed = try await bench.running(.stub(number))
        try await bench.steer(.cancel, .stub(number))
        let before = try await bench.record(.stub(number))
        #expect(try await bench.finish(claimed.lease, outcome) == .applied(status))
        let task = try await bench.record(.stub(number))
        #expect(task.status == status)
        #expect(task.reason == (status == .cancelled ? .requested : nil))
        #expect(task.finishedAt == start)
        #expect(task.cancelRequested)
        #expect(task.maxAttempts == before.maxAttempts)
        #expect(task.availableAt == before.availableAt)
        let events = try await bench.events(.stub(number)).dropFirst(4)
        #expect(events.map(\.type) == types)
        #expect(events.map(\.cause) == causes)
        #expect(events.allSatisfy { $0.actor == "worker-1" })
        #expect(try await bench.attempts(.stub(number)).map(\.outcome) == [outcome.attemptOutcome])
      }
    }
  }

  @Test(arguments: stores)
  func `the same report again is answered the same and changes nothing`(store: StoreUnderTest) async throws {
    let outcomes: [(Outcome, TaskStatus)] = [
      (.success(result: Array("1".utf8)), .success), (.failed, .retry), (.failed(.stub, .giveUp(.badPayload)), .dead),
      (.timedOut, .retry), (.cancelled, .cancelled), (.snoozed(.seconds(5)), .pending), (.released, .ready),
    ]
    for (outcome, status) in outcomes {
      try await store.onBench { bench in
        let claimed = try await bench.running()
        #expect(try await bench.finish(claimed.lease, outcome, logs: ["a"]) == .applied(status))
        let task = try await bench.record()
        let events = try await bench.events()
        let attempts = try await bench.attempts()
        bench.advance(.seconds(2))
        #expect(try await bench.finish(claimed.lease, outcome, logs: ["a"], randomness: 0.7) == .applied(status))
        #expect(try await bench.record() == task)
        #expect(try await bench.events() == events)
        #expect(try await bench.attempts() == attempts)
      }
    }
  }

  @Test(arguments: stores)
  func `a repeated report tells what has become of the task since`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = try await bench.running(token: 1)
      try await bench.finish(first.lease, .failed)
      bench.advance(.seconds(1))
      try await bench.promote()
      #expect(try await bench.finish(first.lease, .failed) == .applied(.ready))
      let second = try await bench.claimOne(token: 2)
      let running = try await bench.record()
      #expect(try await bench.finish(first.lease, .failed) == .applied(.running))
      #expect(try await bench.record() == running)
      #expect(try await bench.finish(second.lease, .success) == .applied(.success))
      #expect(try await bench.finish(first.lease, .failed) == .applied(.success))
      #expect(try await bench.finish(second.lease, .success) == .applied(.success))
    }
  }

  @Test(arguments: stores)
  func `another report about an ended attempt is lost and changes nothing`(store: StoreUnderTest) async throws {
    let outcomes: [Outcome] = [.success, .failed, .timedOut, .cancelled, .snoozed(.seconds(5)), .released]
    for told in outcomes {
      try await store.onBench { bench in
        let claimed = try await bench.running()
        try await bench.finish(claimed.lease, told)
        let task = try await bench.record()
        let events = try await bench.events()
        let attempts = try await bench.attempts()
        for other in outcomes where other.attemptOutcome != told.attemptOutcome {
          #expect(try await bench.finish(claimed.lease, other, logs: ["late"]) == .lost)
        }
        #expect(try await bench.record() == task)
        #expect(try await bench.events() == events)
        #expect(try await bench.attempts() == attempts)
      }
    }
  }

  @Test(arguments: stores)
  func `a report under a lease that was never given is lost and changes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      try await bench.submit(.stub(2))
      let before = try await bench.record()
      for lease in [
        LeaseID(task: .stub(1), attempt: 1, token: 8), LeaseID(task: .stub(1), attempt: 2, token: 7),
        LeaseID(task: .stub(1), attempt: 0, token: 7), LeaseID(task: .stub(2), attempt: 0, token: 7),
        LeaseID(task: .stub(2), attempt: 1, token: 7), LeaseID(task: .stub(3), attempt: 1, token: 7),
      ] {
        #expect(try await bench.finish(lease, .success) == .lost)
      }
      #expect(try await bench.record() == before)
      #expect(try await bench.record(.stub(2)).status == .ready)
      #expect(try await bench.finish(claimed.lease, .success) == .applied(.success))
    }
  }

  @Test(arguments: stores)
  func `a report after the end of the lease counts as long as nobody took it`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(timeout: .seconds(60)))
      bench.advance(.seconds(3600))
      #expect(try await bench.finish(claimed.lease, .success) == .applied(.success))
      #expect(try await bench.rescue().rescued == [])
    }
  }

  @Test(arguments: stores)
  func `reports of one call are judged each by itself, in order`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2), .stub(3))
      let claimed = try await bench.claim(limit: 3)
      func finish(_ index: Int, _ outcome: Outcome) -> Finish {
        Finish(lease: claimed[index].lease, outcome: outcome, randomness: 0)
      }
      let foreign = LeaseID(task: .stub(1), attempt: 1, token: 1)
      let verdicts = try await bench.store.finish([
        finish(2, .failed), Finish(lease: foreign, outcome: .success, randomness: 0), finish(0, .success),
        finish(0, .success), finish(0, .failed), finish(1, .snoozed(.seconds(1))), finish(2, .failed),
      ])
      #expect(
        verdicts == [
          .applied(.retry), .lost, .applied(.success), .applied(.success), .lost, .applied(.pending), .applied(.retry),
        ])
      #expect(try await bench.countsByStatus() == [.retry: 1, .success: 1, .pending: 1])
      #expect(try await bench.store.finish([]) == [])
    }
  }

  @Test(arguments: stores)
  func `the last error stays with the task after a success`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      let other = TaskError(type: "OTHER", message: "another", stack: nil)
      for outcome in [Outcome.failed, .failed(other, .retry), .snoozed(.zero)] {
        try await bench.finish(try await bench.claimOne().lease, outcome)
        bench.advance(.seconds(1))
        try await bench.promote()
      }
      #expect(try await bench.record().lastError == other)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record().lastError == other)
      #expect(try await bench.attempts().map(\.error) == [.stub, other, nil, nil])
    }
  }

  @Test(arguments: stores)
  func `log lines are kept with every outcome`(store: StoreUnderTest) async throws {
    let outcomes: [Outcome] = [.success, .failed, .timedOut, .cancelled, .snoozed(.seconds(5)), .released]
    try await store.onBench { bench in
      for (number, outcome) in outcomes.enumerated() {
        let claimed = try await bench.running(.stub(number, priority: 9 - number))
        try await bench.finish(claimed.lease, outcome, logs: ["one", "", "three \(number)"])
        #expect(try await bench.attempts(.stub(number)).map(\.logs) == [["one", "", "three \(number)"]])
      }
    }
  }

  @Test(arguments: stores)
  func `log lines are cut to the last that are within the limits`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let reports = [
        (1...1500).map { "line \($0)" },
        (1...500).map { "\($0) " + String(repeating: "ü", count: 200) },
        ["before", String(repeating: "ü", count: 40_000)],
      ]
      for (number, logs) in reports.enumerated() {
        let claimed = try await bench.running(.stub(number))
        try await bench.finish(claimed.lease, .success, logs: logs)
        let kept = try #require(try await bench.attempts(.stub(number)).first).logs
        #expect(kept == keptLogs(logs))
        #expect(kept.count < logs.count)
      }
    }
  }

  @Test(arguments: stores)
  func `a result over the limit is left out, and the success counts`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let longest = [UInt8](repeating: UInt8(ascii: "1"), count: Limits.resultBytes)
      let kept = try await bench.running(.stub(1))
      #expect(try await bench.finish(kept.lease, .success(result: longest)) == .applied(.success))
      #expect(try await bench.record(.stub(1)).result == longest)
      #expect(try await bench.record(.stub(1)).resultTruncated == false)
      let tooLong = try await bench.running(.stub(2))
      let report = Outcome.success(result: longest + [UInt8(ascii: "1")])
      #expect(try await bench.finish(tooLong.lease, report) == .applied(.success))
      #expect(try await bench.record(.stub(2)).result == nil)
      #expect(try await bench.record(.stub(2)).resultTruncated)
      #expect(try await bench.finish(tooLong.lease, report) == .applied(.success))
    }
  }

  @Test(arguments: stores)
  func `the end of one attempt leaves other tasks alone`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...5).map { .stub($0) })
      let claimed = try await bench.claim(limit: 3)
      let others = try await bench.store.tasks([.stub(1), .stub(3), .stub(4), .stub(5)])
      try await bench.finish(claimed[1].lease, .failed)
      #expect(try await bench.store.tasks([.stub(1), .stub(3), .stub(4), .stub(5)]) == others)
    }
  }
}
