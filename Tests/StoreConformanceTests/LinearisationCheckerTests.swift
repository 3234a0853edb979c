// The judge of concurrent histories, judged: histories written by hand that nobody can explain are refused, those that somebody can
// are not, and what nobody was told may have happened or not.

import MartletCore
import MartletTestKit
import Testing

@Suite struct LinearisationCheckerTests {
  // MARK: Two at once

  @Test func `of two at once either may have been first, of two in turn the first was`() {
    var atOnce = HandMade()
    atOnce.submit(at: 1, 2)
    atOnce.claim(at: 3, 6, token: 7)
    atOnce.steer(.cancel, at: 4, 5, .done(atOnce.record(.running, attempt: 1, cancelRequested: true, sequence: 4)))
    #expect(atOnce.isExplained)

    var inTurn = HandMade()
    inTurn.submit(at: 1, 2)
    inTurn.claim(at: 5, 6, token: 7)
    inTurn.steer(.cancel, at: 3, 4, .done(inTurn.record(.running, attempt: 1, cancelRequested: true, sequence: 4)))
    #expect(!inTurn.isExplained)
  }

  @Test func `of a report and a rescue at once one may have ended the attempt, not both and not neither`() {
    func history(_ verdict: FinishVerdict, isRescued: Bool) -> HandMade {
      var history = HandMade()
      history.submit(at: 1, 2)
      history.claim(at: 3, 4, token: 7)
      history.finish(1, 7, .success, at: 5, 8, verdict)
      if isRescued { history.add(.rescue, at: 6, 7, .rescued(.lost, .retry)) }
      return history
    }
    #expect(history(.applied(.success), isRescued: false).isExplained)
    #expect(history(.lost, isRescued: true).isExplained)
    #expect(!history(.applied(.success), isRescued: true).isExplained)
    #expect(!history(.lost, isRescued: false).isExplained)
  }

  // MARK: What must never be

