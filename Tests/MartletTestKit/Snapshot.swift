// Everything that can be read of a store at once, so that two stores, or one at two times, can be compared.

package import MartletCore

package struct StoreSnapshot: Sendable, Hashable {
  package struct History: Sendable, Hashable {
    package var task: TaskRecord
    package var attempts: [AttemptRecord]
    package var events: [TaskEvent]
  }

  /// Newest first.
  package var histories: [History]
  package var counts: Set<TaskCount>
  package var oldestReady: [String: Timestamp]
  package var workers: Set<WorkerRecord>

  /// What differs from another, in words; empty where nothing does.
  package func differences(from other: StoreSnapshot) -> [String] {
    var differences: [String] = []
    let mine = Dictionary(histories.map { ($0.task.id, $0) }, uniquingKeysWith: { first, _ in first })
    let theirs = Dictionary(other.histories.map { ($0.task.id, $0) }, uniquingKeysWith: { first, _ in first })
    for id in Set(mine.keys).union(theirs.keys).sorted() where mine[id] != theirs[id] {
      differences.append(
        "task \(id):\n    \(describe(mine[id]))\n  but\n    \(describe(theirs[id]))")
    }
    if histories.map(\.task.id) != other.histories.map(\.task.id) { differences.append("the lists differ in order") }
    if counts != other.counts {
      differences.append(
        "counts: \(counts.subtracting(other.counts)) but \(other.counts.subtracting(counts))")
    }
    if oldestReady != other.oldestReady { differences.append("oldestReady: \(oldestReady) but \(other.oldestReady)") }
    if workers != other.workers { differences.append("workers: \(workers) but \(other.workers)") }
    return differences
  }

  private func describe(_ history: History?) -> String {
    history.map { "\($0.task)\n    \($0.attempts)\n    \($0.events)" } ?? "none"
  }
}

extension StoreBench {
  package func snapshot() async throws -> StoreSnapshot {
    var query = TaskQuery()
    query.limit = 1000
    query.includesPayload = true
    query.includesResult = true
    var histories: [StoreSnapshot.History] = []
    for task in try await listAll(query) {
      histories.append(
        StoreSnapshot.History(task: task, attempts: try await attempts(task.id), events: try await events(task.id)))
    }
    return StoreSnapshot(
      histories: histories, counts: Set(try await store.counts()), oldestReady: try await store.oldestReady(),
      workers: Set(try await store.workers()))
  }
}
