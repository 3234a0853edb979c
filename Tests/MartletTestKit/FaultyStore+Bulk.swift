// `FaultyStore` passes on what it is asked of actions in bulk, and of explanations.

package import MartletCore

extension FaultyStore {
  package func begin(_ order: BulkOrder, hold: Duration) async throws(StoreError) -> BulkJob {
    try await call(.begin) { () async throws(StoreError) in try await inner.begin(order, hold: hold) }
  }

  package func dueBulk() async throws(StoreError) -> BulkDue {
    try await call(.dueBulk) { () async throws(StoreError) in try await inner.dueBulk() }
  }

  package func carryOn(bulk id: TaskID, limit: Int, hold: Duration, keys: Duration) async throws(StoreError)
    -> BulkStep?
  {
    try await call(.carryOn) { () async throws(StoreError) in
      try await inner.carryOn(bulk: id, limit: limit, hold: hold, keys: keys)
    }
  }

  package func endBulk(_ id: TaskID, error: String?, actor: String) async throws(StoreError) -> BulkJob? {
    try await call(.endBulk) { () async throws(StoreError) in try await inner.endBulk(id, error: error, actor: actor) }
  }

  package func bulkJob(_ id: TaskID) async throws(StoreError) -> BulkJob? {
    try await call(.bulkJob) { () async throws(StoreError) in try await inner.bulkJob(id) }
  }

  package func bulkJobs(before: TaskID?, limit: Int) async throws(StoreError) -> [BulkJob] {
    try await call(.bulkJobs) { () async throws(StoreError) in try await inner.bulkJobs(before: before, limit: limit) }
  }

  package func count(_ order: BulkOrder, after: TaskID?, limit: Int) async throws(StoreError) -> BulkCount {
    try await call(.count) { () async throws(StoreError) in try await inner.count(order, after: after, limit: limit) }
  }

  package func pruneBulk(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await call(.pruneBulk) { () async throws(StoreError) in try await inner.pruneBulk(olderThan: age, limit: limit)
    }
  }

  package func facts(of id: TaskID) async throws(StoreError) -> ExplainFacts? {
    try await call(.facts) { () async throws(StoreError) in try await inner.facts(of: id) }
  }
}
