// Each reason for which a task is not running, from the facts alone.

internal import Testing

@testable internal import MartletCore

@Suite struct ExplanationTests {
  private let now = Timestamp(milliseconds: 1_800_000_000_000)

  private func facts(_ status: TaskStatus, _ change: (inout ExplainFacts) -> Void = { _ in }) throws -> ExplainFacts {
    let id = TaskID(high: 0x7000, low: 0x8000_0000_0000_0000)
    let accepted = try NewTask(type: "resize").accepted(id: id, defaults: TaskDefaults(), now: now)
    var task = TaskRecord(accepted, acceptedAt: now)
    task.status = status
    task.attempt = 2
    task.worker = "worker-1"
    var facts = ExplainFacts(now: now, task: task)
    facts.workers = [worker(["resize"], ["default"])]
    change(&facts)
    return facts
  }

  private func worker(_ types: [String], _ queues: [String]) -> WorkerRecord {
    WorkerRecord(id: "w", host: "h", kind: .node, types: types, queues: queues, running: 0, lastSeenAt: now)
  }

  private func kinds(_ facts: ExplainFacts) -> [String] {
    Explanation(facts).blockers.map(\.kind.rawValue)
  }

  @Test func `a READY task that nothing holds back has no blocker and the first place`() throws {
    let explanation = Explanation(try facts(.ready))
    #expect(explanation == Explanation(status: .ready, blockers: [], queuePosition: 1, nextAttemptAt: nil))
  }

  @Test(arguments: [TaskStatus.success, .dead, .cancelled])
  func `a final task is final`(status: TaskStatus) throws {
    let explanation = Explanation(
      try facts(status) {
        $0.task.reason = .requested
        $0.task.finishedAt = now
        $0.workers = []
      })
    #expect(explanation.blockers.map(\.kind) == [.final])
    #expect(explanation.blockers[0].detail.hasPrefix("\(status.rawValue) (REQUESTED) since 2027-01-15T08:00:00.000Z"))
    #expect(explanation.queuePosition == nil && explanation.nextAttemptAt == nil)
  }

  @Test func `a running task is leased, with whom and until when`() throws {
    let explanation = Explanation(
      try facts(.running) {
        $0.leasedUntil = now + .seconds(30)
        $0.task.cancelRequested = true
      })
    #expect(explanation.blockers.map(\.kind) == [.leased])
    let detail = explanation.blockers[0].detail
    for word in ["attempt 2", "'worker-1'", "2027-01-15T08:00:30.000Z", "cancellation was requested"] {
      #expect(detail.contains(word), "\(detail)")
    }
  }

  @Test(arguments: [TaskStatus.pending, .retry])
  func `a task whose time has not come is not due, and its time is told`(status: TaskStatus) throws {
    let due = now + .seconds(60)
    let explanation = Explanation(try facts(status) { $0.task.availableAt = due })
    #expect(explanation.blockers.map(\.kind) == [.notDue])
    #expect(explanation.blockers[0].detail.contains("2027-01-15T08:01:00.000Z"))
    #expect(explanation.nextAttemptAt == due && explanation.queuePosition == nil)
    // Due, and nobody has moved it yet.
    let isDue = try facts(status) { $0.task.availableAt = now }
    #expect(kinds(isDue) == ["not-due"])
  }

  @Test func `a task that waits for others names them, with their states`() throws {
    let parents = (1...20).map { number in
      ExplainFacts.Parent(
        id: TaskID(high: UInt64(number) << 16 | 0x7000, low: 0x8000_0000_0000_0000),
        status: number == 3 ? .dead : .running)
    }
    let explanation = Explanation(
      try facts(.pending) {
        $0.waitsFor = parents
        $0.unmet = 27
      })
    #expect(explanation.blockers.map(\.kind) == [.dependency])
    let detail = explanation.blockers[0].detail
    #expect(detail.contains("\(parents[2].id) (DEAD)") && detail.contains(" and 7 more"))
    #expect(detail.contains("retried first"))
    #expect(explanation.nextAttemptAt == nil)
    // Nobody is named whom the caller may not see.
    for (unmet, words) in [(1, "waits for 1 task"), (3, "waits for 3 tasks")] {
      let hidden = Explanation(try facts(.pending) { $0.unmet = unmet })
      #expect(hidden.blockers.map(\.detail) == [words])
    }
    // Both, where its time has not come either.
    let both = try facts(.pending) {
      $0.unmet = 1
      $0.waitsFor = [parents[0]]
      $0.task.availableAt = now + .seconds(1)
    }
    #expect(kinds(both) == ["dependency", "not-due"])
  }