  @Test func `a stale report that was applied is refused`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    history.add(.rescue, at: 5, 6, .rescued(.lost, .retry))
    history.finish(1, 7, .success, at: 7, 8, .applied(.success))
    #expect(!history.isExplained)
    history.replaceLast(.finished(.lost))
    #expect(history.isExplained)
  }

  @Test func `a cancel after a success is refused`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    history.finish(1, 7, .success, at: 5, 6, .applied(.success))
    history.steer(.cancel, at: 7, 8, .done(history.record(.cancelled, .requested, attempt: 1, sequence: 5)))
    #expect(!history.isExplained)
    history.replaceLast(.steered(.illegal(.success)))
    #expect(history.isExplained)
  }

  @Test func `a task that two attempts finished is refused`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    history.add(.rescue, at: 5, 6, .rescued(.lost, .retry))
    history.add(.promote, at: 7, 8, .promoted)
    history.claim(at: 9, 10, attempt: 2, token: 8)
    history.finish(2, 8, .success, at: 11, 14, .applied(.success))
    #expect(history.isExplained)
    history.finish(1, 7, .success, at: 12, 13, .applied(.success))
    #expect(!history.isExplained)
  }

  @Test func `a task given to two claims is refused, at once and in turn`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 6, token: 7)
    #expect(history.isExplained)
    var inTurn = history
    history.claim(at: 4, 5, token: 8)
    #expect(!history.isExplained)
    inTurn.claim(at: 7, 8, attempt: 2, token: 8)
    #expect(!inTurn.isExplained)
  }

  @Test func `an update that got lost is refused`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    history.renew(1, 7, says: "half", at: 5, 8)
    history.renew(1, 7, says: "all", at: 6, 7)
    var other = history
    history.add(
      .readAttempts, at: 9, 10, .attempts([history.attempt(nil, logs: ["half", "all"])]))
    #expect(history.isExplained)
    other.add(.readAttempts, at: 9, 10, .attempts([history.attempt(nil, logs: ["all"])]))
    #expect(!other.isExplained)
    // The lines were in one order, and what was said last in another.
    history.add(.read, at: 11, 12, .record(history.record(.running, attempt: 1, progress: "half", sequence: 3)))
    #expect(!history.isExplained)
    history.replaceLast(.record(history.record(.running, attempt: 1, progress: "all", sequence: 3)))
    #expect(history.isExplained)
  }

  @Test func `a submission that was forgotten is refused, and so is one that counted twice`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.add(.read, at: 3, 4, .record(nil))
    #expect(!history.isExplained)

    var twice = HandMade()
    twice.submit(at: 1, 2)
    twice.submit(at: 3, 4, acceptedAt: 1)
    #expect(twice.isExplained)
    twice.add(.read, at: 5, 6, .record(twice.record(.ready, sequence: 4)))
    #expect(!twice.isExplained)
    twice.replaceLast(.record(twice.record(.ready, sequence: 2)))
    #expect(twice.isExplained)
    twice.submit(at: 7, 8, acceptedAt: 7)
    #expect(!twice.isExplained)
  }

  @Test func `an attempt more than the budget allows is refused`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    history.finish(1, 7, .failed, at: 5, 6, .applied(.retry))
    history.add(.promote, at: 7, 8, .promoted)
    history.claim(at: 9, 10, attempt: 2, token: 8)
    history.finish(2, 8, .failed, at: 11, 12, .applied(.retry))
    #expect(!history.isExplained)
    history.replaceLast(.finished(.applied(.dead)))
    #expect(history.isExplained)
  }

  @Test func `a rescue before the lease's end is refused`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    let end = HandMade.leaseEnd
    history.add(.rescue, at: 5, 6, .rescued(.lost, .retry), latest: end + .milliseconds(-1))
    #expect(!history.isExplained)
    history.removeLast()
    history.add(.rescue, at: 5, 6, .rescued(.lost, .retry), latest: end)
    #expect(history.isExplained)
  }

  @Test func `events that do not tell what happened are refused`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.steer(.cancel, at: 3, 4, .done(history.record(.cancelled, .requested, sequence: 3)), by: "one")
    func events(_ last: String) -> TaskAnswer {
      .events([
        TaskEvent(sequence: 1, type: .received, at: HandMade.start, actor: Actor.api),
        TaskEvent(sequence: 2, type: .ready, at: HandMade.start, actor: Actor.api),
        TaskEvent(sequence: 3, type: .cancelled, at: HandMade.start, actor: last),
      ])
    }
    history.add(.readEvents, at: 5, 6, events("one"))
    #expect(history.isExplained)
    history.replaceLast(events("two"))
    #expect(!history.isExplained)
  }

  @Test func `what may have done nothing yet may have done something later`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    history.add(.promote, at: 5, 10, .promoted)
    history.finish(1, 7, .failed, at: 6, 7, .applied(.retry))
    history.add(.read, at: 8, 9, .record(history.record(.ready, attempt: 1, sequence: 6)))
    #expect(history.isExplained)
  }

  // MARK: Unknown outcomes

  @Test func `what was not answered may have happened, then or later, or never`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.claim(at: 3, 4, token: 7)
    history.finish(1, 7, .success, at: 5, nil, nil)
    let before = history.record(.running, attempt: 1, sequence: 3)
    let after = history.record(.success, attempt: 1, sequence: 4)
    for (first, second, isExplained) in [
      (before, before, true), (before, after, true), (after, after, true), (after, before, false),
    ] {
      var history = history
      history.add(.read, at: 6, 7, .record(first))
      history.add(.read, at: 8, 9, .record(second))
      #expect(history.isExplained == isExplained)
    }
  }

  @Test func `what was not answered happens once, and not before it was asked`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    let patch = Steering.Action.patch(TaskPatch(tags: ["x"]))
    history.add(.steer(patch, actor: "one"), at: 5, nil, nil)
    history.add(.read, at: 6, 7, .record(history.record(.ready, tags: ["x"], sequence: 4)))
    #expect(!history.isExplained)
    history.replaceLast(.record(history.record(.ready, tags: ["x"], sequence: 3)))
    #expect(history.isExplained)
    history.add(.read, at: 3, 4, .record(history.record(.ready, tags: ["x"], sequence: 3)))
    #expect(!history.isExplained)
  }

  @Test func `a claim that was not answered explains the report under its token, and the claim behind it`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.add(.claim(worker: "w", token: 7), at: 3, nil, nil)
    var other = history
    history.finish(1, 7, .released, at: 5, 6, .applied(.ready))
    history.claim(at: 7, 8, attempt: 2, most: 3, token: 9)
    #expect(history.isExplained)
    other.claim(at: 7, 8, attempt: 1, token: 9)
    #expect(other.isExplained)
    other.finish(1, 7, .released, at: 9, 10, .applied(.ready))
    #expect(!other.isExplained)
  }

  // MARK: What is shown

  @Test func `a history that nobody can explain is shown without what has nothing to do with it`() throws {
    var history = HandMade()
    history.submit(at: 1, 2)
    history.add(.read, at: 3, 4, .record(history.record(.ready, sequence: 2)))
    history.claim(at: 5, 6, token: 7)
    history.finish(1, 9, .success, at: 7, 8, .lost)
    history.finish(1, 7, .success, at: 9, 10, .applied(.success))
    history.steer(.retry, at: 11, 12, .illegal(.success))
    history.add(.rescue, at: 13, 14, .rescued(.lost, .retry))
    history.add(.read, at: 15, 16, .record(history.record(.retry, attempt: 1, sequence: 5)))
    let short = HandMade.checker.shortened(history.operations)
    #expect(short.map(\.invoked) == [1, 5, 9, 13])
    let words = try #require(short.last).description
    #expect(words == "[13–14] somebody: rescue → LOST, RETRY")
  }

  @Test func `a search that finds no end says so`() {
    var history = HandMade()
    history.submit(at: 1, 2)
    for number in 0..<12 {
      history.add(.steer(.patch(TaskPatch(tags: ["\(number)"])), actor: "\(number)"), at: 3 + number, nil, nil)
    }
    history.add(.read, at: 20, 21, .record(history.record(.ready, tags: ["none"], sequence: 14)))
    guard case .undecided = LinearisationChecker(TaskSpecification(), patience: 5000).check(history.operations) else {
      Issue.record("it found an end")
      return
    }
  }
}

