// `SimulatedLink` passes on what it is asked of the audit.

package import MartletCore

extension SimulatedLink {
  package func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage {
    try await call { (store) throws(StoreError) in try await store.audit(query) }
  }

  package func pruneAudit(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await call { (store) throws(StoreError) in try await store.pruneAudit(olderThan: age, limit: limit) }
  }
}
