// Commands from outside: cancel, retry by hand and patch, in every state.

import MartletCore
import MartletTestKit
import Testing

@Suite struct SteerTests {
  @Test(arguments: stores, TaskStatus.allCases)
  func `a cancel does in every state what is decided for it`(store: StoreUnderTest, status: TaskStatus) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: status)
      var expected = try await bench.record()
      bench.advance(.seconds(1))
      let verdict = try await bench.steer(.cancel, actor: "key-7")
      switch SteeringDecision.cancel(status) {
      case .move(let next):
        expected.status = next
        expected.reason = .requested
        expected.finishedAt = bench.now
        expected.updatedAt = bench.now
        expected.sequence += 1
        #expect(
          try await bench.events().last
            == event(expected.sequence, .cancelled, bench.now, by: "key-7", "REQUESTED"))
      case .requestCancel:
        expected.cancelRequested = true
        expected.updatedAt = bench.now
        expected.sequence += 1
        #expect(
          try await bench.events().last
            == event(expected.sequence, .updated, bench.now, by: "key-7", "cancel requested"))
      case .unchanged, .illegal: break
      }
      let isIllegal = SteeringDecision.cancel(status) == .illegal
      #expect(verdict == (isIllegal ? .illegal(status) : .done(expected)))
      #expect(try await bench.record() == expected)
    }
  }

  @Test(arguments: stores, TaskStatus.allCases)
  func `a retry by hand does in every state what is decided for it`(
    store: StoreUnderTest, status: TaskStatus
  ) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: status)
      var expected = try await bench.record()
      bench.advance(.seconds(1))
      let verdict = try await bench.steer(.retry, actor: "key-7")
      if case .move(let next) = SteeringDecision.retry(status) {
        expected.status = next
        expected.reason = nil
        expected.finishedAt = nil
        expected.maxAttempts = expected.attempt + 4
        expected.availableAt = bench.now
        expected.updatedAt = bench.now
        expected.sequence += 2
        #expect(verdict == .done(expected))
        #expect(
          try await bench.events().suffix(2) == [
            event(expected.sequence - 1, .retried, bench.now, by: "key-7"),
            event(expected.sequence, .ready, bench.now, by: "key-7"),
          ])
      } else {
        #expect(verdict == .illegal(status))
      }
      #expect(try await bench.record() == expected)
    }
  }

  @Test(arguments: stores, TaskStatus.allCases)
  func `a patch does in every state what is decided for it`(store: StoreUnderTest, status: TaskStatus) async throws {
    let times: [When?] = [nil, .now, .after(.seconds(100))]
    for time in times {
      try await store.onBench { bench in
        try await bench.bring(.stub(1), to: status)
        var expected = try await bench.record()
        bench.advance(.seconds(1))
        let now = bench.now
        let patch = TaskPatch(priority: 8, available: time)
        let verdict = try await bench.steer(.patch(patch), actor: "key-7")
        let decision = SteeringDecision.patch(status, due: time.map { $0.resolved(now: now) <= now })
        guard decision != .illegal else {
          #expect(verdict == .illegal(status))
          #expect(try await bench.record() == expected)
          return
        }
        expected.priority = 8
        expected.availableAt = time?.resolved(now: now) ?? expected.availableAt
        expected.updatedAt = now
        expected.sequence += 1
        var events = [
          event(expected.sequence, .updated, now, by: "key-7", time == nil ? "priority" : "priority,availableAt")
        ]
        if case .move(let next) = decision {
          expected.status = next
          if next == .ready {
            expected.sequence += 1
            events.append(event(expected.sequence, .ready, now, by: "key-7"))
          }
        }
        #expect(verdict == .done(expected))
        #expect(try await bench.record() == expected)
        #expect(try await bench.events().suffix(events.count) == events[...])
      }
    }
  }

  @Test(arguments: stores)
  func `asking twice for the cancellation of a running task changes nothing more`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.running()
      try await bench.steer(.cancel)
      let task = try await bench.record()
      let events = try await bench.events()
      bench.advance(.seconds(1))
      #expect(try await bench.steer(.cancel, actor: "somebody else") == .done(task))
      #expect(try await bench.record() == task)
      #expect(try await bench.events() == events)
    }
  }

  @Test(arguments: stores)
  func `a cancelled task is never given out`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2, eligible: .after(.seconds(1))), .stub(3))
      try await bench.steer(.cancel, .stub(1))
      try await bench.steer(.cancel, .stub(2))
      bench.advance(.seconds(2))
      #expect(try await bench.promote() == Promotion(promoted: 0, expired: 0, lanes: [], nextIn: nil))
      #expect(try await bench.claim(limit: 5).map(\.id) == [.stub(3)])
    }
  }

  @Test(arguments: stores)
  func `a retry by hand gives a fresh budget and a fresh backoff`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(retries: 2, backoff: RetryPolicy(baseSeconds: 1, factor: 2, jitter: 0)))
      func delaysUntilDead() async throws -> [Duration] {
        var delays: [Duration] = []
        while true {
          let verdict = try await bench.finish(try await bench.claimOne().lease, .failed)
          if verdict == .applied(.dead) { return delays }
          delays.append(try await bench.record().availableAt - bench.now)
          bench.advance(.seconds(5))
          try await bench.promote()
        }
      }
      #expect(try await delaysUntilDead() == [.seconds(1), .seconds(2)])
      try await bench.steer(.retry)
      #expect(try await bench.record().maxAttempts == 6)
      #expect(try await bench.record().retriesLeft == 3)
      #expect(try await delaysUntilDead() == [.seconds(1), .seconds(2)])
      #expect(try await bench.record().attempt == 6)
      #expect(try await bench.attempts().count == 6)
    }
  }

  @Test(arguments: stores)
  func `a task cancelled while it ran can be retried, and its cancellation is forgotten`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let first = try await bench.running()
      try await bench.steer(.cancel)
      try await bench.finish(first.lease, .failed)
      #expect(try await bench.record().cancelRequested)
      try await bench.steer(.retry)
      #expect(try await bench.record().cancelRequested == false)
      #expect(try await bench.record().lastError == .stub)
      let second = try await bench.claimOne()
      #expect(try await bench.renew(second.lease) == .renewed(expiresAt: start + .seconds(30), expiresIn: .seconds(30)))
      #expect(try await bench.finish(second.lease, .failed) == .applied(.retry))
    }
  }

  @Test(arguments: stores)
  func `a retry by hand clears the expiry`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(expiresAt: start + .seconds(10)))
      bench.advance(.seconds(10))
      try await bench.promote()
      #expect(try await bench.record().reason == .expired)
      try await bench.steer(.retry)
      #expect(try await bench.record().expiresAt == nil)
      #expect(try await bench.promote() == Promotion(promoted: 0, expired: 0, lanes: [], nextIn: nil))
      #expect(try await bench.claimOne().attempt == 1)
    }
  }

  @Test(arguments: stores)
  func `a patch changes the fields it names and no other`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(tags: ["old"], metadata: ["k": "old"]))
      var expected = try await bench.record()
      let patches: [(TaskPatch, String)] = [
        (TaskPatch(tags: ["new", "é"]), "tags"), (TaskPatch(metadata: ["k2": "new"]), "metadata"),
        (TaskPatch(priority: 1), "priority"), (TaskPatch(available: .now), "availableAt"),
        (TaskPatch(priority: 9, available: .now, tags: [], metadata: [:]), "priority,availableAt,tags,metadata"),
      ]
      for (patch, cause) in patches {
        bench.advance(.seconds(1))
        expected.tags = patch.tags ?? expected.tags
        expected.metadata = patch.metadata ?? expected.metadata
        expected.priority = patch.priority ?? expected.priority
        expected.availableAt = patch.available == nil ? expected.availableAt : bench.now
        expected.updatedAt = bench.now
        expected.sequence += 1
        #expect(try await bench.steer(.patch(patch)) == .done(expected))
        #expect(try await bench.record() == expected)
        #expect(try await bench.events().last == event(expected.sequence, .updated, bench.now, by: "key-1", cause))
      }
      let claimed = try await bench.claimOne()
      #expect(claimed.priority == 9 && claimed.tags == [] && claimed.metadata == [:])
    }
  }

  @Test(arguments: stores)
  func `an empty patch changes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      let task = try await bench.record()
      bench.advance(.seconds(1))
      #expect(try await bench.steer(.patch(TaskPatch())) == .done(task))
      #expect(try await bench.record() == task)
      #expect(try await bench.events().count == 2)
    }
  }

  @Test(arguments: stores)
  func `a READY task patched to a later time waits for it`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      try await bench.steer(.patch(TaskPatch(available: .at(start + .seconds(60)))))
      #expect(try await bench.record().status == .pending)
      #expect(try await bench.claim() == [])
      #expect(try await bench.promote() == Promotion(promoted: 0, expired: 0, lanes: [], nextIn: .seconds(60)))
      bench.advance(.seconds(60))
      #expect(try await bench.promote().promoted == 1)
      #expect(try await bench.claimOne().availableAt == start + .seconds(60))
      #expect(
        try await bench.events().map(\.type) == [.received, .ready, .updated, .ready, .started])
    }
  }

  @Test(arguments: stores)
  func `a waiting task patched to now, or to a time that has passed, can be claimed at once`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, eligible: .after(.seconds(60))))
      try await bench.finish(try await bench.running(.stub(2)).lease, .failed)
      bench.advance(.milliseconds(500))
      try await bench.steer(.patch(TaskPatch(available: .now)), .stub(1))
      try await bench.steer(.patch(TaskPatch(available: .at(.earliest))), .stub(2))
      let claimed = try await bench.claim(limit: 2)
      #expect(claimed.map(\.id) == [.stub(1), .stub(2)])
      #expect(claimed.allSatisfy { $0.availableAt == bench.now && $0.readyAt == bench.now })
    }
  }

  @Test(arguments: stores)
  func `a task in RETRY patched to another time stays in RETRY until then`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.finish(try await bench.running().lease, .failed)
      try await bench.steer(.patch(TaskPatch(available: .after(.seconds(90)))))
      #expect(try await bench.record().status == .retry)
      bench.advance(.milliseconds(89_999))
      #expect(try await bench.promote().promoted == 0)
      bench.advance(.milliseconds(1))
      #expect(try await bench.promote().promoted == 1)
    }
  }

  @Test(arguments: stores)
  func `a patch of priority or time moves a READY task in the order of claims`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...4).map { .stub($0) })
      bench.advance(.seconds(1))
      try await bench.steer(.patch(TaskPatch(priority: 6)), .stub(3))
      try await bench.steer(.patch(TaskPatch(available: .now)), .stub(1))
      #expect(try await bench.claim(limit: 4).map(\.id) == [3, 2, 4, 1].map { TaskID.stub($0) })
    }
  }

  @Test(arguments: stores)
  func `a READY task patched to now has been READY since before`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      bench.advance(.seconds(1))
      try await bench.steer(.patch(TaskPatch(available: .now)))
      #expect(try await bench.claimOne().readyAt == start)
    }
  }

  @Test(arguments: stores)
  func `commands of one call are carried out in order, each with its verdict`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2))
      let verdicts = try await bench.store.steer([
        Steering(.retry, task: .stub(1), actor: "a"), Steering(.cancel, task: .stub(9), actor: "a"),
        Steering(.cancel, task: .stub(1), actor: "b"), Steering(.retry, task: .stub(1), actor: "c"),
        Steering(.patch(TaskPatch(priority: 9)), task: .stub(1), actor: "d"),
        Steering(.cancel, task: .stub(2), actor: "e"),
      ])
      #expect(verdicts.count == 6)
      #expect(verdicts[0] == .illegal(.ready))
      #expect(verdicts[1] == .notFound)
      #expect(statuses(verdicts) == [nil, nil, .cancelled, .ready, .ready, .cancelled])
      #expect(verdicts[4] == .done(try await bench.record()))
      #expect(
        try await bench.events().dropFirst(2).map { "\($0.type.rawValue) by \($0.actor)" }
          == ["cancelled by b", "retried by c", "ready by c", "updated by d"])
      #expect(try await bench.store.steer([]) == [])
    }
  }

  @Test(arguments: stores)
  func `a command about an unknown task finds nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1))
      for action in [Steering.Action.cancel, .retry, .patch(TaskPatch(priority: 1))] {
        #expect(try await bench.steer(action, .stub(2)) == .notFound)
      }
      #expect(try await bench.store.tasks([.stub(2)]) == [nil])
    }
  }

  private func statuses(_ verdicts: [SteeringVerdict]) -> [TaskStatus?] {
    verdicts.map { if case .done(let task) = $0 { task.status } else { nil } }
  }
}
