// Lets calls for the same thing that arrive while one is under way share its answer, so that an entry that gets stale under
// load is asked for once. Called by `APIKeyDesk`.

internal import MartletCore
internal import Synchronization

final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  private typealias Answer = Result<Value, StoreError>

  /// Those who wait, for each call under way.
  private let waiting = Mutex<[Key: [CheckedContinuation<Answer?, Never>]]>([:])

  /// The first of concurrent callers makes the call, which cancellation must not interrupt: calls of a store are so.
  func callAsFunction(
    _ key: Key, _ call: () async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    if let answer = await answer(for: key) { return try answer.get() }
    let answer: Answer
    do throws(StoreError) {
      answer = .success(try await call())
    } catch {
      answer = .failure(error)
    }
    let followers = waiting.withLock { $0.removeValue(forKey: key) ?? [] }
    for follower in followers { follower.resume(returning: answer) }
    return try answer.get()
  }

  /// What somebody else's call gave; nil to whoever has to make it.
  private func answer(for key: Key) async -> Answer? {
    await withCheckedContinuation { continuation in
      let leads = waiting.withLock { waiting -> Bool in
        if waiting[key]?.append(continuation) != nil { return false }
        waiting[key] = []
        return true
      }
      if leads { continuation.resume(returning: nil) }
    }
  }
}
