// One for each node: claims for everyone who waits for work here, so that a hundred idle workers are one query, and gives back
// what a vanished waiter did not take.

package import Logging
package import MartletCore
internal import Synchronization

package final class ClaimBroker: Sendable {
  private let source: any WorkSource
  private let clock: any EngineClock
  private let random: RandomSource
  private let logger: Logger
  private let alarm = Alarm()
  private let state = Mutex(State())
  /// How long a ring may be missed: the truth is found by looking.
  private let pollInterval: Duration
  private let onReturned: @Sendable (Set<Lane>) -> Void

  private struct State {
    var nextID = 0
    var waiting: [Int: Waiter] = [:]
    var isClosed = false
    /// Something happened on this node: look at once.
    var isRung = false
    /// Something happened on another node: look soon.
    var isHinted = false
    /// Something will be there then that cannot be given out yet.
    var plannedLook: MonotonicTime?
    var lastLook = MonotonicTime(nanoseconds: .min / 2)
    /// Looks in a row that found nothing.
    var emptyLooks = 0
    /// Why the latest look came to nothing.
    var failure: StoreError?

    /// Every node hears of a task that one of them can get. Those who keep coming too late look less often, the others get it as
    /// quickly as before, and nothing waits longer than this.
    var pauseAfterHint: Duration {
      emptyLooks < 2 ? .zero : min(.milliseconds(1 << min(emptyLooks - 2, 10)), .milliseconds(10))
    }
  }

  private struct Waiter {
    var request: @Sendable () -> ClaimRequest
    var isForOneLook: Bool
    var continuation: CheckedContinuation<Claimed, Never>
  }

  /// Tasks, and when they were asked for: their leases count from then.
  package struct Claimed: Sendable {
    package var tasks: [ClaimedTask]
    package var sentAt: MonotonicTime
    /// Where there are none: the source could not be asked when it was last tried.
    package var failure: StoreError?
  }

  /// - Parameter onReturned: told where tasks are READY again that were given back.
  package init(
    source: any WorkSource, clock: any EngineClock, random: RandomSource, logger: Logger,
    pollInterval: Duration = .seconds(1), onReturned: @escaping @Sendable (Set<Lane>) -> Void = { _ in }
  ) {
    self.source = source
    self.clock = clock
    self.random = random
    self.logger = logger
    self.pollInterval = pollInterval
    self.onReturned = onReturned
  }

  /// At least one task as soon as there is one; none when the caller's task is cancelled or the broker closes.
  /// - Parameter request: asked anew for each look at the store, since a caller's free slots change while it waits. The token
  ///   is drawn here.
  package func claim(_ request: @escaping @Sendable () -> ClaimRequest) async -> Claimed {
    await claim(isForOneLook: false, request)
  }

  /// The same, but none after `patience` too; without any, what one look finds.
  package func claim(
    within patience: Duration, _ request: @escaping @Sendable () -> ClaimRequest
  ) async -> Claimed {
    guard patience > .zero else { return await claim(isForOneLook: true, request) }
    return await claim(isForOneLook: false, within: patience, request)
  }

  /// What one look finds; none where that is not over within `patience`.
  package func claimOnce(
    within patience: Duration, _ request: @escaping @Sendable () -> ClaimRequest
  ) async -> Claimed {
    await claim(isForOneLook: true, within: patience, request)
  }

  private func claim(
    isForOneLook: Bool, within patience: Duration, _ request: @escaping @Sendable () -> ClaimRequest
  ) async -> Claimed {
    await withTaskGroup(of: Claimed?.self) { group in
      group.addTask { await self.claim(isForOneLook: isForOneLook, request) }
      group.addTask { [clock] in
        try? await clock.sleep(for: patience)  // cancelled: there is something, or nobody waits any more
        return nil
      }
      var claimed = none
      for await result in group {
        if let result { claimed = result }  // also what was handed over in the last moment
        group.cancelAll()
      }
      return claimed
    }
  }

  private func claim(
    isForOneLook: Bool, _ request: @escaping @Sendable () -> ClaimRequest
  ) async -> Claimed {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isRefused = state.withLock { state in
          guard !state.isClosed, !Task.isCancelled else { return true }
          state.waiting[id] = Waiter(request: request, isForOneLook: isForOneLook, continuation: continuation)
          return false
        }
        if isRefused { continuation.resume(returning: none) } else { look { $0.isRung = true } }
      }
    } onCancel: {
      // What is on its way for it is given back when it arrives.
      let waiter = state.withLock { $0.waiting.removeValue(forKey: id) }
      waiter?.continuation.resume(returning: none)
    }
  }

  /// There may be work in these lanes, by this node's doing.
  package func ring(_ lanes: Set<Lane>) {
    if isWanted(lanes) { look { $0.isRung = true } }
  }

  /// There may be work in these lanes, by another node's doing; nil: in any.
  package func hear(of lanes: Set<Lane>?) {
    if lanes.map(isWanted) ?? true { look { $0.isHinted = true } }
  }

  /// What is in these lanes cannot be given out before this time has passed.
  package func hear(of lanes: Set<Lane>, in duration: Duration) {
    guard isWanted(lanes) else { return }
    let time = clock.now + duration
    look { $0.plannedLook = min($0.plannedLook ?? time, time) }
  }

  private func isWanted(_ lanes: Set<Lane>) -> Bool {
    // A waiter that is being asked for just now may have missed it, so it is among those looked at.
    let requests = state.withLock { $0.waiting.values.map { $0.request } }
    return requests.contains { request in
      let request = request()
      return lanes.contains { request.takes($0) }
    }
  }

  private func look(_ note: (inout State) -> Void) {
    state.withLock { note(&$0) }
    alarm.ring()
  }

  /// No more work is given out; all who wait get none, and `run` returns once nothing is on its way.
  package func close() {
    let waiters = state.withLock { state in
      state.isClosed = true
      defer { state.waiting = [:] }
      return Array(state.waiting.values)
    }
    for waiter in waiters { waiter.continuation.resume(returning: none) }
    alarm.ring()
  }

  package func run() async {
    var backoff = Backoff(random: random)
    while !Task.isCancelled, !state.withLock(\.isClosed) {
      guard let lookAt = nextLook else {
        await alarm.wait()
        continue
      }
      if lookAt > clock.now {
        await alarm.wait(until: lookAt, on: clock)
        continue
      }
      let asked = ask()
      guard !asked.isEmpty else { continue }
      let sentAt = clock.now
      do throws(StoreError) {
        let answers = try await source.claim(asked.map(\.request))
        if backoff.succeeded() { logger.info("claiming works again") }
        looked(andFound: answers.contains { !$0.isEmpty })
        await hand(answers.map { Claimed(tasks: $0, sentAt: sentAt) }, to: asked.map(\.id))
      } catch {
        state.withLock { $0.failure = error }
        await hand(asked.map { _ in Claimed(tasks: [], sentAt: sentAt, failure: error) }, to: asked.map(\.id))
        if backoff.isFirst { logger.error("cannot claim: \(error.message)") }
        try? await clock.sleep(for: backoff.failed())  // cancelled: the loop ends
        look { $0.isRung = true }
      }
    }
    close()
  }

  /// Nil while nobody waits.
  private var nextLook: MonotonicTime? {
    state.withLock { state in
      if state.waiting.isEmpty { return nil }
      if state.isRung { return state.lastLook }
      let next = state.lastLook + (state.isHinted ? state.pauseAfterHint : pollInterval)
      return min(next, state.plannedLook ?? next)
    }
  }

  private func looked(andFound hasFound: Bool) {
    let now = clock.now
    state.withLock { state in
      state.lastLook = now
      state.emptyLooks = hasFound ? 0 : state.emptyLooks + 1
      state.failure = nil
    }
  }

  /// What is asked of the store now. Rings that come from here on are for the next look.
  private func ask() -> [(id: Int, request: ClaimRequest)] {
    let now = clock.now
    let waiting = state.withLock { state in
      (state.isRung, state.isHinted, state.lastLook, state.plannedLook) = (false, false, now, nil)
      return state.waiting.keys.sorted().compactMap { id in state.waiting[id].map { (id: id, request: $0.request) } }
    }
    return waiting.map { waiter in
      var request = waiter.request()
      request.token = Int64(bitPattern: random.next())
      return (waiter.id, request)
    }
  }

  private var none: Claimed { Claimed(tasks: [], sentAt: clock.now, failure: state.withLock(\.failure)) }

  private func hand(_ answers: [Claimed], to ids: [Int]) async {
    var unwanted: [ClaimedTask] = []
    for (id, claimed) in zip(ids, answers) {
      let waiter = state.withLock { state -> Waiter? in
        guard !claimed.tasks.isEmpty || state.waiting[id]?.isForOneLook == true else { return nil }
        return state.waiting.removeValue(forKey: id)
      }
      if let waiter {
        waiter.continuation.resume(returning: claimed)
      } else {
        unwanted += claimed.tasks
      }
    }
    guard !unwanted.isEmpty else { return }
    let finishes = unwanted.map { Finish(lease: $0.lease, outcome: .released, randomness: random.fraction()) }
    do throws(StoreError) {
      let verdicts = try await source.finish(finishes)
      let ready = zip(unwanted, verdicts).filter { $1 == .applied(.ready) }.map(\.0)
      if !ready.isEmpty { onReturned(Set(ready.map { Lane(queue: $0.queue, type: $0.type) })) }
    } catch {
      logger.warning("could not give back \(unwanted.count) tasks: \(error.message); their leases will end")
    }
  }
}
