// Knows what was promised and what really happened, beside the store: acknowledged ids, running handlers, effects. Finds
// violations as they happen and at the end.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization

final class Judge: Sendable {
  private let scheduler: Scheduler
  private let counters: Counters
  private let state = Mutex(State())

  private struct State {
    var nodes: [Int: SimulatedNode] = [:]
    var acknowledged: [TaskID] = []
    /// Possibly stored: the answer was lost.
    var unknown: Set<TaskID> = []
    var running: [TaskID: [Running]] = [:]
    var effects: [TaskID: [Int]] = [:]
    var violations: [String] = []
  }

  private struct Running {
    var attempt: Int
    var process: Int
    var isStubborn: Bool
  }

  init(scheduler: Scheduler, counters: Counters) {
    self.scheduler = scheduler
    self.counters = counters
  }

  func add(_ node: SimulatedNode) {
    state.withLock { $0.nodes[node.process] = node }
  }

  // MARK: Clients

  func acknowledged(_ id: TaskID) {
    state.withLock { $0.acknowledged.append(id) }
  }

  func refused(_ error: ServiceError) {
    guard case .store(let error, let tasks) = error else { return }
    if case .unknownOutcome = error { counters.count("submit of unknown outcome") }
    // A crash swallows answers too, so nothing that was tried is known not to be there.
    state.withLock { $0.unknown.formUnion(tasks) }
  }

  func anyAcknowledged(_ random: RandomSource) -> TaskID? {
    state.withLock { $0.acknowledged.isEmpty ? nil : $0.acknowledged[random.below($0.acknowledged.count)] }
  }

  // MARK: Handlers

  func began(_ context: AttemptContext, on process: Int, isStubborn: Bool) {
    state.withLock { state in
      guard let node = state.nodes[process], !node.isCrashed else { return }
      for other in state.running[context.taskID] ?? [] {
        guard let otherNode = state.nodes[other.process], !otherNode.isCrashed else { continue }
        counters.count("overlap")
        // The earlier attempt should have been stopped, unless it does not listen or its node stood still.
        let earlierIsOther = other.attempt < context.attempt
        let earlierNode = earlierIsOther ? otherNode : node
        if !(earlierIsOther && other.isStubborn), !earlierNode.wasPaused(within: .seconds(15)) {
          state.violations.append(
            "attempt \(context.attempt) of \(context.taskID) began while attempt \(other.attempt) still ran")
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
      guard state.nodes[process]?.isCrashed == false else { return }
      state.effects[context.taskID, default: []].append(context.attempt)
    }
  }

  func kill(_ process: Int) {
    counters.count("poison")
    state.withLock { $0.nodes[process] }?.crash()
  }

  func isDead(_ process: Int) -> Bool {
    state.withLock { $0.nodes[process]?.isCrashed ?? true }
  }

  /// Time for a handler that ignores its cancellation: looks at the clock between other jobs until the time has come.
  func wait(until end: MonotonicTime, process: Int) async {
    let clock = ProcessClock(scheduler: scheduler, origin: .seconds(1000 * process))
    // Shielded: a task group's children are cancelled with it, but a continuation that somebody else resumes is not.
    while clock.now < end, !isDead(process) { await Self.shieldedPause(scheduler) }
  }

  private static func shieldedPause(_ scheduler: Scheduler) async {
    await withCheckedContinuation { continuation in
      scheduler.after(.milliseconds(100)) { continuation.resume() }
    }
  }

  func healed() {
    state.withLock { state in
      for id in state.running.keys {
        state.running[id]?.removeAll { state.nodes[$0.process]?.isCrashed ?? true }
      }
    }
  }

  // MARK: The end

  func verdict(on tasks: [StoredTask]) throws {
    let state = state.withLock(\.self)
    if let first = state.violations.first { throw Violation(first) }
    let stored = Dictionary(uniqueKeysWithValues: tasks.map { ($0.record.id, $0) })
    for id in state.acknowledged where stored[id] == nil { throw Violation("acknowledged and lost: \(id)") }
    let promised = Set(state.acknowledged).union(state.unknown)
    for task in tasks {
      guard promised.contains(task.record.id) else { throw Violation("stored and never submitted: \(task.record.id)") }
      try check(task, effects: state.effects[task.record.id] ?? [])
    }
    counters.count("world ended well")
  }

  private func check(_ task: StoredTask, effects: [Int]) throws {
    let record = task.record
    func fail(_ what: String) -> Violation { Violation("\(record.id) \(record.status.rawValue): \(what)") }
    guard record.status.isFinal else { throw fail("not final") }
    if record.status == .success {
      // The attempt that succeeded is the last, and its handler did its work.
      guard let last = task.attempts.last, last.outcome == .success else { throw fail("no successful attempt") }
      guard effects.contains(last.number) else { throw fail("attempt \(last.number) succeeded without its effect") }
    }
    guard Set(effects).count == effects.count else { throw fail("an attempt did its work twice: \(effects)") }
    guard task.attempts.map(\.number) == Array(1...max(1, record.attempt)).prefix(record.attempt).map(\.self) else {
      throw fail("attempts are not counted one by one: \(task.attempts.map(\.number))")
    }
    for attempt in task.attempts where attempt.outcome == nil { throw fail("attempt \(attempt.number) never ended") }
    guard record.attempt <= record.maxAttempts else { throw fail("more attempts than allowed") }
    guard task.events.map(\.sequence) == Array(1...task.events.count) else { throw fail("events with a gap") }
    if record.status == .dead { counters.count("dead \(record.reason?.rawValue ?? "?")") }
    if task.attempts.contains(where: { $0.outcome == .snoozed }) { counters.count("snoozed") }
  }
}
