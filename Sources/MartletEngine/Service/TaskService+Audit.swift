// Who changed what.

package import MartletCore

extension TaskService {
  package func audit(_ query: AuditQuery) async throws(ServiceError) -> AuditPage {
    try await store("audit") { (store) throws(StoreError) in try await store.audit(query) }
  }
}
