// API keys in the reference model.

package import MartletCore

struct MemoryAPIKeys {
  let secret = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
  var keys: [String: StoredAPIKey] = [:]

  mutating func find(_ hash: APIKeyHash, now: Timestamp) -> StoredAPIKey? {
    guard let key = keys.values.first(where: { $0.hash == hash }), key.expiresAt.map({ now < $0 }) ?? true else {
      return nil
    }
    if key.lastUsedAt.map({ now - $0 >= StoredAPIKey.useGrain }) ?? true { keys[key.id]?.lastUsedAt = now }
    return keys[key.id]
  }
}

extension MemoryState {
  fileprivate mutating func add(_ key: StoredAPIKey, actor: String, now: Timestamp) -> StoredAPIKey {
    if let known = apiKeys.keys[key.id] { return known }
    var key = key
    key.createdAt = now
    key.lastUsedAt = nil
    apiKeys.keys[key.id] = key
    write(key.note(.createKey, by: actor), now: now)
    return key
  }

  fileprivate mutating func revoke(_ id: String, actor: String, now: Timestamp) -> StoredAPIKey? {
    guard let key = apiKeys.keys.removeValue(forKey: id) else { return nil }
    write(key.note(.revokeKey, by: actor), now: now)
    return key
  }
}

extension MemoryStore {
  package func hashSecret() async throws(StoreError) -> [UInt8] {
    try transaction { state, _ in state.apiKeys.secret }
  }

  package func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey? {
    try transaction { state, now in state.apiKeys.find(hash, now: now) }
  }

  package func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey {
    try transaction { state, now in state.add(key, actor: actor, now: now) }
  }

  package func apiKeys() async throws(StoreError) -> [StoredAPIKey] {
    try transaction { state, _ in
      state.apiKeys.keys.values.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    }
  }

  package func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey? {
    try transaction { state, now in state.revoke(id, actor: actor, now: now) }
  }
}
