// Bugs for a real store: the check of concurrent histories is only worth its name if it finds them.

import MartletCore
import MartletTestKit
import Synchronization

enum Sabotage: CaseIterable {
  /// Accepts one submission in three without writing it.
  case forgetsSubmissions
  /// Takes any report for one of the current lease.
  case dropsFence
  /// Says to reports that come too late that they were in time.
  case praisesLateReports
  /// Grants renewals and does not write them.
  case grantsRenewals
  /// Gives out again what it has just given out.
  case claimsTwice
  /// Says of a finished task that it was cancelled.
  case cancelsSuccess
  /// Reads from a copy that is one read old.
  case readsOldCopies
  /// Carries out every fourth command twice.
  case repeatsCommands
  /// Loses what a patch said of tags.
  case losesPatches
  /// Says that leases last two seconds longer than they do.
  case promisesLongLeases

  /// A store's calls with the bug in them.
  func breaks(_ calls: StoreCalls) -> StoreCalls {
    var broken = calls
    let memory = SabotageMemory()
    switch self {
    case .forgetsSubmissions:
      broken.submit = { (submission) async throws(StoreError) in
        guard memory.every(3) else { return try await calls.submit(submission) }
        return .accepted(at: ManualTime.start)
      }
    case .dropsFence:
      broken.claim = { (request) async throws(StoreError) in
        let claimed = try await calls.claim(request)
        for task in claimed { memory.put(task) }
        return claimed
      }
      broken.finish = { (finishes) async throws(StoreError) in
        try await calls.finish(
          finishes.map { finish in
            var finish = finish
            finish.lease = memory.latest(of: finish.lease.task)?.lease ?? finish.lease
            return finish
          })
      }
    case .praisesLateReports:
      broken.finish = { (finishes) async throws(StoreError) in
        try await calls.finish(finishes).map { $0 == .lost ? .applied(.success) : $0 }
      }
    case .grantsRenewals:
      broken.renew = { (renewals) async throws(StoreError) in
        var verdicts: [RenewalVerdict] = []
        for renewal in renewals {
          let isRunning = try await calls.task(renewal.lease.task)?.status == .running
          verdicts.append(
            isRunning ? .renewed(expiresAt: ManualTime.start + .seconds(5), expiresIn: .seconds(5)) : .lost)
        }
        return verdicts
      }
    case .claimsTwice:
      broken.claim = { (request) async throws(StoreError) in
        let claimed = try await calls.claim(request)
        for task in claimed { memory.put(task) }
        guard claimed.isEmpty, memory.every(5), var again = memory.latest() else { return claimed }
        again.lease.token = request.token
        return [again]
      }
    case .cancelsSuccess:
      broken.steer = { (command) async throws(StoreError) in
        let verdict = try await calls.steer(command)
        guard verdict == .illegal(.success), command.action == .cancel,
          var record = try await calls.task(command.task)
        else { return verdict }
        (record.status, record.reason) = (.cancelled, .requested)
        return .done(record)
      }
    case .readsOldCopies:
      broken.task = { (id) async throws(StoreError) in memory.swap(id, try await calls.task(id)) }
    case .repeatsCommands:
      broken.steer = { (command) async throws(StoreError) in
        let verdict = try await calls.steer(command)
        if case .done = verdict, memory.every(4) { return try await calls.steer(command) }
        return verdict
      }
    case .losesPatches:
      broken.steer = { (command) async throws(StoreError) in
        guard case .patch(var patch) = command.action else { return try await calls.steer(command) }
        patch.tags = nil
        return try await calls.steer(Steering(.patch(patch), task: command.task, actor: command.actor))
      }
    case .promisesLongLeases:
      broken.claim = { (request) async throws(StoreError) in
        try await calls.claim(request).map { task in
          var task = task
          task.expiresAt = task.expiresAt + .seconds(2)
          return task
        }
      }
    }
    return broken
  }
}

private final class SabotageMemory: Sendable {
  private struct State {
    var count = 0
    var claimed: [ClaimedTask] = []
    var records: [TaskID: TaskRecord] = [:]
  }
  private let state = Mutex(State())

  func every(_ number: Int) -> Bool {
    state.withLock { state in
      state.count += 1
      return state.count % number == 0
    }
  }

  func put(_ task: ClaimedTask) { state.withLock { $0.claimed.append(task) } }
  func latest(of id: TaskID) -> ClaimedTask? { state.withLock { $0.claimed.last { $0.id == id } } }
  func latest() -> ClaimedTask? { state.withLock { $0.claimed.last } }

  /// What it was given the last time.
  func swap(_ id: TaskID, _ record: TaskRecord?) -> TaskRecord? {
    state.withLock { state in
      defer { state.records[id] = record }
      return state.records[id] ?? record
    }
  }
}
