// API keys: few rows, found by their hash. To note a use is a write, so it is done once a minute for each key.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func hashSecret() async throws(StoreError) -> [UInt8] {
    try await writer.write { transaction in
      let read = try transaction.prepared("SELECT value FROM secrets WHERE name = 'api-keys'")
      if let known = try read.row(read: { $0.blob() }) { return known }
      let drawn = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
      try transaction.prepared("INSERT INTO secrets (name, value) VALUES ('api-keys', ?1)").run(drawn)
      return drawn
    }
  }

  package func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey? {
    let now = clock()
    let found = try await read { database in
      try database.prepared(
        "SELECT \(keyColumns) FROM api_keys WHERE hash = ?1 AND (expires_at IS NULL OR expires_at > ?2)"
      ).row(hash.bytes, now) { try StoredAPIKey(&$0) }
    }
    guard var key = found, key.lastUsedAt.map({ now - $0 >= StoredAPIKey.useGrain }) ?? true else { return found }
    let (id, previous) = (key.id, key.lastUsedAt)
    do throws(StoreError) {
      key.lastUsedAt = try await writer.write { transaction in
        let isNoted = try transaction.prepared("UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1")
          .run(id, transaction.now)
        return isNoted > 0 ? transaction.now : previous
      }
    } catch {
      return found  // who may read must not be kept out because nothing can be written
    }
    return key
  }

  package func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey {
    let note = key.note(.createKey, by: actor)
    return try await writer.write { transaction in
      let added = try transaction.prepared(
        """
        INSERT INTO api_keys (id, hash, name, roles, queues, expires_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (id) DO NOTHING
        """
      ).run(
        key.id, key.hash.bytes, key.name, JSONColumn.strings(key.roles) ?? "[]",
        key.queues.map { JSONColumn.strings($0) ?? "[]" }, key.expiresAt, transaction.now)
      if added > 0 { try transaction.audit(note) }
      guard let kept = try transaction.apiKey(key.id) else { throw UnreadableRow(what: "an API key that is not kept") }
      return kept
    }
  }

  package func apiKeys() async throws(StoreError) -> [StoredAPIKey] {
    try await read { database in
      try database.prepared("SELECT \(keyColumns) FROM api_keys ORDER BY created_at, id").rows { try StoredAPIKey(&$0) }
    }
  }

  package func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey? {
    try await writer.write { transaction in
      guard let key = try transaction.apiKey(id) else { return nil }
      try transaction.prepared("DELETE FROM api_keys WHERE id = ?1").run(id)
      try transaction.audit(key.note(.revokeKey, by: actor))
      return key
    }
  }
}

extension WriteTransaction {
  fileprivate func apiKey(_ id: String) throws -> StoredAPIKey? {
    try prepared("SELECT \(keyColumns) FROM api_keys WHERE id = ?1").row(id) { try StoredAPIKey(&$0) }
  }
}

private let keyColumns = "id, hash, name, roles, queues, expires_at, created_at, last_used_at"

extension StoredAPIKey {
  /// Reads `keyColumns`.
  fileprivate init(_ columns: inout Columns) throws {
    let id = columns.text()
    guard let hash = APIKeyHash(bytes: columns.blob()) else { throw UnreadableRow(what: "an API key's hash") }
    self.init(
      id: id, name: columns.text(), hash: hash, roles: try JSONColumn.strings(columns.text()),
      queues: try columns.optionalText().map { try JSONColumn.strings($0) }, expiresAt: columns.optionalTime())
    createdAt = columns.time()
    lastUsedAt = columns.optionalTime()
  }
}
