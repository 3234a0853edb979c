// Group commit at the edges: calls that arrive while one is in flight make up the next, so that many callers share one
// transaction. There is no timer, and no task of its own: callers take turns at leading.

package import MartletCore
internal import Synchronization
internal import Tracing

/// Gathers concurrent calls into batches. Each caller's items stay together and in order. A store that is down keeps nobody for
/// longer than two of its calls, however many wait: whoever has waited through a whole call that found it down is told so too.
package final class Coalescer<Item: Sendable, Verdict: Sendable>: Sendable {
  /// Answers one verdict per item, in order.
  package typealias Operation = @Sendable ([Item]) async throws(StoreError) -> [Verdict]

  private let operation: Operation
  private let largestBatch: Int
  private let lanes: Int
  private let state = Mutex(State())

  private struct State {
    var inFlight = 0
    var waiting: [Waiter] = []  // in order of arrival
    var arrivals = 0
  }

  private struct Waiter {
    let arrival: Int
    let items: [Item]
    let continuation: CheckedContinuation<Turn, Never>
  }

  private enum Turn: Sendable {
    case lead
    case answered(Result<[Verdict], StoreError>, batch: Int)
  }

  /// - Parameters:
  ///   - largestBatch: items in one call, unless a single caller brings more.
  ///   - lanes: calls in flight at once.
  package init(largestBatch: Int = 500, lanes: Int = 1, operation: @escaping Operation) {
    self.largestBatch = largestBatch
    self.lanes = lanes
    self.operation = operation
  }

  package func callAsFunction(_ items: [Item]) async throws(StoreError) -> [Verdict] {
    try await together(items).verdicts
  }

  /// The same, with the number of items in the call that the caller's own were part of.
  package func together(_ items: [Item]) async throws(StoreError) -> (verdicts: [Verdict], batch: Int) {
    switch await turn(items) {
    case .answered(let result, let batch): (try result.get(), batch)
    case .lead: try await lead(items)
    }
  }

  private func turn(_ items: [Item]) async -> Turn {
    let isFree = state.withLock { state -> Bool in
      guard state.inFlight < lanes else { return false }
      state.inFlight += 1
      return true
    }
    if isFree { return .lead }
    return await withCheckedContinuation { continuation in
      let isFree = state.withLock { state -> Bool in
        guard state.inFlight < lanes else {
          state.arrivals += 1
          state.waiting.append(Waiter(arrival: state.arrivals, items: items, continuation: continuation))
          return false
        }
        state.inFlight += 1
        return true
      }
      if isFree { continuation.resume(returning: .lead) }
    }
  }

  private func lead(_ items: [Item]) async throws(StoreError) -> (verdicts: [Verdict], batch: Int) {
    let (followers, arrivals) = takeFollowers(besides: items.count)
    let all = items + followers.flatMap(\.items)
    let result = await run(all)
    var start = items.count
    for follower in followers {
      let range = start..<(start + follower.items.count)
      follower.continuation.resume(returning: .answered(result.map { Array($0[range]) }, batch: all.count))
      start = range.upperBound
    }
    if case .failure(.unavailable(let message)) = result { sendAway(upTo: arrivals, message) }
    passOn()
    return (Array(try result.get().prefix(items.count)), all.count)
  }

  /// The call is everybody's: it is not part of what its leader is about.
  private func run(_ items: [Item]) async -> Result<[Verdict], StoreError> {
    guard ServiceContext.current != nil else { return await carryOut(items) }
    return await ServiceContext.$current.withValue(nil) { await carryOut(items) }
  }

  private func carryOut(_ items: [Item]) async -> Result<[Verdict], StoreError> {
    do throws(StoreError) {
      let verdicts = try await operation(items)
      precondition(verdicts.count == items.count, "a store answers each item")
      return .success(verdicts)
    } catch {
      return .failure(error)
    }
  }

  /// Those who share the next call, and the number of arrivals when it begins.
  private func takeFollowers(besides own: Int) -> ([Waiter], arrivals: Int) {
    state.withLock { state in
      var total = own
      let count = state.waiting.prefix { waiter in
        total += waiter.items.count
        return total <= largestBatch
      }.count
      let followers = Array(state.waiting.prefix(count))
      state.waiting.removeFirst(count)
      return (followers, state.arrivals)
    }
  }

  /// Nothing of theirs was sent, so that nothing was changed is true for them as well.
  private func sendAway(upTo arrivals: Int, _ message: String) {
    let gone = state.withLock { state in
      let count = state.waiting.prefix { $0.arrival <= arrivals }.count
      defer { state.waiting.removeFirst(count) }
      return Array(state.waiting.prefix(count))
    }
    for waiter in gone { waiter.continuation.resume(returning: .answered(.failure(.unavailable(message)), batch: 0)) }
  }

  /// The lead goes to the one that waits longest.
  private func passOn() {
    let next = state.withLock { state -> Waiter? in
      if state.waiting.isEmpty {
        state.inFlight -= 1
        return nil
      }
      return state.waiting.removeFirst()
    }
    next?.continuation.resume(returning: .lead)
  }
}
