// The reference model: every sentence of the store contract in the plainest way there is, a dictionary behind a lock. It
// keeps nothing on disk and does no step cleverly; other stores are compared with it, and the engine is tested on it.

package import MartletCore
internal import Synchronization

package final class MemoryStore: TaskStore {
  private struct Contents {
    var state = MemoryState()
    var isClosed = false
  }

  package let preferredConcurrency: Int
  private let contents = Mutex(Contents())
  private let hear = Mutex<(@Sendable (StoreHint) -> Void)?>(nil)
  private let clock: @Sendable () -> Timestamp
  private let observer: (any StepObserver)?

  /// - Parameter sabotage: a bug that it is to have.
  package init(
    preferredConcurrency: Int = 1, observer: (any StepObserver)? = nil, sabotage: Sabotage? = nil,
    clock: @escaping @Sendable () -> Timestamp
  ) {
    self.preferredConcurrency = preferredConcurrency
    self.observer = observer
    self.clock = clock
    contents.withLock { $0.state.sabotage = sabotage }
  }

  package func now() async throws(StoreError) -> Timestamp {
    try transaction { _, now in now }
  }

  package func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    try transaction(as: { .submit(submissions, $0) }) { state, now in
      submissions.map { state.submitAndWriteDown($0, now: now) }
    }
  }

  package func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    try transaction(as: { .claim(requests, $0) }) { state, now in requests.map { state.claim($0, now: now) } }
  }

  package func claimable(in lanes: Set<Lane>?, limit: Int) async throws(StoreError) -> ClaimableTasks {
    try transaction { state, _ in state.claimable(in: lanes, limit: limit) }
  }

  package func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    try transaction(as: { .renew(renewals, $0) }) { state, now in renewals.map { state.renew($0, now: now) } }
  }

  package func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    try transaction(as: { .finish(finishes, $0) }) { state, now in finishes.map { state.finish($0, now: now) } }
  }

  package func promote(limit: Int) async throws(StoreError) -> Promotion {
    try transaction { state, now in state.promote(limit: limit, now: now) }
  }

  package func settle(limit: Int) async throws(StoreError) -> Settlement {
    try transaction { _, _ in Settlement(lanes: [], cancelled: 0, isPartial: false) }  // nothing is ever left over
  }

  package func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue {
    try transaction(as: { .rescue($0) }) { state, now in
      state.rescue(limit: limit, randomness: randomness, now: now)
    }
  }

  package func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    try transaction(as: { _ in .prune(policy) }) { state, now in state.prune(policy, limit: limit, now: now) }
  }

  package func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] {
    try transaction(as: { .steer(commands, $0) }) { state, now in commands.map { state.steer($0, now: now) } }
  }

  package func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?] {
    try transaction { state, _ in ids.map { state.tasks[$0]?.record } }
  }

  package func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage {
    try transaction { state, _ in state.list(query) }
  }

  package func attempts(
    of id: TaskID, after number: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<AttemptRecord>? {
    let range = HistoryRange(after: number, limit: limit)
    return try transaction { state, _ in
      state.tasks[id].map { task in
        range.page(task.attempts.map(\.record).filter { range.contains($0.number) }, latest: task.record.attempt)
      }
    }
  }

  package func events(
    of id: TaskID, after sequence: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<TaskEvent>? {
    let range = HistoryRange(after: sequence, limit: limit)
    return try transaction { state, _ in
      state.tasks[id].map { task in
        range.page(task.events.filter { range.contains($0.sequence) }, latest: task.record.sequence)
      }
    }
  }

  package func graph(_ id: TaskID) async throws(StoreError) -> TaskGraph? {
    try transaction { state, _ in state.graph(id) }
  }

  package func counts() async throws(StoreError) -> [TaskCount] {
    try transaction { state, _ in state.counts() }
  }

  package func oldestReady() async throws(StoreError) -> [String: Timestamp] {
    try transaction { state, _ in state.oldestReady() }
  }

  package func register(_ worker: WorkerRecord) async throws(StoreError) {
    try transaction { state, now in
      if let listed = state.workers[worker.id], listed.kind == .node, worker.kind == .remote,
        now - listed.lastSeenAt < WorkerRecord.lifetime
      {
        return
      }
      state.workers[worker.id] = worker
      state.workers[worker.id]?.lastSeenAt = now
    }
  }

  package func unregister(worker id: String) async throws(StoreError) {
    try transaction { state, _ in state.workers[id] = nil }
  }

  package func workers() async throws(StoreError) -> [WorkerRecord] {
    try transaction { state, now in
      state.workers.values
        .filter { now - $0.lastSeenAt < WorkerRecord.lifetime }
        .sorted { $0.id < $1.id }
    }
  }

  package func queueSettings() async throws(StoreError) -> [String: QueueSettings] {
    try transaction { state, _ in state.queues }
  }

  package func change(
    queue: String, _ patch: QueuePatch, actor: String
  ) async throws(StoreError) -> QueueSettings {
    try transaction { state, now in
      state.write(patch.note(queue: queue, actor: actor), now: now)
      return state.change(queue: queue, patch, now: now)
    }
  }

  package func typeSettings() async throws(StoreError) -> [String: TypeSettings] {
    try transaction { state, _ in state.types }
  }

  package func put(type: String, _ settings: TypeSettings, actor: String) async throws(StoreError) {
    try transaction { state, now in
      state.write(settings.note(type: type, actor: actor), now: now)
      state.put(type: type, settings)
    }
  }

  package func admit(limit: Int) async throws(StoreError) -> Admission {
    try transaction { state, now in state.admit(limit: limit, now: now) }
  }

  package func check() async throws(StoreError) {
    try transaction { _, _ in }
  }

  package func close() async {
    contents.withLock { $0.isClosed = true }
  }

  func transaction<Answer: Sendable>(
    as call: (Answer) -> StoreStep.Call = { _ in .other }, _ body: (inout MemoryState, Timestamp) -> Answer
  ) throws(StoreError) -> Answer {
    let (answer, hints) = try contents.withLock { (contents) throws(StoreError) in
      if contents.isClosed { throw .unavailable("the store is closed") }
      let now = clock()
      contents.state.tasks.begin()
      contents.state.sabotaged.isReport = false
      contents.state.sabotaged.hasSettled = false
      let answer = body(&contents.state, now)
      contents.state.writeNotices()
      let noted = contents.state.noteMoves(now: now)
      if let observer {
        let call = call(answer)
        // Idle looks for work are most of all calls.
        if call.tellsWithoutChange || !contents.state.tasks.before.isEmpty {
          observer.saw(contents.state.step(call, noted: noted, now: now))
        }
      }
      defer { contents.state.hints = [] }
      return (answer, contents.state.hints + (contents.state.hasLine ? [.unadmitted] : []))
    }
    if !hints.isEmpty, let hear = hear.withLock(\.self) { hints.forEach(hear) }
    return answer
  }

  package func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {
    self.hear.withLock { $0 = hear }
  }
}
