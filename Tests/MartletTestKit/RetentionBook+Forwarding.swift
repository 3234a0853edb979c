// Retention as the reference model tells it, and as stores within stores pass it on.

package import MartletCore

extension MemoryStore {
  package func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool
  ) async throws(StoreError) -> SweepPage {
    try transaction { state, now in
      state.sweep(policy, after: cursor, limit: limit, deletes: deletes, now: now)
    }
  }
}

extension MemoryState {
  mutating func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool, now: Timestamp
  ) -> SweepPage {
    guard limit > 0, let end = policy.firstTooYoung(now: now) else { return SweepPage(counts: [], next: nil) }
    let seen = tasks.keys.filter { id in id < end && cursor.map { id > $0 } ?? true }.sorted().prefix(limit)
    var judged: [(status: TaskStatus, type: String, protections: Set<Protection>)] = []
    var free: [TaskID] = []
    for id in seen {
      guard let task = tasks[id], let finishedAt = task.record.finishedAt, let kept = policy.kept(task.record.status),
        finishedAt + kept <= now
      else { continue }
      let protections = protections(of: id, policy, now: now)
      judged.append((task.record.status, task.record.type, protections))
      if protections.isEmpty { free.append(id) }
    }
    if deletes { for id in free { delete(id, now: now) } }
    return SweepPage(judged, next: seen.count == limit ? seen.last : nil)
  }

  private func protections(of id: TaskID, _ policy: RetentionPolicy, now: Timestamp) -> Set<Protection> {
    var protections: Set<Protection> = []
    if tasks.values.contains(where: { !$0.record.status.isFinal && $0.parents.contains(id) }) {
      protections.insert(.dependants)
    }
    if keys.values.contains(where: { $0.tasks.contains(id) && $0.createdAt + policy.keys > now }) {
      protections.insert(.idempotencyKey)
    }
    if sinks.values.contains(where: { $0.entries.contains { $0.entry.task == id } }) { protections.insert(.events) }
    if isToBeTold(id) { protections.insert(.notices) }
    return protections
  }
}

extension FaultyStore {
  package func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool
  ) async throws(StoreError) -> SweepPage {
    try await call(.sweep) { () async throws(StoreError) in
      try await inner.sweep(policy, after: cursor, limit: limit, deletes: deletes)
    }
  }
}

extension SimulatedLink {
  package func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool
  ) async throws(StoreError) -> SweepPage {
    try await call { (store) throws(StoreError) in
      try await store.sweep(policy, after: cursor, limit: limit, deletes: deletes)
    }
  }
}
