// API keys, passed on.

import MartletCore
import MartletTestKit

extension SabotagedStore {
  func hashSecret() async throws(StoreError) -> [UInt8] {
    try await inner.hashSecret()
  }

  func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey? {
    try await inner.credential(forHash: hash)
  }

  func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey {
    try await inner.add(key, actor: actor)
  }

  func apiKeys() async throws(StoreError) -> [StoredAPIKey] {
    try await inner.apiKeys()
  }

  func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey? {
    try await inner.revoke(apiKey: id, actor: actor)
  }
}
