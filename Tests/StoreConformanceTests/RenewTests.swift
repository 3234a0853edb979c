// How leases are prolonged, and when they are no longer anybody's.

import MartletCore
import MartletTestKit
import Testing

@Suite struct RenewTests {
  @Test(arguments: stores)
  func `a renewal prolongs the lease to its full length from now`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      bench.advance(.seconds(20))
      let verdict = try await bench.renew(claimed.lease)
      #expect(verdict == .renewed(expiresAt: start + .seconds(50), expiresIn: .seconds(30)))
      bench.advance(.milliseconds(29_999))
      #expect(try await bench.rescue().rescued == [])
      bench.advance(.milliseconds(1))
      #expect(try await bench.rescue().rescued.count == 1)
    }
  }

  @Test(arguments: stores)
  func `a lease is never renewed past the attempt's timeout`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(timeout: .seconds(40)))
      bench.advance(.seconds(10))
      #expect(
        try await bench.renew(claimed.lease) == .renewed(expiresAt: start + .seconds(40), expiresIn: .seconds(30)))
      bench.advance(.seconds(25))
      #expect(
        try await bench.renew(claimed.lease) == .renewed(expiresAt: start + .seconds(40), expiresIn: .seconds(5)))
      bench.advance(.seconds(5))
      #expect(try await bench.rescue().rescued.map(\.outcome) == [.timedOut])
    }
  }

  @Test(arguments: stores)
  func `a lease past its end is renewed as long as nobody took it`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      bench.advance(.seconds(45))
      #expect(
        try await bench.renew(claimed.lease) == .renewed(expiresAt: start + .seconds(75), expiresIn: .seconds(30)))
      #expect(try await bench.rescue().rescued == [])
    }
  }

  @Test(arguments: stores)
  func `a lease past the attempt's timeout is renewed for no time at all`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(timeout: .seconds(40)))
      bench.advance(.seconds(50))
      #expect(try await bench.renew(claimed.lease) == .renewed(expiresAt: start + .seconds(40), expiresIn: .zero))
      #expect(try await bench.rescue().rescued.map(\.outcome) == [.timedOut])
    }
  }

  @Test(arguments: stores)
  func `the timeout of a later attempt counts from its own start`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = try await bench.running(.stub(timeout: .seconds(40)))
      bench.advance(.seconds(35))
      try await bench.finish(first.lease, .released)
      let second = try await bench.claimOne()
      bench.advance(.seconds(20))
      #expect(
        try await bench.renew(second.lease) == .renewed(expiresAt: start + .seconds(75), expiresIn: .seconds(20)))
    }
  }

  @Test(arguments: stores)
  func `progress is stored, replaced as a whole, and left alone where none is told`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      #expect(try await bench.record().progress == nil)
      for progress in [
        Progress(percent: 12.5, message: "halfway to a quarter"), Progress(percent: 100, message: nil),
        Progress(percent: 0, message: ""),
      ] {
        _ = try await bench.renew(claimed.lease, progress: progress)
        #expect(try await bench.record().progress == progress)
      }
      _ = try await bench.renew(claimed.lease)
      #expect(try await bench.record().progress == Progress(percent: 0, message: ""))
    }
  }

  @Test(arguments: stores)
  func `progress outlives its attempt and is cleared by the next claim`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = try await bench.running()
      let progress = Progress(percent: 50, message: "half")
      _ = try await bench.renew(first.lease, progress: progress)
      try await bench.finish(first.lease, .released)
      #expect(try await bench.record().progress == progress)
      let second = try await bench.claimOne()
      #expect(try await bench.record().progress == nil)
      _ = try await bench.renew(second.lease, progress: progress)
      try await bench.finish(second.lease, .success)
      #expect(try await bench.record().progress == progress)
    }
  }

  @Test(arguments: stores)
  func `a renewal is no change of the task and no part of its history`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      let events = try await bench.events()
      var expected = try await bench.record()
      bench.advance(.seconds(10))
      expected.progress = Progress(percent: 1, message: "m")
      _ = try await bench.renew(claimed.lease, progress: expected.progress)
      #expect(try await bench.record() == expected)
      #expect(try await bench.events() == events)
    }
  }

  @Test(arguments: stores)
  func `a lease that is not held is lost, and renewing it changes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let held = try await bench.running(.stub(1))
      let finished = try await bench.running(.stub(2))
      try await bench.finish(finished.lease, .success)
      let before = [try await bench.record(.stub(1)), try await bench.record(.stub(2))]
      bench.advance(.seconds(10))
      let foreign = [
        LeaseID(task: .stub(1), attempt: 1, token: 8), LeaseID(task: .stub(1), attempt: 2, token: 7),
        LeaseID(task: .stub(1), attempt: 0, token: 7), LeaseID(task: .stub(9), attempt: 1, token: 7), finished.lease,
      ]
      let progress = Progress(percent: 99, message: "stolen")
      let verdicts = try await bench.store.renew(foreign.map { Renewal(lease: $0, progress: progress) })
      #expect(verdicts == foreign.map { _ in .lost })
      #expect([try await bench.record(.stub(1)), try await bench.record(.stub(2))] == before)
      bench.advance(.seconds(20))
      #expect(try await bench.rescue().rescued.map(\.id) == [held.id])  // at its first end: none of these prolonged it
    }
  }

  @Test(arguments: stores)
  func `a lease that the rescuer took is lost, also while the next attempt runs`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let old = try await bench.running()
      bench.advance(.seconds(30))
      try await bench.rescue()
      #expect(try await bench.renew(old.lease) == .lost)
      bench.advance(.seconds(1))
      try await bench.promote()
      #expect(try await bench.renew(old.lease) == .lost)
      let new = try await bench.claimOne()
      #expect(new.lease.token == old.lease.token)
      #expect(try await bench.renew(old.lease, progress: Progress(percent: 9, message: nil)) == .lost)
      #expect(try await bench.record().progress == nil)
    }
  }

  @Test(arguments: stores)
  func `a requested cancellation is told with the renewal, which prolongs all the same`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      try await bench.steer(.cancel)
      bench.advance(.seconds(25))
      #expect(
        try await bench.renew(claimed.lease)
          == .cancelRequested(expiresAt: start + .seconds(55), expiresIn: .seconds(30)))
      bench.advance(.seconds(25))
      #expect(try await bench.rescue().rescued == [])
      #expect(
        try await bench.renew(claimed.lease)
          == .cancelRequested(expiresAt: start + .seconds(80), expiresIn: .seconds(30)))
    }
  }

  @Test(arguments: stores)
  func `renewals of one call are judged each by itself, in order`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, lease: .seconds(10)), .stub(2, lease: .seconds(20)), .stub(3))
      let claimed = try await bench.claim(limit: 3)
      try await bench.steer(.cancel, .stub(3))
      try await bench.finish(claimed[0].lease, .success)
      let verdicts = try await bench.store.renew([2, 0, 1].map { Renewal(lease: claimed[$0].lease) })
      #expect(
        verdicts == [
          .cancelRequested(expiresAt: start + .seconds(30), expiresIn: .seconds(30)), .lost,
          .renewed(expiresAt: start + .seconds(20), expiresIn: .seconds(20)),
        ])
      #expect(try await bench.store.renew([]) == [])
    }
  }

  // MARK: Log lines

  @Test(arguments: stores)
  func `log lines of renewals are seen at once and stay before those of the report, whatever the end`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      for (number, outcome) in [Outcome.success, .failed, .snoozed(.seconds(9)), .cancelled, .released].enumerated() {
        let id = TaskID.stub(number + 1)
        let claimed = try await bench.running(.stub(number + 1))
        try await bench.renew(claimed.lease, logs: ["one", "two \u{0}\""])
        #expect(try await bench.attempts(id).map(\.logs) == [["one", "two \u{0}\""]])
        try await bench.renew(claimed.lease)
        try await bench.renew(claimed.lease, logs: ["three"])
        #expect(try await bench.attempts(id).map(\.logs) == [["one", "two \u{0}\"", "three"]])
        let told = number == 0 ? [] : ["four"]
        try await bench.finish(claimed.lease, outcome, logs: told)
        #expect(try await bench.attempts(id).map(\.logs) == [["one", "two \u{0}\"", "three"] + told])
      }
    }
  }

  @Test(arguments: stores)
  func `what a worker told before it was lost is kept, and apart from what the next one tells`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let old = try await bench.running()
      try await bench.renew(old.lease, logs: ["old"])
      bench.advance(.seconds(31))
      try await bench.rescue()
      #expect(try await bench.renew(old.lease, logs: ["too late"]) == .lost)
      bench.advance(.seconds(1))
      try await bench.promote()
      let new = try await bench.claimOne()
      try await bench.renew(new.lease, logs: ["new"])
      let verdicts = try await bench.store.renew([
        Renewal(lease: old.lease, logs: ["stolen"]), Renewal(lease: new.lease, logs: ["again"]),
        Renewal(lease: old.lease, logs: ["stolen"]),
      ])
      #expect(verdicts.map { $0 == .lost } == [true, false, true])
      #expect(try await bench.attempts().map(\.logs) == [["old"], ["new", "again"]])
    }
  }

  @Test(arguments: stores)
  func `of very many log lines the last are kept, by their number and their bytes`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let many = (0..<30).map { call in (0..<99).map { "\(call)-\($0)" } }
      let long = (0..<30).map { [String(repeating: "\($0 % 10)", count: Limits.logBytes / 7), "short"] }
      for (number, calls) in [many, long, [[String(repeating: "ä", count: Limits.logBytes)], ["end"]]].enumerated() {
        let claimed = try await bench.running(.stub(number + 1))
        for lines in calls { try await bench.renew(claimed.lease, logs: lines) }
        let all = calls.flatMap(\.self)
        #expect(try await bench.attempts(.stub(number + 1)).map(\.logs) == [keptLogs(all)])
        try await bench.finish(claimed.lease, .success, logs: ["last"])
        #expect(try await bench.attempts(.stub(number + 1)).map(\.logs) == [keptLogs(all + ["last"])])
      }
    }
  }

  @Test(arguments: stores)
  func `with a deleted task its log lines go, also those of renewals`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      try await bench.renew(claimed.lease, logs: ["gone"])
      try await bench.finish(claimed.lease, .success)
      #expect(try await bench.store.prune(RetentionPolicy(success: .zero, dead: nil, cancelled: nil), limit: 10) == 1)
      // The same id again, as no client can.
      let again = try await bench.running()
      #expect(again.lease.attempt == 1)
      #expect(try await bench.attempts().map(\.logs) == [[]])
    }
  }
}
