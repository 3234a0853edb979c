// Knows what was promised to whom and what the handlers really did, beside the store: a small model of each submission and command, in
// which an answer that was lost leaves both possible.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Synchronization

/// What can crash and stand still.
protocol SimulatedProcess: AnyObject, Sendable {
  var process: Int { get }
  var isCrashed: Bool { get }
  func wasPaused(within span: Duration) -> Bool
  func crash()
}

extension SimulatedNode: SimulatedProcess {}

final class Judge: Sendable {
  private let scheduler: Scheduler
  let counters: Counters
  private let state = Mutex(State())

  /// What a client knows of something it has asked for, once or several times.
  enum Belief: Sendable, Equatable {
    /// Every answer said no: it must not have happened.
    case refused
    /// An answer was lost, or its server had died: it may have happened, or happen later.
    case unknown
    case acknowledged
  }

  struct Submission {
    var belief = Belief.refused
    var ids: Set<TaskID> = []
    var key: String?
  }

  /// Commands of one kind for one task.
  struct Commands {
    var acknowledged = 0
    var unknown = 0
  }

  private struct State {
    var processes: [Int: any SimulatedProcess] = [:]
    var submissions: [Int: Submission] = [:]
    var acknowledged: [TaskID] = []
    var commands: [TaskID: [String: Commands]] = [:]
    var actions: [String: BulkBelief] = [:]
    var running: [TaskID: [Running]] = [:]
    var effects: [TaskID: [Int]] = [:]
    var isMerciful = false
    var violations: [Violation] = []
  }

  private struct Running {
    var attempt: Int
    var process: Int
    var isStubborn: Bool
  }

  /// The name of the metadata by which a task tells which submission made it.
  static let mark = "submission"

  init(scheduler: Scheduler, counters: Counters) {
    self.scheduler = scheduler
    self.counters = counters
  }

  func add(_ process: any SimulatedProcess) {
    state.withLock { $0.processes[process.process] = process }
  }

  var violation: Violation? { state.withLock { $0.violations.first } }

  // MARK: Clients

  func acknowledged(_ number: Int, _ ids: [TaskID], key: String?) {
    state.withLock { state in
      state.submissions[number, default: Submission()].belief = .acknowledged
      state.submissions[number]?.ids.formUnion(ids)
      state.submissions[number]?.key = key
      state.acknowledged += ids
    }
  }

  /// - Parameter isDead: it comes from a node that has crashed, which nobody hears any more.
  func answered(_ number: Int, _ error: ServiceError, isDead: Bool) {
    let isUnknown: Bool
    if case .store(.unknownOutcome, _) = error {
      counters.count("submit of unknown outcome")
      isUnknown = true
    } else {
      isUnknown = isDead
    }
    state.withLock { state in
      let old = state.submissions[number, default: Submission()].belief
      if isUnknown, old == .refused { state.submissions[number, default: Submission()].belief = .unknown }
      if !isUnknown { state.submissions[number, default: Submission()].belief = old }
    }
  }

  func commanded(_ id: TaskID, _ kind: String, _ result: Result<TaskRecord, ServiceError>, isDead: Bool) {
    state.withLock { state in
      switch result {
      case .success: state.commands[id, default: [:]][kind, default: Commands()].acknowledged += 1
      case .failure(.store(.unknownOutcome, _)):
        counters.count("command of unknown outcome")
        state.commands[id, default: [:]][kind, default: Commands()].unknown += 1
      case .failure where isDead: state.commands[id, default: [:]][kind, default: Commands()].unknown += 1
      case .failure: break
      }
    }
  }

  func believe(_ belief: BulkBelief, of actor: String) { state.withLock { $0.actions[actor] = belief } }

  /// Of actions in bulk, by who gave them.
  var beliefs: [String: BulkBelief] { state.withLock(\.actions) }

  func anyAcknowledged(_ random: RandomSource) -> TaskID? {
    state.withLock { $0.acknowledged.isEmpty ? nil : $0.acknowledged[random.below($0.acknowledged.count)] }
  }

  // MARK: Handlers

  func began(_ context: AttemptContext, on process: Int, isStubborn: Bool) {
    state.withLock { state in
      guard let own = state.processes[process], !own.isCrashed else { return }
      for other in state.running[context.taskID] ?? [] {
        guard let its = state.processes[other.process], !its.isCrashed else { continue }
        counters.count("overlap")
        // The earlier attempt should have been stopped, unless it does not listen or its node stood still.
        let earlierIsOther = other.attempt < context.attempt
        let earlier = earlierIsOther ? its : own
        if !(earlierIsOther && other.isStubborn), !earlier.wasPaused(within: .seconds(15)) {
          state.violations.append(
            Violation(
              "G2", "attempt \(context.attempt) of \(context.taskID) began while attempt \(other.attempt) still ran",
              tasks: [context.taskID]))
        }
      }
      state.running[context.taskID, default: []].append(
        Running(attempt: context.attempt, process: process, isStubborn: isStubborn))
    }
  }

  func ended(_ context: AttemptContext, on process: Int) {
    state.withLock { state in
      state.running[context.taskID]?.removeAll { $0.attempt == context.attempt && $0.process == process }
    }
  }

  func succeeded(_ context: AttemptContext, on process: Int) {
    state.withLock { state in
      guard state.processes[process]?.isCrashed == false else { return }
      state.effects[context.taskID, default: []].append(context.attempt)
    }
  }

  func kill(_ process: Int) {
    counters.count("poison")
    state.withLock { $0.processes[process] }?.crash()
  }

  func isDead(_ process: Int) -> Bool {
    state.withLock { $0.processes[process]?.isCrashed ?? true }
  }

