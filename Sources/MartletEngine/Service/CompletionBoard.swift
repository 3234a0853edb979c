// Who waits for which task to become final (`?waitSeconds`). Ends that happen on this node are told at once; for those of other
// nodes all waiting ids are looked up together, twice a second.

internal import MartletCore
internal import Synchronization

final class CompletionBoard: Sendable {
  private let waiting = Mutex<[TaskID: [Int: CheckedContinuation<Void, Never>]]>([:])
  private let nextNumber = Mutex(0)
  private let isClosed = Mutex(false)

  /// Returns when the task is told of, the board closes, or the caller's task is cancelled.
  func wait(for id: TaskID) async {
    let number = nextNumber.withLock { number in
      number += 1
      return number
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        waiting.withLock { $0[id, default: [:]][number] = continuation }
        if Task.isCancelled || isClosed.withLock(\.self) { leave(id, number) }
      }
    } onCancel: {
      leave(id, number)
    }
  }

  func tell(_ id: TaskID) {
    let told = waiting.withLock { $0.removeValue(forKey: id) }
    for continuation in (told ?? [:]).values { continuation.resume() }
  }

  /// Everybody is sent away: the node is shutting down.
  func close() {
    isClosed.withLock { $0 = true }
    let all = waiting.withLock { waiting in
      defer { waiting = [:] }
      return waiting.values.flatMap(\.values)
    }
    for continuation in all { continuation.resume() }
  }

  var ids: [TaskID] { waiting.withLock { Array($0.keys) } }

  private func leave(_ id: TaskID, _ number: Int) {
    let continuation = waiting.withLock { waiting in
      let continuation = waiting[id]?.removeValue(forKey: number)
      if waiting[id]?.isEmpty == true { waiting[id] = nil }
      return continuation
    }
    continuation?.resume()
  }
}

extension PeriodicService {
  static func completionWatcher(_ engine: EngineParts) -> PeriodicService {
    PeriodicService("completion-watcher", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      let ids = engine.board.ids
      if !ids.isEmpty {
        for record in try await engine.store.tasks(ids) {
          if let record, record.status.isFinal { engine.board.tell(record.id) }
        }
      }
      return .milliseconds(500)
    }
  }
}
