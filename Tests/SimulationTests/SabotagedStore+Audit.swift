// `SabotagedStore` passes on what it is asked of the audit.

import MartletCore
import MartletTestKit

extension SabotagedStore {
  func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage { try await inner.audit(query) }
  func pruneAudit(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await inner.pruneAudit(olderThan: age, limit: limit)
  }
}
