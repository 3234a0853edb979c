// The state machine's decisions against a table of their own: every way an attempt can end, in every situation that
// matters, and every command from outside in every state.

import MartletCore
import Testing

private let anError = TaskError(type: "E", message: "m")

/// What should become of a task, without a word on how it is decided.
private struct Expectation: Sendable {
  var status: TaskStatus
  var eligible: When?
  var reason: FinalReason?
  var addedAttempts = 0
  var events: [TaskEventType]

  static func dead(_ reason: FinalReason) -> Expectation {
    Expectation(status: .dead, reason: reason, events: [.failed, .dead])
  }
  static func retry(milliseconds: Int) -> Expectation {
    Expectation(status: .retry, eligible: .after(.milliseconds(milliseconds)), events: [.failed, .retry])
  }
  static func cancelled(_ events: TaskEventType...) -> Expectation {
    Expectation(status: .cancelled, reason: .requested, events: events)
  }
}

/// One way an attempt can end, and what follows with no retry left, one, and all five.
private struct Ending: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var outcome: Outcome
  var noneLeft: Expectation
  var oneLeft: Expectation
  var allLeft: Expectation
  var whenCancelRequested: Expectation

  init(_ name: String, _ outcome: Outcome, always: Expectation, whenCancelRequested: Expectation) {
    self.init(name, outcome, none: always, one: always, all: always, whenCancelRequested: whenCancelRequested)
  }

  init(
    _ name: String, _ outcome: Outcome, none: Expectation, one: Expectation, all: Expectation,
    whenCancelRequested: Expectation
  ) {
    testDescription = name
    self.outcome = outcome
    noneLeft = none
    oneLeft = one
    allLeft = all
    self.whenCancelRequested = whenCancelRequested
  }
}

/// Five retries, linear backoff of 10 s, half of it random, the dice at one half: the first retry waits 10 s · ¾, the
/// fifth 50 s · ¾.
private func running(attempt: Int, cancelRequested: Bool = false) -> Transition.Running {
  Transition.Running(
    attempt: attempt, maxAttempts: 6, retries: 5,
    backoff: RetryPolicy(strategy: .linear, baseSeconds: 10, maxSeconds: 1000, jitter: 0.5),
    cancelRequested: cancelRequested)
}

private let success = Expectation(status: .success, events: [.succeeded])

private let endings: [Ending] =
  [
    Ending("success", .success(result: nil), always: success, whenCancelRequested: success),
    Ending("success with a result", .success(result: [0x31]), always: success, whenCancelRequested: success),
    Ending(
      "failed", .failed(anError, .retry),
      none: .dead(.retriesExhausted), one: .retry(milliseconds: 37_500), all: .retry(milliseconds: 7500),
      whenCancelRequested: .cancelled(.failed, .cancelled)),
    Ending(
      "failed, retry after 90 s", .failed(anError, .retryAfter(.seconds(90))),
      none: .dead(.retriesExhausted), one: .retry(milliseconds: 90_000), all: .retry(milliseconds: 90_000),
      whenCancelRequested: .cancelled(.failed, .cancelled)),
    Ending(
      "failed, retry after nothing", .failed(anError, .retryAfter(.zero)),
      none: .dead(.retriesExhausted), one: .retry(milliseconds: 0), all: .retry(milliseconds: 0),
      whenCancelRequested: .cancelled(.failed, .cancelled)),
    Ending(
      "timed out", .timedOut,
      none: .dead(.retriesExhausted), one: .retry(milliseconds: 37_500), all: .retry(milliseconds: 7500),
      whenCancelRequested: .cancelled(.failed, .cancelled)),
    Ending(
      "lost", .lost,
      none: .dead(.retriesExhausted), one: .retry(milliseconds: 37_500), all: .retry(milliseconds: 7500),
      whenCancelRequested: .cancelled(.failed, .cancelled)),
    Ending(
      "cancelled", .cancelled, always: .cancelled(.cancelled), whenCancelRequested: .cancelled(.cancelled)),
    Ending(
      "snoozed", .snoozed(.seconds(20)),
      always: Expectation(status: .pending, eligible: .after(.seconds(20)), addedAttempts: 1, events: [.snoozed]),
      whenCancelRequested: .cancelled(.cancelled)),
    Ending(
      "released", .released,
      always: Expectation(status: .ready, eligible: .now, addedAttempts: 1, events: [.released, .ready]),
      whenCancelRequested: .cancelled(.cancelled)),
  ]
  + FinalReason.allCases.map { reason in
    Ending(
      "given up as \(reason.rawValue)", .failed(anError, .giveUp(reason)), always: .dead(reason),
      whenCancelRequested: .cancelled(.failed, .cancelled))
  }

