// A thread as an actor's executor. libpq's calls block, and the threads of Swift's own pool must not.

internal import Dispatch
internal import Foundation
internal import Synchronization

/// Runs one actor's jobs, one after the other, on a thread of its own.
final class ConnectionThread: SerialExecutor {
  private enum Job {
    case task(UnownedJob)
    case call(@Sendable () -> Void)
  }
  private let jobs = Mutex<[Job]>([])
  /// Rung once for each job, and once at the end.
  private let bell = DispatchSemaphore(value: 0)
  private let owner = Mutex<pthread_t?>(nil)

  init() {
    let thread = Thread { [self] in
      owner.withLock { $0 = pthread_self() }
      while true {
        bell.wait()
        switch next() {
        case .task(let job): job.runSynchronously(on: asUnownedSerialExecutor())
        case .call(let body): body()
        case nil: return
        }
      }
    }
    thread.name = "martlet-pg"
    thread.stackSize = 1 << 20
    thread.start()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    add(.task(UnownedJob(job)))
  }

  /// Without a task of Swift's: half the way.
  func enqueue(_ body: @escaping @Sendable () -> Void) {
    add(.call(body))
  }

  /// To be called when no more jobs can come; those that have are done first.
  func stop() {
    bell.signal()
  }

  func checkIsolated() {
    precondition(isIsolatingCurrentContext() == true, "not on the connection's thread")
  }

  func isIsolatingCurrentContext() -> Bool? {
    owner.withLock { $0.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
  }

  private func add(_ job: Job) {
    jobs.withLock { $0.append(job) }
    bell.signal()
  }

  /// Nil at the end. At most a handful of jobs wait, so that the first is taken cheaply.
  private func next() -> Job? {
    jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
  }
}
