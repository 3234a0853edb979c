// Asks the store something for those who cannot wait for ever: whether it can commit, for `/health/ready`; its counts, for a scrape.
// A store that gives no answer must not keep the asker waiting, and a call to it cannot be broken off: so the probe asks, as a part of
// the engine, and the askers wait for it as long as they like.

internal import MartletCore
internal import Synchronization

final class StoreProbe: Sendable {
  private let question: @Sendable () async throws(StoreError) -> Void
  private let clock: any EngineClock
  private let alarm = Alarm()
  private let state = Mutex(State())

  private struct State {
    var nextNumber = 0
    var waiting: [Int: CheckedContinuation<Result<Void, StoreError>?, Never>] = [:]
  }

  init(clock: any EngineClock, _ question: @escaping @Sendable () async throws(StoreError) -> Void) {
    self.question = question
    self.clock = clock
  }

  /// What the store answers; nil if it does not within `patience`.
  func ask(for patience: Duration) async -> Result<Void, StoreError>? {
    let deadline = clock.now + patience
    return await withTaskGroup(of: Result<Void, StoreError>?.self) { group in
      group.addTask { await self.answer() }
      group.addTask {
        try? await self.clock.sleep(until: deadline)  // cancelled: the answer is there
        return nil
      }
      defer { group.cancelAll() }
      return await group.next() ?? nil
    }
  }

  /// One call at a time, only while somebody asks, for all who have asked before it began. Until its task is cancelled.
  func run() async {
    while !Task.isCancelled {
      await alarm.wait()
      let asked = state.withLock { Array($0.waiting.keys) }
      guard !asked.isEmpty else { continue }
      let result: Result<Void, StoreError>
      do throws(StoreError) {
        try await question()
        result = .success(())
      } catch {
        result = .failure(error)
      }
      for number in asked { leave(number, with: result) }
    }
  }

  private func answer() async -> Result<Void, StoreError>? {
    let number = state.withLock { state in
      state.nextNumber += 1
      return state.nextNumber
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        state.withLock { $0.waiting[number] = continuation }
        if Task.isCancelled { leave(number, with: nil) } else { alarm.ring() }
      }
    } onCancel: {
      leave(number, with: nil)
    }
  }

  private func leave(_ number: Int, with result: Result<Void, StoreError>?) {
    let continuation = state.withLock { $0.waiting.removeValue(forKey: number) }
    continuation?.resume(returning: result)
  }
}
