// A thread as an actor's executor: librabbitmq's calls block, and the threads of Swift's own pool must not. While it has nothing
// to do it looks after the connection now and then, for heartbeats are sent and read by nobody else.

internal import Dispatch
internal import Foundation
internal import MartletCore
internal import Synchronization

/// Runs one actor's jobs, one after the other, on a thread of its own.
final class RabbitThread: SerialExecutor {
  private enum Job {
    case task(UnownedJob)
    case call(@Sendable () -> Void)
  }
  private struct State {
    var jobs: [Job] = []
    var whenIdle: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())
  /// Rung once for each job, and once at the end.
  private let bell = DispatchSemaphore(value: 0)
  private let owner = Mutex<pthread_t?>(nil)

  /// - Parameter tick: how long it waits for a job before it counts as idle.
  init(tick: Duration) {
    let pause = DispatchTimeInterval.milliseconds(Int(tick.wholeMilliseconds))
    let thread = Thread { [self] in
      owner.withLock { $0 = pthread_self() }
      while true {
        if bell.wait(timeout: .now() + pause) == .timedOut {
          state.withLock(\.whenIdle)?()
          continue
        }
        switch next() {
        case .task(let job): job.runSynchronously(on: asUnownedSerialExecutor())
        case .call(let body): body()
        case nil: return
        }
      }
    }
    thread.name = "martlet-amqp"
    thread.stackSize = 1 << 20
    thread.start()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    add(.task(UnownedJob(job)))
  }

  func enqueue(_ body: @escaping @Sendable () -> Void) {
    add(.call(body))
  }

  /// What to do each time that a tick has passed without a job.
  func whenIdle(_ body: @escaping @Sendable () -> Void) {
    state.withLock { $0.whenIdle = body }
  }

  /// To be called when no more jobs can come; those that have are done first.
  func stop() {
    state.withLock { $0.whenIdle = nil }
    bell.signal()
  }

  func checkIsolated() {
    precondition(isIsolatingCurrentContext() == true, "not on the connection's thread")
  }

  func isIsolatingCurrentContext() -> Bool? {
    owner.withLock { $0.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
  }

  private func add(_ job: Job) {
    state.withLock { $0.jobs.append(job) }
    bell.signal()
  }

  /// Nil at the end.
  private func next() -> Job? {
    state.withLock { $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }
  }
}