@Suite struct TransitionTests {
  @Test func `the table has a row for every way an attempt can end`() {
    #expect(Set(endings.map(\.outcome.attemptOutcome)) == Set(AttemptOutcome.allCases))
  }

  @Test(arguments: endings, [0, 1, 5])
  fileprivate func `an ended attempt leads to what the table says`(ending: Ending, retriesLeft: Int) {
    let task = running(attempt: 6 - retriesLeft)
    #expect(task.retriesLeft == retriesLeft)
    let expected = [0: ending.noneLeft, 1: ending.oneLeft, 5: ending.allLeft][retriesLeft]
    expect(Transition.after(ending.outcome, of: task, randomness: 0.5), is: expected, ending)
  }

  @Test(arguments: endings, [0, 1, 5])
  fileprivate func `a requested cancel wins over all but a success`(ending: Ending, retriesLeft: Int) {
    let task = running(attempt: 6 - retriesLeft, cancelRequested: true)
    expect(Transition.after(ending.outcome, of: task, randomness: 0.5), is: ending.whenCancelRequested, ending)
  }

  private func expect(_ transition: Transition, is expected: Expectation?, _ ending: Ending) {
    #expect(transition.status == expected?.status)
    #expect(transition.eligible == expected?.eligible)
    #expect(transition.reason == expected?.reason)
    #expect(transition.addedAttempts == expected?.addedAttempts)
    #expect(transition.events(outcome: ending.outcome.attemptOutcome) == expected?.events)
    #expect(TaskStatus.running.successors.contains(transition.status))
    #expect((transition.eligible == nil) == transition.status.isFinal)
  }

  @Test func `a task that is past its last attempt has no retries left rather than fewer`() {
    let task = running(attempt: 9)
    #expect(task.retriesLeft == 0)
    #expect(Transition.after(.lost, of: task, randomness: 0).reason == .retriesExhausted)
  }

  @Test func `attempts given back do not count as retries`() {
    var task = running(attempt: 0)
    var waits: [When] = []
    // Each letter is an attempt: s(nooze), r(elease), f(ailure).
    for letter in "sfrsffssrff" {
      task.attempt += 1
      let outcome: Outcome =
        switch letter {
        case "s": .snoozed(.seconds(1))
        case "r": .released
        default: .failed(anError, .retry)
        }
      let transition = Transition.after(outcome, of: task, randomness: 0)
      task.maxAttempts += transition.addedAttempts
      if transition.status == .retry, let eligible = transition.eligible { waits.append(eligible) }
    }
    #expect(waits == [10, 20, 30, 40, 50].map { .after(.seconds($0)) })
    task.attempt += 1
    #expect(Transition.after(.failed(anError, .retry), of: task, randomness: 0).reason == .retriesExhausted)
  }

  @Test func `a fresh budget begins at the first delay again`() {
    var task = running(attempt: 7)
    task.maxAttempts = 12  // as a retry by hand sets it after six attempts
    #expect(task.nextRetry == 1)
    task.attempt = 8
    #expect(task.nextRetry == 2)
  }

  @Test func `a task without retries is dead after its first failure`() {
    let task = Transition.Running(
      attempt: 1, maxAttempts: 1, retries: 0, backoff: RetryPolicy(), cancelRequested: false)
    let transition = Transition.after(.failed(anError, .retry), of: task, randomness: 0)
    #expect(transition.status == .dead)
    #expect(transition.reason == .retriesExhausted)
  }

  @Test func `only failures have an error to show`() {
    #expect(Outcome.failed(anError, .retry).error == anError)
    #expect(Outcome.timedOut.error?.type == "TIMEOUT")
    #expect(Outcome.lost.error?.type == "LEASE_LOST")
    for outcome in [Outcome.success(result: nil), .cancelled, .snoozed(.zero), .released] {
      #expect(outcome.error == nil)
    }
  }
}

