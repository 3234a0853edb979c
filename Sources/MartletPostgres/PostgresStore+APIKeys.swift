// API keys: few rows, found by their hash. To note a use is a write, so it is done once a minute for each key.

package import MartletCore

extension PostgresStore {
  package func hashSecret() async throws(StoreError) -> [UInt8] {
    let drawn = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
    return try await repeating { _ in
      let rows = try await pool.transaction([Query(Self.drawSecret, .bytes(drawn)), Query(Self.readSecret)])
      guard let secret = rows[1].first({ $0.blob() }) else { throw UnreadableRow(what: "no secret for API keys") }
      return secret
    }
  }

  package func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey? {
    try await repeating { _ in
      try await pool.run(
        Query(Self.findAPIKey, nowParameter, .bytes(hash.bytes), .int8(StoredAPIKey.useGrain.wholeMilliseconds))
      ).first { try StoredAPIKey(&$0) }
    }
  }

  package func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey {
    let note = key.note(.createKey, by: actor)
    return try await repeating { _ in
      let rows = try await pool.transaction([
        Query(
          Self.addAPIKey, nowParameter, .text(key.id), .bytes(key.hash.bytes), .text(key.name),
          .text(JSONColumn.strings(key.roles) ?? "[]"), .text(key.queues.map { JSONColumn.strings($0) ?? "[]" }),
          .time(key.expiresAt), .text(note.actor), .text(note.detail), .int8(note.number)),
        Query(Self.readAPIKey, .text(key.id)),
      ])
      guard let kept = try rows[1].first({ try StoredAPIKey(&$0) }) else {
        throw UnreadableRow(what: "an API key that is not kept")
      }
      return kept
    }
  }

  package func apiKeys() async throws(StoreError) -> [StoredAPIKey] {
    try await repeating { _ in
      try await pool.run(Query(Self.readAPIKeys), .background).map { try StoredAPIKey(&$0) }
    }
  }

  package func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey? {
    // Known before the first try, so that a repetition whose answer was lost can still tell it.
    let known = try await repeating { _ in
      try await pool.run(Query(Self.readAPIKey, .text(id))).first { try StoredAPIKey(&$0) }
    }
    guard let known else { return nil }
    let note = known.note(.revokeKey, by: actor)
    return try await repeating { isRepetition in
      let deleted = try await pool.run(
        Query(
          Self.deleteAPIKey, nowParameter, .text(id), .text(note.actor), .text(note.detail), .int8(note.number))
      ).first { try StoredAPIKey(&$0) }
      return deleted ?? (isRepetition ? known : nil)
    }
  }

  private static let apiKeyColumns = "id, hash, name, roles, queues, expires_at, created_at, last_used_at"

  private static let drawSecret = Statement(
    "draw_secret", "INSERT INTO secrets (name, value) VALUES ('api-keys', $1::bytea) ON CONFLICT (name) DO NOTHING")

  private static let readSecret = Statement("read_secret", "SELECT value FROM secrets WHERE name = 'api-keys'")

  private static let addAPIKey = Statement(
    "add_api_key",
    """
    WITH \(clock),
    added AS (
      INSERT INTO api_keys (id, hash, name, roles, queues, expires_at, created_at)
      SELECT $2::text, $3::bytea, $4::text, $5::text, $6::text, $7::bigint, now FROM clock
      ON CONFLICT (id) DO NOTHING RETURNING id, created_at AS now
    )
    \(auditSQL(.createKey, of: "id", by: "$8::text", detail: "$9::text", number: "$10::bigint", from: "added"))
    """)

  private static let readAPIKey = Statement("read_api_key", "SELECT \(apiKeyColumns) FROM api_keys WHERE id = $1::text")

  private static let readAPIKeys = Statement(
    "read_api_keys", "SELECT \(apiKeyColumns) FROM api_keys ORDER BY created_at, id")

  private static let deleteAPIKey = Statement(
    "delete_api_key",
    """
    WITH \(clock),
    deleted AS (DELETE FROM api_keys USING clock WHERE id = $2::text RETURNING api_keys.*, now),
    audited AS (
      \(auditSQL(.revokeKey, of: "id", by: "$3::text", detail: "$4::text", number: "$5::bigint", from: "deleted"))
    )
    SELECT \(apiKeyColumns) FROM deleted
    """)

  private static let findAPIKey = Statement(
    "find_api_key",
    """
    WITH \(clock),
    found AS MATERIALIZED (
      SELECT k.*, now, k.last_used_at IS NULL OR k.last_used_at <= now - $3::bigint AS is_due
      FROM api_keys k, clock WHERE k.hash = $2::bytea AND (k.expires_at IS NULL OR k.expires_at > now)
    ),
    used AS (UPDATE api_keys k SET last_used_at = now FROM found WHERE k.id = found.id AND is_due)
    SELECT id, hash, name, roles, queues, expires_at, created_at, CASE WHEN is_due THEN now ELSE last_used_at END FROM found
    """)
}

extension StoredAPIKey {
  /// Reads `apiKeyColumns`.
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
