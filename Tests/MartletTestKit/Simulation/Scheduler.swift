// The simulation's processor and clock: one thread that runs all jobs of all simulated processes, the next one drawn by the
// seed, and a time that only moves when nothing can run. The same seed gives the same run.

internal import Foundation
internal import MartletCore
package import MartletEngine
internal import Synchronization

/// Runs simulated processes. Everything happens on the thread that calls `run`.
package final class Scheduler: Sendable {
  private let state: Mutex<State>

  private struct State {
    var random: SplitMix64
    var now: Int64 = 0
    var ready: [(process: Int, job: UnownedJob)] = []
    var held: [Int: [UnownedJob]] = [:]
    var paused: Set<Int> = []
    var sleepers: [Int: Sleeper] = [:]
    var nextSleeper = 0
    var steps = 0
    /// Jobs that came from another thread: what had left the simulation has come back.
    var strangers = 0
    var thread: pthread_t?
  }

  private struct Sleeper {
    var deadline: Int64
    var fire: @Sendable (Result<Void, any Error>) -> Void
  }

  package init(seed: UInt64) {
    state = Mutex(State(random: SplitMix64(state: seed)))
  }

  /// Virtual nanoseconds since the beginning.
  package var now: Int64 { state.withLock { $0.now } }

  /// Jobs run so far.
  package var steps: Int { state.withLock { $0.steps } }

  /// Runs jobs until `isDone`.
  /// - Throws: `SimulationStuck` when nothing is left that could ever run, or there is no end.
  package func run(until isDone: () -> Bool, mostSteps: Int = 5_000_000) throws {
    state.withLock { $0.thread = pthread_self() }
    while !isDone() {
      if let (executor, job) = nextJob() {
        let strays = Strays.counting { job.runSynchronously(on: executor.asUnownedTaskExecutor()) }
        let strangers = state.withLock { $0.strangers }
        if strays + strangers > 0 { throw SimulationStrayed(jobs: strays + strangers) }
        guard steps < mostSteps else { throw SimulationStuck(reason: "no end after \(mostSteps) steps") }
      } else {
        guard advance() else { throw SimulationStuck(reason: "nothing can run, nobody sleeps") }
      }
    }
  }

  func enqueue(_ job: UnownedJob, of process: Int) {
    state.withLock { state in
      if let thread = state.thread, pthread_equal(thread, pthread_self()) == 0 { state.strangers += 1 }
      if state.paused.contains(process) {
        state.held[process, default: []].append(job)
      } else {
        state.ready.append((process, job))
      }
    }
  }

  /// As SIGSTOP: nothing of the process runs, its timers included, until it is resumed.
  package func pause(_ process: Int) {
    state.withLock { state in
      state.paused.insert(process)
      state.held[process, default: []] += state.ready.filter { $0.process == process }.map(\.job)
      state.ready.removeAll { $0.process == process }
    }
  }

  package func resume(_ process: Int) {
    state.withLock { state in
      state.paused.remove(process)
      state.ready += (state.held.removeValue(forKey: process) ?? []).map { (process, $0) }
    }
  }

  func sleep(until deadline: Int64) async throws {
    try Task.checkCancellation()
    let id = state.withLock { state in
      state.nextSleeper += 1
      return state.nextSleeper
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let isOver = state.withLock { state in
          if Task.isCancelled || deadline <= state.now { return true }
          state.sleepers[id] = Sleeper(deadline: deadline, fire: { continuation.resume(with: $0) })
          return false
        }
        if isOver { continuation.resume(with: Task.isCancelled ? .failure(CancellationError()) : .success(())) }
      }
    } onCancel: {
      let sleeper = state.withLock { $0.sleepers.removeValue(forKey: id) }
      sleeper?.fire(.failure(CancellationError()))
    }
  }

  /// Calls `body` when this much time has passed. Not a sleep of any task, so no cancellation ends it.
  package func after(_ duration: Duration, _ body: @escaping @Sendable () -> Void) {
    state.withLock { state in
      state.nextSleeper += 1
      let (seconds, attoseconds) = duration.components
      state.sleepers[state.nextSleeper] = Sleeper(
        deadline: state.now + seconds * 1_000_000_000 + attoseconds / 1_000_000_000, fire: { _ in body() })
    }
  }

  private func nextJob() -> (ProcessExecutor, UnownedJob)? {
    state.withLock { state in
      guard !state.ready.isEmpty else { return nil }
      state.steps += 1
      let index = Int(state.random.next() % UInt64(state.ready.count))
      state.ready.swapAt(index, state.ready.count - 1)
      let (process, job) = state.ready.removeLast()
      return (ProcessExecutor(scheduler: self, process: process), job)
    }
  }

  /// To the next timer; all that are due then fire in an order drawn by the seed.
  private func advance() -> Bool {
    let due = state.withLock { state -> [Sleeper] in
      guard let next = state.sleepers.values.lazy.map({ $0.deadline }).min() else { return [] }
      state.now = max(state.now, next)
      let ids = state.sleepers.filter { $0.value.deadline <= state.now }.map(\.key).sorted()
      return ids.shuffled(using: &state.random).compactMap { state.sleepers.removeValue(forKey: $0) }
    }
    for sleeper in due { sleeper.fire(.success(())) }
    return !due.isEmpty
  }
}

