// A node's connection to the store: calls take time, fail before the store has heard of them, lose their answers after it has
// committed, are carried out twice, hang, or arrive when nobody waits for them any more. A crashed node gets no answers any more. What its calls change the other nodes hear
// of by the wire, if there is one.

package import MartletCore
package import MartletEngine
internal import Synchronization

/// How often things go wrong, 0…1 per call.
package struct LinkFaults: Sendable {
  package var failsBefore = 0.0
  package var losesAnswer = 0.0
  package var duplicates = 0.0
  /// The outcome is not known, and the call reaches the store up to four seconds later. For what changes tasks.
  package var arrivesLate = 0.0
  /// Calls get no answer before this is taken back, as when a network swallows every packet.
  package var hangs = false
  package var longestLatency = Duration.milliseconds(5)

  package init() {}
}

package final class SimulatedLink: TaskStore {
  private let inner: any TaskStore
  private let clock: any EngineClock
  private let random: RandomSource
  private let counters: Counters
  private let process: Int
  private let wire: HintWire?
  private let post: LatePost?
  private let sabotage: Sabotage?
  private let state = Mutex((faults: LinkFaults(), isCut: false))

  package init(
    _ inner: any TaskStore, process: Int, wire: HintWire? = nil, post: LatePost? = nil, clock: any EngineClock,
    random: RandomSource, counters: Counters, sabotage: Sabotage? = nil
  ) {
    self.post = post
    self.sabotage = sabotage
    self.inner = inner
    self.process = process
    self.wire = wire
    self.clock = clock
    self.random = random
    self.counters = counters
  }

  package var faults: LinkFaults {
    get { state.withLock { $0.faults } }
    set { state.withLock { $0.faults = newValue } }
  }

  /// The node has crashed: nothing gets through any more, in either direction.
  package func cut() {
    state.withLock { $0.isCut = true }
  }

  package var preferredConcurrency: Int { inner.preferredConcurrency }

  package func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {
    wire?.join(process, hear)
  }

  func call<Value>(
    _ isRepeatable: Bool = false, late: (@Sendable (any TaskStore) async throws(StoreError) -> Void)? = nil,
    hints: (Value) -> [StoreHint] = { _ in [] },
    _ operation: (any TaskStore) async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    try await travel()
    while self.faults.hangs { try? await clock.sleep(for: .milliseconds(10)) }
    let faults = faults
    counters.count("store call")
    if random.fraction() < faults.failsBefore { throw .unavailable("simulated: not reached") }
    if let late, let post, random.fraction() < faults.arrivesLate {
      counters.count("call arrived late")
      post.send(after: .milliseconds(1 + random.below(4000))) { [inner] in
        do throws(StoreError) { try await late(inner) } catch {}  // nobody waits for its answer
      }
      throw unknown("on its way")
    }
    var value = try await operation(inner)
    if isRepeatable, random.fraction() < faults.duplicates {
      counters.count("call delivered twice")
      value = try await operation(inner)
    }
    for hint in hints(value) { wire?.send(hint, from: process) }
    if random.fraction() < faults.losesAnswer {
      counters.count("answer lost after commit")
      throw unknown("answer lost")
    }
    try await travel()
    return value
  }

  private func unknown(_ why: String) -> StoreError {
    sabotage == .takesUnknownForFailure ? .unavailable("simulated: \(why)") : .unknownOutcome("simulated: \(why)")
  }

  private func travel() async throws(StoreError) {
    let longest = faults.longestLatency
    if longest > .zero { try? await clock.sleep(for: longest * random.fraction()) }
    if state.withLock({ $0.isCut }) { throw .unavailable("simulated: crashed") }
  }

  package func now() async throws(StoreError) -> Timestamp {
    try await call { (store) throws(StoreError) in try await store.now() }
  }
  package func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    try await call(
      true, late: { (store) throws(StoreError) in _ = try await store.submit(submissions) },
      hints: { StoreHint.after(submissions, $0) }
    ) { (store) throws(StoreError) in
      try await store.submit(submissions)
    }
  }
  package func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    let claimed = try await call(
      late: { (store) throws(StoreError) in _ = try await store.claim(requests) }
    ) { (store) throws(StoreError) in
      try await store.claim(requests)
    }
    guard sabotage == .overstatesLeases else { return claimed }
    return claimed.map { tasks in
      tasks.map { task in
        var task = task
        task.expiresIn = task.expiresIn * 2
        return task
      }
    }
  }
  package func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    let verdicts = try await call(
      true, late: { (store) throws(StoreError) in _ = try await store.renew(renewals) }
    ) { (store) throws(StoreError) in
      try await store.renew(renewals)
    }
    guard sabotage == .overstatesLeases else { return verdicts }
    return verdicts.map { verdict in
      guard case .renewed(let end, let rest) = verdict else { return verdict }
      return .renewed(expiresAt: end, expiresIn: rest * 2)
    }
  }
  package func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    let verdicts = try await call(
      true, late: { (store) throws(StoreError) in _ = try await store.finish(finishes) }, hints: StoreHint.after
    ) { (store) throws(StoreError) in
      try await store.finish(finishes)
    }
    for verdict in verdicts where verdict == .lost { counters.count("stale finish refused") }
    return verdicts
  }
  package func promote(limit: Int) async throws(StoreError) -> Promotion {
    try await call(hints: { $0.lanes.isEmpty ? [] : [.work($0.lanes)] }) { (store) throws(StoreError) in
      try await store.promote(limit: limit)
    }
  }
  package func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue {
    let rescue = try await call(hints: StoreHint.after) { (store) throws(StoreError) in
      try await store.rescue(limit: limit, randomness: randomness)
    }
    for rescued in rescue.rescued { counters.count("rescued \(rescued.outcome.rawValue)") }
    return rescue
  }
  package func settle(limit: Int) async throws(StoreError) -> Settlement {
    try await call(hints: StoreHint.after) { (store) throws(StoreError) in try await store.settle(limit: limit) }
  }
  package func queueSettings() async throws(StoreError) -> [String: QueueSettings] {
    try await call { (store) throws(StoreError) in try await store.queueSettings() }
  }
  package func change(
    queue: String, _ patch: QueuePatch, actor: String
  ) async throws(StoreError) -> QueueSettings {
    try await call(hints: { _ in [.settings, .anyWork] }) { (store) throws(StoreError) in
      try await store.change(queue: queue, patch, actor: actor)
    }
  }
  package func typeSettings() async throws(StoreError) -> [String: TypeSettings] {
    try await call { (store) throws(StoreError) in try await store.typeSettings() }
  }
  package func put(type: String, _ settings: TypeSettings, actor: String) async throws(StoreError) {
    try await call(hints: { _ in [.settings, .anyWork] }) { (store) throws(StoreError) in
      try await store.put(type: type, settings, actor: actor)
    }
  }
  package func admit(limit: Int) async throws(StoreError) -> Admission {
    try await call(hints: { $0.lanes.isEmpty ? [] : [.work($0.lanes)] }) { (store) throws(StoreError) in
      try await store.admit(limit: limit)
    }
  }
  package func graph(_ id: TaskID) async throws(StoreError) -> TaskGraph? {
    try await call { (store) throws(StoreError) in try await store.graph(id) }
  }
  package func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    try await call { (store) throws(StoreError) in try await store.prune(policy, limit: limit) }
  }
  package func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] {
    try await call(
      late: { (store) throws(StoreError) in _ = try await store.steer(commands) }, hints: StoreHint.after
    ) { (store) throws(StoreError) in
      try await store.steer(commands)
    }
  }
  package func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?] {
    let records = try await call { (store) throws(StoreError) in try await store.tasks(ids) }
    return sabotage == .mixesUpReads ? records.reversed() : records
  }
  package func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage {
    try await call { (store) throws(StoreError) in try await store.list(query) }
  }
  package func counts() async throws(StoreError) -> [TaskCount] {
    try await call { (store) throws(StoreError) in try await store.counts() }
  }
  package func claimable(in lanes: Set<Lane>?, limit: Int) async throws(StoreError) -> ClaimableTasks {
    try await call { (store) throws(StoreError) in try await store.claimable(in: lanes, limit: limit) }
  }
  package func oldestReady() async throws(StoreError) -> [String: Timestamp] {
    try await call { (store) throws(StoreError) in try await store.oldestReady() }
  }
  package func register(_ worker: WorkerRecord) async throws(StoreError) {
    try await call { (store) throws(StoreError) in try await store.register(worker) }
  }
  package func unregister(worker id: String) async throws(StoreError) {
    try await call { (store) throws(StoreError) in try await store.unregister(worker: id) }
  }
  package func workers() async throws(StoreError) -> [WorkerRecord] {
    try await call { (store) throws(StoreError) in try await store.workers() }
  }
  package func check() async throws(StoreError) {
    try await call { (store) throws(StoreError) in try await store.check() }
  }
  package func close() async {}
}

/// How often interesting things happened: a simulation in which they never do proves nothing.
package final class Counters: Sendable {
  private let counts = Mutex<[String: Int]>([:])

  package init() {}

  package func count(_ name: String) {
    counts.withLock { $0[name, default: 0] += 1 }
  }

  package var all: [String: Int] { counts.withLock(\.self) }
}
