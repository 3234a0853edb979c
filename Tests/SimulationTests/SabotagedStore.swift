// Stores with a bug put in on purpose: the simulation is only worth its name if it finds them.

import MartletCore
import MartletTestKit
import Synchronization

final class SabotagedStore: TaskStore {
  private let inner: MemoryStore
  private let sabotage: World.Sabotage
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
  func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue {
    try await inner.rescue(limit: limit, randomness: randomness)
  }
  func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    try await inner.prune(policy, limit: limit)
  }
  func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] { try await inner.steer(commands) }
  func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?] { try await inner.tasks(ids) }
  func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage { try await inner.list(query) }
  func attempts(of id: TaskID) async throws(StoreError) -> [AttemptRecord]? { try await inner.attempts(of: id) }
  func events(of id: TaskID) async throws(StoreError) -> [TaskEvent]? { try await inner.events(of: id) }
  func counts() async throws(StoreError) -> [TaskCount] { try await inner.counts() }
  func oldestReady() async throws(StoreError) -> [String: Timestamp] { try await inner.oldestReady() }
  func register(_ worker: WorkerRecord) async throws(StoreError) { try await inner.register(worker) }
  func unregister(worker id: String) async throws(StoreError) { try await inner.unregister(worker: id) }
  func workers() async throws(StoreError) -> [WorkerRecord] { try await inner.workers() }
  func check() async throws(StoreError) { try await inner.check() }
  func close() async {}
}
