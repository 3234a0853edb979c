// Actions in bulk and explanations of the reference model.

package import MartletCore

extension MemoryStore {
  package func begin(_ order: BulkOrder, hold: Duration) async throws(StoreError) -> BulkJob {
    try transaction(as: { .beginBulk($0) }) { state, now in state.begin(order, hold: hold, now: now) }
  }

  package func dueBulk() async throws(StoreError) -> BulkDue {
    try transaction { state, now in state.dueBulk(now: now) }
  }

  package func carryOn(
    bulk id: TaskID, limit: Int, hold: Duration, keys: Duration
  ) async throws(StoreError) -> BulkStep? {
    try transaction(as: { .bulk($0) }) { state, now in
      state.carryOn(bulk: id, limit: limit, hold: hold, keys: keys, now: now)
    }
  }

  package func endBulk(_ id: TaskID, error: String?, actor: String) async throws(StoreError) -> BulkJob? {
    try transaction { state, now in state.endBulk(id, error: error, actor: actor, now: now) }
  }

  package func bulkJob(_ id: TaskID) async throws(StoreError) -> BulkJob? {
    try transaction { state, _ in state.bulks[id]?.job }
  }

  package func bulkJobs(before: TaskID?, limit: Int) async throws(StoreError) -> [BulkJob] {
    try transaction { state, _ in
      state.bulks.values.map(\.job).filter { job in before.map { job.id < $0 } ?? true }
        .sorted { $0.id > $1.id }.prefix(limit).map(\.self)
    }
  }

  package func count(_ order: BulkOrder, after: TaskID?, limit: Int) async throws(StoreError) -> BulkCount {
    try transaction { state, _ in state.count(order, after: after, limit: limit) }
  }

  package func pruneBulk(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try transaction { state, now in state.pruneBulk(olderThan: age, limit: limit, now: now) }
  }

  package func facts(of id: TaskID) async throws(StoreError) -> ExplainFacts? {
    try transaction { state, now in state.facts(of: id, now: now) }
  }
}