@Suite struct SteeringDecisionTests {
  private static let cancels: [TaskStatus: SteeringDecision] = [
    .pending: .move(to: .cancelled), .ready: .move(to: .cancelled), .running: .requestCancel,
    .retry: .move(to: .cancelled), .success: .illegal, .dead: .illegal, .cancelled: .unchanged,
  ]
  private static let retries: [TaskStatus: SteeringDecision] = [
    .pending: .illegal, .ready: .illegal, .running: .illegal, .retry: .move(to: .ready), .success: .illegal,
    .dead: .move(to: .ready), .cancelled: .move(to: .ready),
  ]
  private static let replays: [TaskStatus: SteeringDecision] = [
    .pending: .illegal, .ready: .illegal, .running: .illegal, .retry: .illegal, .success: .unchanged,
    .dead: .unchanged, .cancelled: .unchanged,
  ]
  private static let patchesWithoutTime: [TaskStatus: SteeringDecision] = [
    .pending: .unchanged, .ready: .unchanged, .running: .illegal, .retry: .unchanged, .success: .illegal,
    .dead: .illegal, .cancelled: .illegal,
  ]
  private static let patchesToDueTime: [TaskStatus: SteeringDecision] = [
    .pending: .move(to: .ready), .ready: .unchanged, .running: .illegal, .retry: .move(to: .ready),
    .success: .illegal, .dead: .illegal, .cancelled: .illegal,
  ]
  private static let patchesToLaterTime: [TaskStatus: SteeringDecision] = [
    .pending: .unchanged, .ready: .move(to: .pending), .running: .illegal, .retry: .unchanged, .success: .illegal,
    .dead: .illegal, .cancelled: .illegal,
  ]

  @Test(arguments: TaskStatus.allCases)
  func `a cancel is decided by the table`(status: TaskStatus) {
    expect(SteeringDecision.cancel(status), from: status, by: Self.cancels)
  }

  @Test(arguments: TaskStatus.allCases)
  func `a retry by hand is decided by the table`(status: TaskStatus) {
    expect(SteeringDecision.retry(status), from: status, by: Self.retries)
  }

  @Test(arguments: TaskStatus.allCases)
  func `a replay is decided by the table`(status: TaskStatus) {
    expect(SteeringDecision.replay(status), from: status, by: Self.replays)
  }

  @Test(arguments: TaskStatus.allCases)
  func `a patch is decided by the table of its time`(status: TaskStatus) {
    expect(SteeringDecision.patch(status, due: nil), from: status, by: Self.patchesWithoutTime)
    expect(SteeringDecision.patch(status, due: true), from: status, by: Self.patchesToDueTime)
    expect(SteeringDecision.patch(status, due: false), from: status, by: Self.patchesToLaterTime)
  }

  private func expect(
    _ decision: SteeringDecision, from status: TaskStatus, by table: [TaskStatus: SteeringDecision]
  ) {
    #expect(decision == table[status])
    if case .move(let next) = decision { #expect(status.successors.contains(next)) }
  }
}

@Suite struct TaskStatusTests {
  @Test func `SUCCESS, DEAD and CANCELLED are final and no other state is`() {
    #expect(TaskStatus.allCases.filter(\.isFinal) == [.success, .dead, .cancelled])
  }

  @Test func `PENDING, READY and RETRY wait`() {
    #expect(TaskStatus.allCases.filter(\.isWaiting) == [.pending, .ready, .retry])
  }

  @Test func `nothing follows a SUCCESS`() {
    #expect(TaskStatus.success.successors == [])
  }

  @Test func `only a READY task can begin to run`() {
    #expect(TaskStatus.allCases.filter { $0.successors.contains(.running) } == [.ready])
  }

  @Test func `no state follows itself`() {
    for status in TaskStatus.allCases { #expect(!status.successors.contains(status)) }
  }

  @Test func `every state reads back from its name on the wire`() {
    let names = ["PENDING", "READY", "RUNNING", "RETRY", "SUCCESS", "DEAD", "CANCELLED"]
    #expect(TaskStatus.allCases.map(\.rawValue) == names)
    #expect(names.map { TaskStatus(wireName: $0) } == TaskStatus.allCases)
  }

  @Test(arguments: ["FAILED", "DEAD_LETTER"])
  func `other systems' names for DEAD are read`(name: String) {
    #expect(TaskStatus(wireName: name) == .dead)
    #expect(TaskStatus(wireName: name[...]) == .dead)
    #expect(TaskStatus(rawValue: name) == nil)
  }

  @Test(arguments: ["", "dead", "Failed", "DEAD ", "SUCCEEDED", "CANCELED", "DEAD-LETTER"])
  func `a name that is not of the contract is not read`(name: String) {
    #expect(TaskStatus(wireName: name) == nil)
  }
}