/// Something left the simulation: a `Task { }`, a `Task.sleep`, an actor with an executor of its own. It would run on the
/// machine's threads and clock, and no seed would tell what it does.
package struct SimulationStrayed: Error {
  package let jobs: Int
}

package struct SimulationStuck: Error {
  package let reason: String
}

/// Where the tasks of one simulated process run. Child tasks follow it; unstructured ones would not, hence the ban on them.
package final class ProcessExecutor: TaskExecutor {
  let scheduler: Scheduler
  package let process: Int

  package init(scheduler: Scheduler, process: Int) {
    self.scheduler = scheduler
    self.process = process
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    scheduler.enqueue(UnownedJob(job), of: process)
  }
}

/// A process's monotonic clock: each begins at an origin of its own, and some are a little fast or slow.
package struct ProcessClock: EngineClock {
  private let scheduler: Scheduler
  private let origin: Int64
  private let drift: Int64
  private let stops: ClockStops?

  /// - Parameters:
  ///   - drift: by how many millionths it is too fast.
  ///   - stops: for `Sabotage.stopsClocks`.
  package init(scheduler: Scheduler, origin: Duration = .zero, drift: Int64 = 0, stops: ClockStops? = nil) {
    self.scheduler = scheduler
    self.drift = drift
    self.stops = stops
    self.origin = origin.components.seconds * 1_000_000_000 + origin.components.attoseconds / 1_000_000_000
  }

  package var now: MonotonicTime {
    let now = scheduler.now - (stops?.total ?? 0)
    return MonotonicTime(nanoseconds: now + now / 1_000_000 * drift + origin)
  }

  package func sleep(until deadline: MonotonicTime) async throws {
    let (target, overflow) = deadline.nanoseconds.subtractingReportingOverflow(origin)
    guard !overflow, target < .max / 2 else { return try await scheduler.sleep(until: .max) }
    // Rounded up: whoever wakes must find that its time has come.
    let own = drift == 0 ? target : target / (1_000_000 + drift) * 1_000_000 + 1_000_000
    var stopped = stops?.total ?? 0
    try await scheduler.sleep(until: own + stopped)
    while let total = stops?.total, total > stopped {
      stopped = total
      try await scheduler.sleep(until: own + stopped)
    }
  }
}

/// How long a process stood still altogether, for a clock that does not go on meanwhile.
package final class ClockStops: Sendable {
  private let nanoseconds = Atomic<Int64>(0)

  package init() {}

  package var total: Int64 { nanoseconds.load(ordering: .relaxed) }

  package func add(_ more: Int64) { nanoseconds.add(more, ordering: .relaxed) }
}

/// Runs `body` as process 0 of a simulation, to its end.
package func simulate<Value: Sendable>(
  seed: UInt64, _ body: @escaping @Sendable (Scheduler) async throws -> Value
) throws -> Value {
  let scheduler = Scheduler(seed: seed)
  let end = SimulationResult<Value>()
  // The one unstructured task of a simulation: the simulation itself.
  _ = Task(executorPreference: ProcessExecutor(scheduler: scheduler, process: 0)) {
    do { end.set(.success(try await body(scheduler))) } catch { end.set(.failure(error)) }
  }
  let isOver = end.isOver
  try scheduler.run(until: { isOver.value.load(ordering: .relaxed) })
  guard let result = end.result else { throw SimulationStuck(reason: "no result") }
  return try result.get()
}

private final class SimulationResult<Value: Sendable>: Sendable {
  /// Looked at between any two jobs.
  let isOver = Flag()
  private let value = Mutex<Result<Value, any Error>?>(nil)

  var result: Result<Value, any Error>? { value.withLock { $0 } }

  func set(_ result: Result<Value, any Error>) {
    value.withLock { $0 = result }
    isOver.value.store(true, ordering: .relaxed)
  }
}

private final class Flag: Sendable {
  let value = Atomic(false)
}
