// The threads on which handlers run: their own, so that a handler that blocks stops neither the renewal of leases nor HTTP.

internal import Foundation
internal import Synchronization

/// A small pool that grows while jobs are kept waiting by blocked threads, up to a limit, and shrinks again to one thread a core and those
/// that are blocked: on a busy machine jobs wait now and then though nothing blocks. Threads are made when first needed.
package final class HandlerExecutor: TaskExecutor, Sendable {
  private let baseThreads: Int
  private let maxThreads: Atomic<Int>
  private let condition = Condition()

  /// So long after the latest growth the pool does not shrink, lest threads come and go all the time.
  private static let restAfterGrowth = Duration.seconds(5)

  /// - Parameter maxThreads: as many handlers can block at once before others have to wait.
  package init(maxThreads: Int) {
    baseThreads = min(ProcessInfo.processInfo.activeProcessorCount, maxThreads)
    self.maxThreads = Atomic(maxThreads)
  }

  /// From now on as many handlers can block at once. Threads that there are stay.
  package func setMostThreads(_ count: Int) {
    maxThreads.store(count, ordering: .relaxed)
  }

  /// Threads that there are, for tests.
  package var threads: Int { condition.withLock { $0.threads } }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let (mayStart, mustWatch) = condition.withLock { state in
      state.jobs.append(job)
      // Idle threads that were signalled and have not yet woken are counted out: each takes one of the jobs before this.
      if state.jobs.count - state.first <= state.idleThreads {
        condition.signal()
        return (false, false)
      }
      guard state.threads < baseThreads else {
        let mustWatch = state.threads < maxThreads.load(ordering: .relaxed) && !state.isWatched
        if mustWatch { state.isWatched = true }
        return (false, mustWatch)
      }
      state.threads += 1
      return (true, false)
    }
    if mayStart { startThread() }
    if mustWatch { startWatch() }
  }

  /// Ends the threads once their jobs are done. Jobs enqueued later are not run.
  package func shutdown() {
    condition.withLock { state in
      state.isShutDown = true
      condition.broadcast()
    }
  }

  private func startThread() {
    let thread = Thread { [self] in
      while let job = nextJob() { job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
    thread.name = "martlet-handler"
    thread.stackSize = 1 << 20
    thread.start()
  }

  /// Nil when there is nothing more to do for this thread. No access to the state spans a wait: other threads change it meanwhile.
  private func nextJob() -> UnownedJob? {
    condition.waitFor { state in
      if let job = state.takeFirst() { return .some(job) }
      if state.isShutDown { return .some(nil) }
      let isSuperfluous = state.threads > baseThreads && state.idleThreads >= baseThreads
      guard isSuperfluous, state.grownAt.map({ $0 + Self.restAfterGrowth < .now }) ?? true else { return nil }
      state.threads -= 1
      return .some(nil)
    }
  }

  /// While jobs wait although no thread is idle: if 5 ms take none of them off the queue, another thread is started.
  private func startWatch() {
    let thread = Thread { [self] in
      var taken = condition.withLock { $0.taken }
      while true {
        Thread.sleep(forTimeInterval: 0.005)
        let next = condition.withLock { state -> Bool? in
          guard state.first < state.jobs.count, state.threads < maxThreads.load(ordering: .relaxed),
            !state.isShutDown
          else {
            state.isWatched = false
            return nil
          }
          defer { taken = state.taken }
          guard state.taken == taken else { return false }
          state.threads += 1
          state.grownAt = .now
          return true
        }
        guard let mustStart = next else { return }
        if mustStart { startThread() }
      }
    }
    thread.name = "martlet-watch"
    thread.start()
  }

  struct State {
    var jobs: [UnownedJob] = []
    var first = 0
    var taken = 0
    var threads = 0
    var idleThreads = 0
    /// When a thread was last added beyond one a core.
    var grownAt: ContinuousClock.Instant?
    var isWatched = false
    var isShutDown = false

    mutating func takeFirst() -> UnownedJob? {
      guard first < jobs.count else { return nil }
      let job = jobs[first]
      first += 1
      taken += 1
      if first == jobs.count {
        jobs.removeAll(keepingCapacity: true)
        first = 0
      } else if first > 4096 {
        jobs.removeFirst(first)
        first = 0
      }
      return job
    }
  }

  /// A lock on which threads can wait.
  private final class Condition: @unchecked Sendable {  // `state` is only touched under `lock`
    private let lock = NSCondition()
    private var state = State()

    func withLock<Value>(_ body: (inout State) -> Value) -> Value {
      lock.lock()
      defer { lock.unlock() }
      return body(&state)
    }

    /// Asks `body` until it has an answer, before the first time and after each signal.
    func waitFor<Value>(_ body: (inout State) -> Value?) -> Value {
      lock.lock()
      defer { lock.unlock() }
      while true {
        if let value = body(&state) { return value }
        state.idleThreads += 1
        lock.wait()
        state.idleThreads -= 1
      }
    }

    func signal() { lock.signal() }
    func broadcast() { lock.broadcast() }
  }
}