  @Test func `pauses hold back waiting tasks, but do not concern running ones`() throws {
    func paused(_ status: TaskStatus) throws -> [String] {
      kinds(
        try facts(status) {
          $0.limits.isQueuePaused = true
          $0.limits.isTypePaused = true
        })
    }
    #expect(try paused(.ready) == ["queue-paused", "type-paused"])
    #expect(try paused(.retry) == ["not-due", "queue-paused", "type-paused"])
    #expect(try paused(.running) == ["leased"])
  }

  @Test func `full limits are told, others are not`() throws {
    let full = try facts(.ready) {
      $0.limits.concurrency = .init(limit: 2, taken: 2)
      $0.limits.concurrencyOfKey = .init(limit: 1, taken: 1)
      $0.task.concurrencyKey = "customer-7"
    }
    #expect(kinds(full) == ["concurrency-limit", "concurrency-limit"])
    #expect(Explanation(full).blockers[1].detail.contains("'customer-7'"))
    let free = try facts(.ready) {
      $0.limits.concurrency = .init(limit: 2, taken: 1)
      $0.limits.concurrencyOfKey = .init(limit: 1, taken: 0)
      $0.limits.rate = .init(perSecond: 5, nextAt: now)
    }
    #expect(kinds(free) == [])
  }

  @Test func `a rate that is used up says when the next task starts`() throws {
    let next = now + .milliseconds(200)
    let explanation = Explanation(try facts(.ready) { $0.limits.rate = .init(perSecond: 5, nextAt: next) })
    #expect(explanation.blockers.map(\.kind) == [.rateLimit])
    #expect(explanation.blockers[0].detail.contains("5 tasks a second"))
    #expect(explanation.nextAttemptAt == next)
  }

  @Test func `without a worker for type and queue there is no worker`() throws {
    func kinds(_ workers: [WorkerRecord]) throws -> [String] { self.kinds(try facts(.ready) { $0.workers = workers }) }
    #expect(try kinds([]) == ["no-worker"])
    #expect(try kinds([worker(["mail"], ["*"])]) == ["no-worker"])
    #expect(try kinds([worker(["resize"], ["other"]), worker(["mail"], ["default"])]) == ["no-worker"])
    #expect(try kinds([worker(["mail"], ["default"]), worker(["resize"], ["*"])]) == [])
    let elsewhere = Explanation(try facts(.ready) { $0.workers = [worker(["resize"], ["other"])] })
    #expect(elsewhere.blockers[0].detail.contains("looks into the queue 'default'"))
    // It is worth knowing before the time comes.
    let pending = try facts(.pending) {
      $0.workers = []
      $0.task.availableAt = now + .seconds(1)
    }
    #expect(self.kinds(pending) == ["not-due", "no-worker"])
  }

  @Test(
    arguments: [(1, 2, "1 task of"), (1000, 1001, "1000 tasks of"), (nil, nil, "more than 1000")]
      as [(Int?, Int?, String)])
  func `others that come before are counted as far as they are known`(
    ahead: Int?, position: Int?, words: String
  ) throws {
    let explanation = Explanation(try facts(.ready) { $0.ahead = ahead })
    #expect(explanation.blockers.map(\.kind) == [.behindOthers])
    #expect(explanation.blockers[0].detail.hasPrefix(words))
    #expect(explanation.queuePosition == position)
  }

  @Test func `the kinds are those of the contract`() {
    #expect(
      Explanation.Kind.allCases.map(\.rawValue) == [
        "not-due", "dependency", "queue-paused", "type-paused", "concurrency-limit", "rate-limit", "no-worker",
        "behind-others", "leased", "final",
      ])
  }
}
