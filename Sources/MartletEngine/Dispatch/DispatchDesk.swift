// Work by way of a dispatch queue beside the store: what becomes READY here is told to it, and claims ask it first, so that idle nodes
// need not ask the store. All it says is advice. What it gives out is claimed by its ids in the store, whose lease is the only one;
// what it was not told, or has forgotten, a sweep finds; and where it does not answer, the store is asked as ever.

internal import MartletCore
internal import Synchronization

final class DispatchDesk: Sendable {
  let dispatcher: any Dispatcher
  private let bell: any LaneBell
  let parts: EngineParts
  private let alarm = Alarm()
  private let state = Mutex(State())

  private struct State {
    var news = News()
    /// Lanes of which only the first tasks were told.
    var cutLanes: Set<Lane> = []
    /// Something may not have been told: all is gone through at the next claim.
    var mustSweep = true
    /// When to ask next whether this node goes through all.
    var nextTurn = MonotonicTime(nanoseconds: .min / 2)
    /// Queues whose tasks are counted when they are claimed: the store keeps their order itself. Nil while it is not known which.
    var limitedQueues: Set<String>?
  }

  /// What the queue is to be told.
  private struct News {
    var entries: [DispatchEntry] = []
    /// READY tasks appeared there, of which only the store knows which.
    var lanes: Set<Lane> = []
    /// The same in any lanes.
    var isAnywhere = false
    /// The store has judged these.
    var judged: [TaskID] = []

    var isEmpty: Bool { entries.isEmpty && lanes.isEmpty && judged.isEmpty && !isAnywhere }
  }

  /// Entries kept for the next message; of more than these only the lanes.
  private static let mostEntries = 20_000
  /// All is gone through once in this time, by one node of all.
  static let sweepInterval = Duration.seconds(5)
  /// Whether everything was forgotten is asked so often.
  private static let turnInterval = Duration.seconds(1)
  /// Tasks of one lane and priority that a sweep tells: of all lanes, or of those that have run dry.
  private static let (sweptOfAll, sweptOfSome) = (200, 1000)

  init(_ accelerators: Accelerators, _ parts: EngineParts) {
    dispatcher = accelerators.dispatcher
    bell = accelerators.bell
    self.parts = parts
  }

  // MARK: What appears

  /// Known tasks have become READY.
  func appeared(_ entries: [DispatchEntry]) {
    note { state in
      let limited = state.limitedQueues ?? []
      for entry in entries {
        if limited.contains(entry.lane.queue) || state.news.entries.count >= Self.mostEntries {
          state.news.lanes.insert(entry.lane)
        } else {
          state.news.entries.append(entry)
        }
      }
    }
  }

  /// Tasks have become READY in these lanes.
  func appeared(in lanes: Set<Lane>) {
    note { $0.news.lanes.formUnion(lanes) }
  }

  /// Tasks have become READY, nobody knows where.
  func appearedSomewhere() {
    note { $0.news.isAnywhere = true }
  }

  /// What can be claimed may have changed everywhere.
  func reconsider() {
    state.withLock { $0.mustSweep = true }
  }

  private func note(_ change: (inout State) -> Void) {
    state.withLock { change(&$0) }
    alarm.ring()
  }

  /// Tells the queue, then whoever waits for work here and on other nodes. Until cancelled.
  func run(_ broker: ClaimBroker) async {
    bell.listen { [broker] lanes in broker.hear(of: lanes) }
    while !Task.isCancelled {
      let news = state.withLock { state in
        defer { state.news = News() }
        return state.news
      }
      guard !news.isEmpty else {
        await alarm.wait()
        continue
      }
      let lanes = await tell(news).union(news.lanes).union(news.entries.map(\.lane))
      guard !lanes.isEmpty else { continue }
      broker.ring(lanes)
      do throws(AcceleratorFailure) {
        try await bell.ring(lanes)
      } catch {}  // a hint lost, which others find by looking
    }
  }

  /// - Returns: lanes in which it has found more than it was told of.
  private func tell(_ news: News) async -> Set<Lane> {
    var found: Set<Lane> = []
    do throws(AcceleratorFailure) {
      if !news.entries.isEmpty { try await dispatcher.push(news.entries) }
      let unknown = state.withLock { state in news.lanes.filter { state.limitedQueues?.contains($0.queue) != true } }
      if !unknown.isEmpty || news.isAnywhere {
        try await dispatcher.check()
        found = try await sweep(news.isAnywhere ? nil : unknown)
      }
      if !news.judged.isEmpty { try await dispatcher.forget(news.judged) }
    } catch {
      reconsider()
    }
    return found
  }

