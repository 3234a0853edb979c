// API keys, passed on.

package import MartletCore

extension FaultyStore {
  package func hashSecret() async throws(StoreError) -> [UInt8] {
    try await call(.apiKeys) { () async throws(StoreError) in try await inner.hashSecret() }
  }

  package func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey? {
    try await call(.apiKeys) { () async throws(StoreError) in try await inner.credential(forHash: hash) }
  }

  package func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey {
    try await call(.apiKeys) { () async throws(StoreError) in try await inner.add(key, actor: actor) }
  }

  package func apiKeys() async throws(StoreError) -> [StoredAPIKey] {
    try await call(.apiKeys) { () async throws(StoreError) in try await inner.apiKeys() }
  }

  package func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey? {
    try await call(.apiKeys) { () async throws(StoreError) in try await inner.revoke(apiKey: id, actor: actor) }
  }
}
