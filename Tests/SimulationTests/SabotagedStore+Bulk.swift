// `SabotagedStore` passes on what it is asked of actions in bulk, and of explanations.

import MartletCore
import MartletTestKit

extension SabotagedStore {
  func begin(_ order: BulkOrder, hold: Duration) async throws(StoreError) -> BulkJob {
    try await inner.begin(order, hold: hold)
  }

  func dueBulk() async throws(StoreError) -> BulkDue {
    try await inner.dueBulk()
  }

  func carryOn(bulk id: TaskID, limit: Int, hold: Duration, keys: Duration) async throws(StoreError) -> BulkStep? {
    try await inner.carryOn(bulk: id, limit: limit, hold: hold, keys: keys)
  }

  func endBulk(_ id: TaskID, error: String?, actor: String) async throws(StoreError) -> BulkJob? {
    try await inner.endBulk(id, error: error, actor: actor)
  }

  func bulkJob(_ id: TaskID) async throws(StoreError) -> BulkJob? {
    try await inner.bulkJob(id)
  }

  func bulkJobs(before: TaskID?, limit: Int) async throws(StoreError) -> [BulkJob] {
    try await inner.bulkJobs(before: before, limit: limit)
  }

  func count(_ order: BulkOrder, after: TaskID?, limit: Int) async throws(StoreError) -> BulkCount {
    try await inner.count(order, after: after, limit: limit)
  }

  func pruneBulk(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await inner.pruneBulk(olderThan: age, limit: limit)
  }

  func facts(of id: TaskID) async throws(StoreError) -> ExplainFacts? {
    try await inner.facts(of: id)
  }
}
