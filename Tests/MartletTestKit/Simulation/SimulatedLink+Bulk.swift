// `SimulatedLink` passes on what it is asked of actions in bulk, and of explanations.

package import MartletCore

extension SimulatedLink {
  package func begin(_ order: BulkOrder, hold: Duration) async throws(StoreError) -> BulkJob {
    try await call { (store) throws(StoreError) in try await store.begin(order, hold: hold) }
  }

  package func dueBulk() async throws(StoreError) -> BulkDue {
    try await call { (store) throws(StoreError) in try await store.dueBulk() }
  }

  package func carryOn(bulk id: TaskID, limit: Int, hold: Duration, keys: Duration) async throws(StoreError)
    -> BulkStep?
  {
    try await call { (store) throws(StoreError) in
      try await store.carryOn(bulk: id, limit: limit, hold: hold, keys: keys)
    }
  }

  package func endBulk(_ id: TaskID, error: String?, actor: String) async throws(StoreError) -> BulkJob? {
    try await call { (store) throws(StoreError) in try await store.endBulk(id, error: error, actor: actor) }
  }

  package func bulkJob(_ id: TaskID) async throws(StoreError) -> BulkJob? {
    try await call { (store) throws(StoreError) in try await store.bulkJob(id) }
  }

  package func bulkJobs(before: TaskID?, limit: Int) async throws(StoreError) -> [BulkJob] {
    try await call { (store) throws(StoreError) in try await store.bulkJobs(before: before, limit: limit) }
  }

  package func count(_ order: BulkOrder, after: TaskID?, limit: Int) async throws(StoreError) -> BulkCount {
    try await call { (store) throws(StoreError) in try await store.count(order, after: after, limit: limit) }
  }

  package func pruneBulk(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await call { (store) throws(StoreError) in try await store.pruneBulk(olderThan: age, limit: limit) }
  }

  package func facts(of id: TaskID) async throws(StoreError) -> ExplainFacts? {
    try await call { (store) throws(StoreError) in try await store.facts(of: id) }
  }
}
