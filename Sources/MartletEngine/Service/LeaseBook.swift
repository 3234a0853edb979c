// What a node remembers of the leases that it gave to remote workers: whose they are, and since when.
// All of it is lost with the node and costs no more than that: the leases themselves are in the store.

internal import MartletCore
internal import Synchronization

final class LeaseBook: Sendable {
  struct Entry: Sendable {
    var worker: String
    var lane: Lane
    var claimedAt: MonotonicTime
    /// No earlier than the lease's end.
    var endsAt: MonotonicTime
    var trace: AttemptTrace?
  }

  private let entries = Mutex<[LeaseID: Entry]>([:])

  /// - Parameter traces: of each task, where they are traced.
  func note(_ tasks: [ClaimedTask], _ traces: [AttemptTrace]? = nil, worker: String, claimedAt: MonotonicTime) {
    entries.withLock { entries in
      for (index, task) in tasks.enumerated() {
        entries[task.lease] = Entry(
          worker: worker, lane: Lane(queue: task.queue, type: task.type), claimedAt: claimedAt,
          endsAt: claimedAt + task.expiresIn, trace: traces?[index])
      }
    }
  }

  /// Answers whose leases they are, where that is known.
  func renewed(
    _ renewals: some Sequence<(LeaseRenewal, RenewalVerdict)>, sentAt: MonotonicTime
  ) -> Set<String> {
    entries.withLock { entries in
      var workers: Set<String> = []
      for (renewal, verdict) in renewals {
        switch verdict {
        case .lost:
          let trace = entries.removeValue(forKey: renewal.lease)?.trace
          if let trace { trace.end(.lost, error: Outcome.lost.error, status: nil, at: trace.spans.now) }
        case .renewed(_, let expiresIn), .cancelRequested(_, let expiresIn):
          entries[renewal.lease]?.endsAt = sentAt + expiresIn
          if let worker = entries[renewal.lease]?.worker { workers.insert(worker) }
        }
      }
      return workers
    }
  }

  func entries(of leases: [LeaseID]) -> [LeaseID: Entry] {
    entries.withLock { entries in
      var found: [LeaseID: Entry] = [:]
      for lease in leases { found[lease] = entries[lease] }
      return found
    }
  }

  func forget(_ leases: [LeaseID]) {
    entries.withLock { entries in
      for lease in leases { entries[lease] = nil }
    }
  }

  /// Leases that ended some time ago without a report to this node.
  func forgetEnded(before time: MonotonicTime) {
    let ended = entries.withLock { entries in
      let ended = entries.values.filter { $0.endsAt < time }
      if !ended.isEmpty { entries = entries.filter { _, entry in entry.endsAt >= time } }
      return ended
    }
    for trace in ended.compactMap(\.trace) { trace.end(nil, error: nil, status: nil, at: trace.spans.now) }
  }

  /// How many leases each worker holds at this time.
  func running(at now: MonotonicTime) -> [String: Int] {
    entries.withLock { entries in
      entries.values.reduce(into: [:]) { counts, entry in
        if entry.endsAt > now { counts[entry.worker, default: 0] += 1 }
      }
    }
  }
}
