// `FaultyStore` passes on what it is asked of the audit.

package import MartletCore

extension FaultyStore {
  package func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage {
    try await call(.audit) { () async throws(StoreError) in try await inner.audit(query) }
  }

  package func pruneAudit(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await call(.pruneAudit) { () async throws(StoreError) in
      try await inner.pruneAudit(olderThan: age, limit: limit)
    }
  }
}
