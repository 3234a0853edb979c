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
  /// It stands still, or has gone on in this very instant.
  var isBehind: Bool { get }
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
    /// What the client wanted.
    var tasks: [NewTask] = []
    /// What it was told, once or several times: its tasks in their order.
    var answers: [[TaskID]] = []
    var key: String?
  }

  /// Commands of one kind for one task.
  struct Commands {
    var unknown = 0
    /// Acknowledged with the task as it was then.
    var answers: [TaskRecord] = []
    /// Refused, for the task was so.
    var refusals: [TaskStatus] = []

    var acknowledged: Int { answers.count }
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
    /// Another attempt has begun meanwhile: it has to end as soon as its process goes on.
    var isOverlapped = false
  }

  /// The names of the metadata by which a task tells which submission made it, and as which of its tasks.
  static let mark = "submission"
  static let place = "place"

  init(scheduler: Scheduler, counters: Counters) {
    self.scheduler = scheduler
    self.counters = counters
  }

  func add(_ process: any SimulatedProcess) {
    state.withLock { $0.processes[process.process] = process }
  }

  var violation: Violation? { state.withLock { $0.violations.first } }

  // MARK: Clients

  /// A client says this once or several times.
  func wanted(_ number: Int, _ tasks: [NewTask], key: String?) {
    state.withLock { state in
      state.submissions[number, default: Submission()].tasks = tasks
      state.submissions[number]?.key = key
    }
  }

  func acknowledged(_ number: Int, _ ids: [TaskID]) {
    state.withLock { state in
      state.submissions[number, default: Submission()].belief = .acknowledged
      state.submissions[number]?.answers.append(ids)
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
      var known = state.commands[id]?[kind] ?? Commands()
      switch result {
      case .success(let record): known.answers.append(record)
      case .failure(.store(.unknownOutcome, _)):
        counters.count("command of unknown outcome")
        known.unknown += 1
      case .failure where isDead: known.unknown += 1
      case .failure(.invalidState(let status, _)): known.refusals.append(status)
      case .failure: break
      }
      state.commands[id, default: [:]][kind] = known
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
      var new = Running(attempt: context.attempt, process: process, isStubborn: isStubborn)
      for index in state.running[context.taskID, default: []].indices {
        guard let other = state.running[context.taskID]?[index] else { continue }
        guard let its = state.processes[other.process], !its.isCrashed else { continue }
        counters.count("overlap")
        // The earlier attempt should have been stopped, unless it does not listen or its process stands still. What it missed
        // meanwhile it does before time goes on.
        let earlierIsOther = other.attempt < context.attempt
        let earlier = earlierIsOther ? its : own
        if !(earlierIsOther && other.isStubborn), !earlier.isBehind {
          state.violations.append(
            Violation(
              "G2", "attempt \(context.attempt) of \(context.taskID) began while attempt \(other.attempt) still ran",
              tasks: [context.taskID]))
        }
        if earlierIsOther {
          state.running[context.taskID]?[index].isOverlapped = true
        } else {
          new.isOverlapped = true
        }
      }
      state.running[context.taskID, default: []].append(new)
    }
  }

  func ended(_ context: AttemptContext, on process: Int) {
    state.withLock { state in
      let all = state.running[context.taskID] ?? []
      guard let index = all.firstIndex(where: { $0.attempt == context.attempt && $0.process == process }) else {
        return
      }
      state.running[context.taskID]?.remove(at: index)
      guard all[index].isOverlapped, !all[index].isStubborn, let own = state.processes[process], !own.isCrashed else {
        return
      }
      counters.count("overlapped attempt stopped")
      guard !own.isBehind else { return }
      state.violations.append(
        Violation(
          "G2", "attempt \(context.attempt) of \(context.taskID) went on beside another when its process did",
          tasks: [context.taskID]))
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
    try checkSubmissions(state.submissions, tasks, auditor)
    try checkActions(on: auditor)
    for task in tasks.values.sorted(by: { $0.record.id < $1.record.id }) {
      try check(task, effects: state.effects[task.record.id] ?? [])
      try checkCommands(state.commands[task.record.id] ?? [:], task)
    }
    counters.count("world ended well")
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
}
