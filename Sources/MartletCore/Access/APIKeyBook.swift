// What the gates ask of whoever keeps API keys. It stands in Core because stores keep them and know nothing of HTTP.

/// HMAC-SHA-256 of a key's whole text under the installation's `hashSecret`: 32 bytes. All that is ever stored of a key.
package struct APIKeyHash: Hashable, Sendable {
  package let bytes: [UInt8]

  /// Nil unless there are 32.
  package init?(bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count == 32 else { return nil }
    self.bytes = bytes
  }
}

package struct StoredAPIKey: Hashable, Sendable {
  /// Of UUIDv7, like a task's.
  package let id: String
  /// Several keys may have one: the new one of a user and the old one, until that is revoked.
  package let name: String
  package let hash: APIKeyHash
  /// As stored: a role that this release does not know grants nothing.
  package let roles: [String]
  /// Patterns as stored; nil is not bound to queues.
  package let queues: [String]?
  package let expiresAt: Timestamp?
  /// Set by the store.
  package var createdAt = Timestamp.earliest
  /// To about a minute; nil as long as it was not used. Set by the store.
  package var lastUsedAt: Timestamp?

  package init(
    id: String, name: String, hash: APIKeyHash, roles: [String], queues: [String]? = nil, expiresAt: Timestamp? = nil
  ) {
    self.id = id
    self.name = name
    self.hash = hash
    self.roles = roles
    self.queues = queues
    self.expiresAt = expiresAt
  }

  /// By how much `lastUsedAt` may be behind: a write for each use would be dear.
  package static let useGrain = Duration.seconds(60)
}

/// Part of every store, with the store's rules: each call is one transaction, safe to repeat. What changes something is written
/// to the audit.
package protocol APIKeyBook: Sendable {
  /// The installation's secret, under which keys are hashed: 32 random bytes, drawn and kept when it is first asked for,
  /// the same ever after and for every node.
  func hashSecret() async throws(StoreError) -> [UInt8]

  /// Nil where there is none, it was revoked, or its end has come by the store's clock. Asked at most every 5 s for each key
  /// in use, and once for each attempt with one that is not known. Notes the use, if the last one noted is a while ago.
  func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey?

  /// Keeps a new key; one whose id is there already is left as it is. Answers what is kept.
  func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey

  /// All that were not revoked, also those whose end has come, oldest first.
  func apiKeys() async throws(StoreError) -> [StoredAPIKey]

  /// Deletes a key. Answers it as it was; nil where there is none of this id.
  func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey?
}

extension AuditAction {
  package static let createKey = AuditAction(rawValue: "key.create")
  package static let revokeKey = AuditAction(rawValue: "key.revoke")
}

extension StoredAPIKey {
  /// What the audit says of its making or its end.
  package func note(_ action: AuditAction, by actor: String) -> AuditNote {
    var json = JSONWriter(capacity: 128)
    json.object { json in
      json.field("name", name)
      json.field("roles", roles)
      if let queues { json.field("queues", queues) }
    }
    return AuditNote(action, of: id, by: actor, detail: String(decoding: json.bytes, as: UTF8.self))
  }
}
