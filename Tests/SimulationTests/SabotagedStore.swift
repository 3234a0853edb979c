// Stores with a bug put in on purpose: the simulation is only worth its name if it finds them.

import MartletCore
import MartletTestKit
import Synchronization

final class SabotagedStore: TaskStore {
  let inner: MemoryStore
  let sabotage: World.Sabotage
  let entries = Mutex<[Int64]>([])
  private let leases = Mutex<[TaskID: LeaseID]>([:])

  init(_ inner: MemoryStore, _ sabotage: World.Sabotage) {
    self.inner = inner
    self.sabotage = sabotage
  }

  func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    guard sabotage == .forgets, submissions.count % 2 == 1, let task = submissions.first?.tasks.first,
      task.id.low % 5 == 0
    else { return try await inner.submit(submissions) }
    let now = try await inner.now()
    return submissions.map { _ in .accepted(at: now) }
  }

  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    let claimed = try await inner.claim(requests)
    leases.withLock { leases in
      for task in claimed.joined() { leases[task.id] = task.lease }
    }
    return claimed
  }

  func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    // A renewal that is granted and not written: the rescuer then takes a lease that its worker believes in.
    guard sabotage == .rescuesEarly else { return try await inner.renew(renewals) }
    let now = try await inner.now()
    return renewals.map { _ in .renewed(expiresAt: now + .seconds(3), expiresIn: .seconds(3)) }
  }

  func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    guard sabotage == .dropsFence else { return try await inner.finish(finishes) }
    let current = leases.withLock(\.self)
    return try await inner.finish(
      finishes.map { finish in
        var finish = finish
        finish.lease = current[finish.lease.task] ?? finish.lease
        return finish
      })
  }

  var preferredConcurrency: Int { inner.preferredConcurrency }
  func now() async throws(StoreError) -> Timestamp { try await inner.now() }
  func promote(limit: Int) async throws(StoreError) -> Promotion { try await inner.promote(limit: limit) }
  func settle(limit: Int) async throws(StoreError) -> Settlement {
    try await inner.settle(limit: limit)
  }

  func queueSettings() async throws(StoreError) -> [String: QueueSettings] { try await inner.queueSettings() }
  func change(queue: String, _ patch: QueuePatch, actor: String) async throws(StoreError) -> QueueSettings {
    try await inner.change(queue: queue, patch, actor: actor)
  }
  func typeSettings() async throws(StoreError) -> [String: TypeSettings] { try await inner.typeSettings() }
  func put(type: String, _ settings: TypeSettings, actor: String) async throws(StoreError) {
    try await inner.put(type: type, settings, actor: actor)
  }
  func admit(limit: Int) async throws(StoreError) -> Admission { try await inner.admit(limit: limit) }

  func graph(_ id: TaskID) async throws(StoreError) -> TaskGraph? {
    try await inner.graph(id)
  }

  func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue {
    try await inner.rescue(limit: limit, randomness: randomness)
  }
  func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    try await inner.prune(policy, limit: limit)
  }
  func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool
  ) async throws(StoreError) -> SweepPage {
    try await inner.sweep(policy, after: cursor, limit: limit, deletes: deletes)
  }
  func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] { try await inner.steer(commands) }
  func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?] { try await inner.tasks(ids) }
  func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage { try await inner.list(query) }
  func attempts(
    of id: TaskID, after number: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<AttemptRecord>? {
    try await inner.attempts(of: id, after: number, limit: limit)
  }
  func events(
    of id: TaskID, after sequence: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<TaskEvent>? {
    try await inner.events(of: id, after: sequence, limit: limit)
  }
  func counts() async throws(StoreError) -> [TaskCount] { try await inner.counts() }
  func claimable(in lanes: Set<Lane>?, limit: Int) async throws(StoreError) -> ClaimableTasks {
    try await inner.claimable(in: lanes, limit: limit)
  }
  func oldestReady() async throws(StoreError) -> [String: Timestamp] { try await inner.oldestReady() }
  func register(_ worker: WorkerRecord) async throws(StoreError) { try await inner.register(worker) }
  func unregister(worker id: String) async throws(StoreError) { try await inner.unregister(worker: id) }
  func workers() async throws(StoreError) -> [WorkerRecord] { try await inner.workers() }
  func check() async throws(StoreError) { try await inner.check() }
  func close() async {}
}
