// A store that fails where a test wants it to: before its commit, when nothing has happened, or after it, when everything
// has and only the answer is lost. Callers must come out right in both cases.

package import MartletCore
internal import Synchronization

package enum StoreOperation: String, CaseIterable, Sendable {
  case now, submit, claim, renew, finish, promote, rescue, settle, prune, sweep, steer, tasks, list, graph, attempts
  case events, counts, claimable, oldestReady, register, unregister, workers, check, audit, pruneAudit, apiKeys
  case queueSettings, changeQueue, typeSettings, putType, admit
  case begin, dueBulk, carryOn, endBulk, bulkJob, bulkJobs, count, pruneBulk, facts
  case attend, takeEntries, stories, settleEntries, release, sinks
  case appendToStream, streamPage, pruneStream
  case takeNotices, settleNotices, notices, notice, resend, abandonNotices, waitingNotices
  case settingsRevision, writeSettings, settingsRevisions
  case putSchedule, deleteSchedule, schedule, schedules, dueSchedules, advanceSchedules
}

package enum Fault: Sendable, Hashable {
  /// `.unavailable`; the store behind is not called.
  case before
  /// `.unusable`; the store behind is not called.
  case forGood
  /// `.unknownOutcome`; the store behind has done it.
  case after
}

package final class FaultyStore: TaskStore {
  let inner: any TaskStore
  private let fault: @Sendable (StoreOperation, Int) -> Fault?
  private let pause: @Sendable (StoreOperation) async -> Void
  private let counters = Mutex<[StoreOperation: Int]>([:])
  private let inFlight = Mutex<[StoreOperation: (now: Int, most: Int)]>([:])

  /// - Parameters:
  ///   - pause: awaited in each call.
  ///   - fault: asked once for each call, with the number of the call among those of its operation: 1 is the first.
  package init(
    _ inner: any TaskStore, pause: @escaping @Sendable (StoreOperation) async -> Void = { _ in },
    fault: @escaping @Sendable (StoreOperation, Int) -> Fault?
  ) {
    self.inner = inner
    self.pause = pause
    self.fault = fault
  }

  /// How often an operation was called so far, whatever came of it.
  package func calls(of operation: StoreOperation) -> Int {
    counters.withLock { $0[operation, default: 0] }
  }

  /// How many calls of an operation were under way at once, at most.
  package func mostAtOnce(of operation: StoreOperation) -> Int {
    inFlight.withLock { $0[operation]?.most ?? 0 }
  }

  func call<Answer: Sendable>(
    _ operation: StoreOperation, _ body: () async throws(StoreError) -> Answer
  ) async throws(StoreError) -> Answer {
    let number = counters.withLock { counters in
      counters[operation, default: 0] += 1
      return counters[operation, default: 0]
    }
    inFlight.withLock { inFlight in
      let (now, most) = inFlight[operation, default: (0, 0)]
      inFlight[operation] = (now + 1, max(most, now + 1))
    }
    defer { inFlight.withLock { $0[operation]?.now -= 1 } }
    await pause(operation)
    let fault = fault(operation, number)
    if fault == .before { throw .unavailable("\(operation.rawValue) \(number) failed on purpose") }
    if fault == .forGood { throw .unusable("\(operation.rawValue) \(number) fails for good on purpose") }
    let answer = try await body()
    if fault == .after { throw .unknownOutcome("the answer of \(operation.rawValue) \(number) was lost on purpose") }
    return answer
  }

  package func now() async throws(StoreError) -> Timestamp {
    try await call(.now) { () async throws(StoreError) in try await inner.now() }
  }

  package func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    try await call(.submit) { () async throws(StoreError) in try await inner.submit(submissions) }
  }

  package func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    try await call(.claim) { () async throws(StoreError) in try await inner.claim(requests) }
  }

  package func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    try await call(.renew) { () async throws(StoreError) in try await inner.renew(renewals) }
  }

  package func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    try await call(.finish) { () async throws(StoreError) in try await inner.finish(finishes) }
  }

  package func promote(limit: Int) async throws(StoreError) -> Promotion {
    try await call(.promote) { () async throws(StoreError) in try await inner.promote(limit: limit) }
  }

  package func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue {
    try await call(.rescue) { () async throws(StoreError) in
      try await inner.rescue(limit: limit, randomness: randomness)
    }
  }

  package func settle(limit: Int) async throws(StoreError) -> Settlement {
    try await call(.settle) { () async throws(StoreError) in try await inner.settle(limit: limit) }
  }

  package func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    try await call(.prune) { () async throws(StoreError) in try await inner.prune(policy, limit: limit) }
  }

  package func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] {
    try await call(.steer) { () async throws(StoreError) in try await inner.steer(commands) }
  }

  package func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?] {
    try await call(.tasks) { () async throws(StoreError) in try await inner.tasks(ids) }
  }

  package func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage {
    try await call(.list) { () async throws(StoreError) in try await inner.list(query) }
  }

  package func graph(_ id: TaskID) async throws(StoreError) -> TaskGraph? {
    try await call(.graph) { () async throws(StoreError) in try await inner.graph(id) }
  }

  package func counts() async throws(StoreError) -> [TaskCount] {
    try await call(.counts) { () async throws(StoreError) in try await inner.counts() }
  }

  package func claimable(in lanes: Set<Lane>?, limit: Int) async throws(StoreError) -> ClaimableTasks {
    try await call(.claimable) { () async throws(StoreError) in try await inner.claimable(in: lanes, limit: limit) }
  }

  package func oldestReady() async throws(StoreError) -> [String: Timestamp] {
    try await call(.oldestReady) { () async throws(StoreError) in try await inner.oldestReady() }
  }

  package func register(_ worker: WorkerRecord) async throws(StoreError) {
    try await call(.register) { () async throws(StoreError) in try await inner.register(worker) }
  }

  package func unregister(worker id: String) async throws(StoreError) {
    try await call(.unregister) { () async throws(StoreError) in try await inner.unregister(worker: id) }
  }

  package func workers() async throws(StoreError) -> [WorkerRecord] {
    try await call(.workers) { () async throws(StoreError) in try await inner.workers() }
  }

  package func queueSettings() async throws(StoreError) -> [String: QueueSettings] {
    try await call(.queueSettings) { () async throws(StoreError) in try await inner.queueSettings() }
  }

  package func change(
    queue: String, _ patch: QueuePatch, actor: String
  ) async throws(StoreError) -> QueueSettings {
    try await call(.changeQueue) { () async throws(StoreError) in
      try await inner.change(queue: queue, patch, actor: actor)
    }
  }

  package func typeSettings() async throws(StoreError) -> [String: TypeSettings] {
    try await call(.typeSettings) { () async throws(StoreError) in try await inner.typeSettings() }
  }

  package func put(type: String, _ settings: TypeSettings, actor: String) async throws(StoreError) {
    try await call(.putType) { () async throws(StoreError) in
      try await inner.put(type: type, settings, actor: actor)
    }
  }

  package func admit(limit: Int) async throws(StoreError) -> Admission {
    try await call(.admit) { () async throws(StoreError) in try await inner.admit(limit: limit) }
  }

  package var preferredConcurrency: Int { inner.preferredConcurrency }

  package func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {
    inner.listen(hear)
  }

  package func check() async throws(StoreError) {
    try await call(.check) { () async throws(StoreError) in try await inner.check() }
  }

  package func close() async {
    await inner.close()
  }
}