  /// Time for a handler that ignores its cancellation: looks at the clock between other jobs until the time has come.
  func wait(until end: MonotonicTime, on identity: SimulatedNode.Identity) async {
    while identity.clock.now < end, !isDead(identity.process) { await Self.shieldedPause(scheduler) }
  }

  private static func shieldedPause(_ scheduler: Scheduler) async {
    await withCheckedContinuation { continuation in
      scheduler.after(.milliseconds(100)) { continuation.resume() }
    }
  }

  var isMerciful: Bool { state.withLock { $0.isMerciful } }

  /// From now on every handler succeeds.
  func haveMercy() { state.withLock { $0.isMerciful = true } }

  func healed() {
    state.withLock { state in
      for id in state.running.keys {
        state.running[id]?.removeAll { state.processes[$0.process]?.isCrashed ?? true }
      }
    }
  }

  // MARK: The end

  func verdict(on auditor: Auditor) throws(Violation) {
    let state = state.withLock(\.self)
    if let first = state.violations.first { throw first }
    let tasks = auditor.all
    try checkSubmissions(state, tasks, auditor)
    try checkActions(on: auditor)
    for task in tasks.values.sorted(by: { $0.record.id < $1.record.id }) {
      try check(task, effects: state.effects[task.record.id] ?? [])
      try checkCommands(state.commands[task.record.id] ?? [:], task)
    }
    counters.count("world ended well")
  }

  private func checkSubmissions(_ state: State, _ tasks: [TaskID: TaskImage], _ auditor: Auditor) throws(Violation) {
    var made: [Int: [TaskID]] = [:]
    for task in tasks.values where task.record.scheduleName == nil {
      let id = task.record.id
      guard let number = task.record.metadata[Self.mark].flatMap({ Int($0) }),
        let submission = state.submissions[number]
      else { throw Violation("G1", "stored and never submitted", tasks: [id]) }
      made[number, default: []].append(id)
      if submission.belief == .refused {
        throw Violation("G1", "submission \(number) was refused for good, and is stored", tasks: [id])
      }
      if submission.belief == .unknown { counters.count("unknown submission that had been stored") }
    }
    for (number, submission) in state.submissions {
      if submission.belief == .unknown, made[number] == nil {
        counters.count("unknown submission that had not been stored")
      }
      for id in submission.ids where tasks[id] == nil {
        throw Violation("G1", "acknowledged and lost: submission \(number)", tasks: [id])
      }
      guard let key = submission.key else { continue }
      // A key lives as long as its task: only after that one has gone it may stand for another.
      let ids = (made[number] ?? []).sorted()
      for (first, second) in zip(ids, ids.dropFirst()) {
        guard let gone = auditor.deletedAt(first), let next = tasks[second], gone <= next.record.createdAt else {
          throw Violation("G5", "two tasks of the key \(key)", tasks: ids)
        }
      }
    }
  }

  private func check(_ task: TaskImage, effects: [Int]) throws(Violation) {
    let record = task.record
    func fail(_ promise: String, _ what: String) -> Violation {
      Violation(promise, "\(record.id) \(record.status.rawValue): \(what)", tasks: [record.id])
    }
    guard record.status.isFinal else { throw fail("G2", "not final") }
    if record.status == .success {
      // The attempt that succeeded is the last, and its handler did its work.
      guard let last = task.attempts.last, last.outcome == .success else { throw fail("G3", "no successful attempt") }
      guard effects.contains(last.number) else {
        throw fail("G3", "attempt \(last.number) succeeded without its effect")
      }
    }
    guard Set(effects).count == effects.count else { throw fail("G3", "an attempt did its work twice: \(effects)") }
    for attempt in task.attempts where attempt.outcome == nil {
      throw fail("G2", "attempt \(attempt.number) never ended")
    }
    if record.status == .dead { counters.count("dead \(record.reason?.rawValue ?? "?")") }
    if record.status == .cancelled { counters.count("cancelled \(record.reason?.rawValue ?? "?")") }
    if task.attempts.contains(where: { $0.outcome == .snoozed }) { counters.count("snoozed") }
    if task.attempts.contains(where: { $0.outcome == .released }) { counters.count("released") }
  }

  /// Each acknowledged command has happened once, each of unknown outcome at most once, and nothing else has.
  private func checkCommands(_ commands: [String: Commands], _ task: TaskImage) throws(Violation) {
    let id = task.record.id
    func bounds(_ kind: String) -> ClosedRange<Int> {
      let known = commands[kind] ?? Commands()
      return known.acknowledged...known.acknowledged + known.unknown
    }
    let isInBulk = task.events.contains { $0.actor.hasPrefix(World.bulkActor) }
    let events = task.events.filter { !$0.actor.hasPrefix(World.bulkActor) }
    let retries = events.count { $0.type == .retried }
    guard bounds("retry").contains(retries) else {
      throw Violation("G11", "retried \(retries) times by hand, of \(bounds("retry"))", tasks: [id])
    }
    let patches = events.count { $0.type == .updated && $0.cause != "cancel requested" }
    guard bounds("patch").contains(patches) else {
      throw Violation("G11", "patched \(patches) times, of \(bounds("patch"))", tasks: [id])
    }
    // To cancel what is cancelled changes nothing, so that only the upper bound is sure.
    let cancels = events.count { $0.type == .updated && $0.cause == "cancel requested" }
    guard cancels <= bounds("cancel").upperBound else {
      throw Violation("G11", "cancelled \(cancels) times, of \(bounds("cancel"))", tasks: [id])
    }
    if task.record.reason == .requested, bounds("cancel").upperBound == 0, !isInBulk {
      throw Violation("G11", "cancelled on request, and nobody asked", tasks: [id])
    }
  }
}