  // MARK: Claims

  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    guard let limited = state.withLock(\.limitedQueues) else { return try await claimInStore(requests) }
    let named: [[TaskID]]
    do throws(AcceleratorFailure) {
      try await sweepAllInTurn()
      named = try await take(requests)
    } catch {
      reconsider()
      parts.metrics.outside.dispatchFellBack()
      return try await claimInStore(requests)
    }
    var claimed = try await claim(named, for: requests)
    do throws(StoreError) {
      try await claimLimited(in: limited, requests, &claimed)
    } catch {
      // What was claimed is told, or it would wait for its leases to end.
      guard claimed.contains(where: { !$0.isEmpty }) else { throw error }
    }
    return claimed
  }

  private func claimInStore(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    try await parts.timed("claim", items: requests.count) { () throws(StoreError) in
      try await parts.store.claim(requests)
    }
  }

  private func claim(
    _ named: [[TaskID]], for requests: [ClaimRequest]
  ) async throws(StoreError) -> [[ClaimedTask]] {
    var answers: [[ClaimedTask]] = requests.map { _ in [] }
    let asked = requests.indices.filter { !named[$0].isEmpty }
    guard !asked.isEmpty else { return answers }
    let all = named.flatMap(\.self)
    do throws(StoreError) {
      let claimed = try await claimInStore(
        asked.map { index in
          var request = requests[index]
          request.ids = named[index]
          return request
        })
      for (index, tasks) in zip(asked, claimed) { answers[index] = tasks }
    } catch {
      do throws(AcceleratorFailure) {
        try await dispatcher.giveBack(all)
      } catch {}  // their time ends, and others get them
      throw error
    }
    let count = answers.reduce(0) { $0 + $1.count }
    parts.metrics.outside.dispatched(claimed: count, refused: all.count - count)
    note { $0.news.judged += all }
    return answers
  }

  /// As much more as there is room for, of queues whose order the store keeps.
  private func claimLimited(
    in limited: Set<String>, _ requests: [ClaimRequest], _ claimed: inout [[ClaimedTask]]
  ) async throws(StoreError) {
    var asked: [(index: Int, request: ClaimRequest)] = []
    for (index, request) in requests.enumerated() {
      let queues = request.takesAllQueues ? limited : limited.intersection(request.queues)
      let left = request.limit - claimed[index].count
      guard !queues.isEmpty, left > 0 else { continue }
      var rest = request
      rest.queues = queues.sorted()
      rest.limit = left
      rest.ahead = min(request.ahead, left)
      rest.token = Int64(bitPattern: parts.random.next())
      asked.append((index, rest))
    }
    guard !asked.isEmpty else { return }
    for (asked, tasks) in zip(asked, try await claimInStore(asked.map(\.request))) { claimed[asked.index] += tasks }
  }

  /// Ids for each request. A lane that has run dry here, and of which there may be more in the store, is filled up.
  private func take(_ requests: [ClaimRequest]) async throws(AcceleratorFailure) -> [[TaskID]] {
    var named = try await dispatcher.take(requests)
    let cut = state.withLock(\.cutLanes)
    let hungry = requests.indices.filter { named[$0].count < requests[$0].limit }
    let dry = cut.filter { lane in hungry.contains { requests[$0].takes(lane) } }
    guard !dry.isEmpty else { return named }
    do throws(AcceleratorFailure) {
      guard try await !sweep(dry).isEmpty else { return named }
      let more = try await dispatcher.take(
        hungry.map { index in
          var request = requests[index]
          request.limit -= named[index].count
          return request
        })
      for (index, ids) in zip(hungry, more) { named[index] += ids }
    } catch {
      reconsider()  // what was taken is ours all the same
    }
    return named
  }

  // MARK: Sweeps

  private func sweepAllInTurn() async throws(AcceleratorFailure) {
    let now = parts.clock.now
    let (must, isTime) = state.withLock { state in
      defer {
        state.mustSweep = false
        if state.nextTurn <= now { state.nextTurn = now + Self.turnInterval }
      }
      return (state.mustSweep, state.nextTurn <= now)
    }
    do throws(AcceleratorFailure) {
      // Asked first also where a sweep is due anyway: where there is no answer, the store is spared it.
      let isOurTurn = isTime || must ? try await dispatcher.takeTurn(for: Self.sweepInterval) : false
      if must || isOurTurn { _ = try await sweep(nil) }
    } catch {
      reconsider()
      throw error
    }
  }

  /// Tells the queue what the store has and it has not; nil is for all lanes.
  /// - Returns: where something was missing.
  private func sweep(_ lanes: Set<Lane>?) async throws(AcceleratorFailure) -> Set<Lane> {
    let found: ClaimableTasks
    do throws(StoreError) {
      let limit = lanes == nil ? Self.sweptOfAll : Self.sweptOfSome
      found = try await parts.timed("claimable") { () throws(StoreError) in
        try await parts.store.claimable(in: lanes, limit: limit)
      }
    } catch {
      reconsider()  // the claim that follows tells of it
      return []
    }
    let missing = try await dispatcher.unknown(among: found.entries)
    try await dispatcher.push(missing)
    state.withLock { state in
      state.cutLanes = lanes.map { state.cutLanes.subtracting($0) } ?? []
      state.cutLanes.formUnion(found.cutLanes)
    }
    return Set(missing.map(\.lane))
  }

  fileprivate func refreshLimits() async throws(StoreError) {
    let settings = try await parts.timed("queue-settings") { () throws(StoreError) in
      try await parts.store.queueSettings()
    }
    state.withLock { $0.limitedQueues = Set(settings.filter { $0.value.isLimited }.keys) }
  }
}

extension PeriodicService {
  /// Which queues are limited, as soon as this is told, and now and then, since telling may fail.
  static func limitedQueues(_ engine: EngineParts, _ desk: DispatchDesk) -> PeriodicService {
    let alarm = Alarm()
    engine.wakeUp.onSettingsChanged {
      desk.reconsider()
      alarm.ring()
    }
    return PeriodicService(
      "queue-settings", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      try await desk.refreshLimits()
      return .seconds(10)
    }
  }
}