/// A history of one task with one retry, written down by hand.
private struct HandMade {
  static let start = ManualTime.start
  static let leaseEnd = start + .seconds(30)
  static let checker = LinearisationChecker(TaskSpecification())
  private static let task = AcceptedTask.stub(1, retries: 1)

  private(set) var operations: [TaskOperation] = []

  var isExplained: Bool { Self.checker.check(operations).isFound }

  mutating func add(
    _ call: TaskCall.Kind, at invoked: Int, _ returned: Int?, _ answer: TaskAnswer?, latest: Timestamp? = nil
  ) {
    operations.append(
      TaskOperation(
        client: "somebody", call: TaskCall(call, latest: latest), answer: answer, invoked: invoked, returned: returned))
  }

  mutating func replaceLast(_ answer: TaskAnswer) { operations[operations.count - 1].answer = answer }
  mutating func removeLast() { operations.removeLast() }

  mutating func submit(at invoked: Int, _ returned: Int, acceptedAt seconds: Int = 1) {
    let time = Self.start + .seconds(seconds - 1)
    add(.submit(Self.task), at: invoked, returned, .submitted(.accepted(at: time)))
  }

  mutating func claim(at invoked: Int, _ returned: Int, attempt: Int = 1, most: Int = 2, token: Int64) {
    let task = ClaimedTask(
      lease: LeaseID(task: .stub(1), attempt: attempt, token: token), expiresAt: Self.leaseEnd,
      expiresIn: .seconds(30), type: "resize", queue: "default", payload: [], priority: 5, maxAttempts: most,
      timeout: .seconds(300), leaseDuration: .seconds(30), createdAt: Self.start, runAt: nil, availableAt: Self.start,
      startedAt: Self.start, readyAt: Self.start, tags: [], metadata: [:], traceparent: nil)
    add(.claim(worker: "w", token: token), at: invoked, returned, .claimed(task))
  }

  mutating func renew(_ attempt: Int, _ token: Int64, says words: String, at invoked: Int, _ returned: Int) {
    let renewal = Renewal(
      lease: LeaseID(task: .stub(1), attempt: attempt, token: token), progress: Progress(percent: 1, message: words),
      logs: [words])
    add(.renew(renewal), at: invoked, returned, .renewed(.renewed(expiresAt: Self.leaseEnd, expiresIn: .seconds(30))))
  }

  mutating func finish(
    _ attempt: Int, _ token: Int64, _ outcome: Outcome, at invoked: Int, _ returned: Int?, _ verdict: FinishVerdict?
  ) {
    let lease = LeaseID(task: .stub(1), attempt: attempt, token: token)
    add(
      .finish(Finish(lease: lease, outcome: outcome, randomness: 0)), at: invoked, returned,
      verdict.map { .finished($0) })
  }

  mutating func steer(
    _ action: Steering.Action, at invoked: Int, _ returned: Int, _ verdict: SteeringVerdict, by actor: String = "key"
  ) {
    add(.steer(action, actor: actor), at: invoked, returned, .steered(verdict))
  }

  func attempt(_ outcome: AttemptOutcome?, logs: [String]) -> AttemptRecord {
    AttemptRecord(
      number: 1, worker: "w", startedAt: Self.start, finishedAt: nil, outcome: outcome, error: nil, logs: logs)
  }

  func record(
    _ status: TaskStatus, _ reason: FinalReason? = nil, attempt: Int = 0, cancelRequested: Bool = false,
    tags: [String] = [], progress: String? = nil, sequence: Int
  ) -> TaskRecord {
    var record = TaskRecord(Self.task, acceptedAt: Self.start)
    (record.status, record.reason, record.attempt, record.sequence) = (status, reason, attempt, sequence)
    (record.cancelRequested, record.tags) = (cancelRequested, tags)
    record.worker = attempt > 0 ? "w" : nil
    record.progress = progress.map { Progress(percent: 1, message: $0) }
    return record
  }
}
