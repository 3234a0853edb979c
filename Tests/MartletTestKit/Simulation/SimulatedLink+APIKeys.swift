// API keys, passed on.

package import MartletCore

extension SimulatedLink {
  package func hashSecret() async throws(StoreError) -> [UInt8] {
    try await call { (store) throws(StoreError) in try await store.hashSecret() }
  }

  package func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey? {
    try await call { (store) throws(StoreError) in try await store.credential(forHash: hash) }
  }

  package func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey {
    try await call { (store) throws(StoreError) in try await store.add(key, actor: actor) }
  }

  package func apiKeys() async throws(StoreError) -> [StoredAPIKey] {
    try await call { (store) throws(StoreError) in try await store.apiKeys() }
  }

  package func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey? {
    try await call { (store) throws(StoreError) in try await store.revoke(apiKey: id, actor: actor) }
  }
}
