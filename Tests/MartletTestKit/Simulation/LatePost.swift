// Calls on a slow way: their senders have given up, and they arrive all the same.

internal import MartletEngine
internal import Synchronization

package final class LatePost: Sendable {
  private typealias Letter = @Sendable () async -> Void

  private let scheduler: Scheduler
  private let arrived = Mutex<[Letter]>([])
  private let bell = Alarm()

  package init(scheduler: Scheduler) {
    self.scheduler = scheduler
  }

  func send(after duration: Duration, _ call: @escaping @Sendable () async -> Void) {
    scheduler.after(duration) { [self] in
      arrived.withLock { $0.append(call) }
      bell.ring()
    }
  }

  /// Delivers until it is cancelled.
  package func run() async {
    while !Task.isCancelled {
      await bell.wait()
      let letters = arrived.withLock { letters in
        defer { letters = [] }
        return letters
      }
      for letter in letters { await letter() }
    }
  }
}
