// API keys of a server; for administrators.

internal import MartletCore

/// An API key as the server keeps it. Its text is told once, to whoever creates it.
public struct APIKeyState: Sendable, Hashable, Identifiable {
  public var id: String
  public var name: String
  public var roles: [String]
  /// Names or patterns (`mail*`); nil is not bound to queues.
  public var queues: [String]?
  /// Nil is never.
  public var expiresAt: Timestamp?
  public var createdAt: Timestamp
  /// To about a minute; nil as long as it was not used.
  public var lastUsedAt: Timestamp?
  /// The key itself (`mk_…`), in the answer to its creation alone.
  public var key: String?

  package init(_ answer: Answer) throws(MartletClientError) {
    try self.init(Reading.object(answer))
  }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    id = try reader.required("id", reader.text("id"))
    name = try reader.text("name") ?? ""
    roles = try reader.texts("roles")
    queues = try reader.has("queues") ? reader.texts("queues") : nil
    expiresAt = try reader.time("expiresAt")
    createdAt = try reader.required("createdAt", reader.time("createdAt"))
    lastUsedAt = try reader.time("lastUsedAt")
    key = try reader.text("key")
  }
}

extension APIKeyState {
  package static func list(_ answer: Answer) throws(MartletClientError) -> [APIKeyState] {
    try Reading.data(answer, APIKeyState.init)
  }
}

extension MartletClient {
  /// Creates a key. Keep the answer's `key`: nobody can find it out again.
  ///
  /// Not repeated by itself once it was sent; after a lost answer look for the name in `apiKeys`, revoke it and create another.
  /// - Parameters:
  ///   - roles: of `viewer`, `producer`, `worker`, `operator`, `admin`; they add up.
  ///   - queues: names or patterns, in which `*` stands for any characters; nil is all queues.
  public func createAPIKey(
    _ name: String, roles: [String], queues: [String]? = nil, expiresAt: Timestamp? = nil
  ) async throws -> APIKeyState {
    try APIKeyState(await answer(to: .createKey(name, roles: roles, queues: queues, expiresAt: expiresAt)))
  }

  /// All keys that were not revoked, oldest first.
  public func apiKeys() async throws -> [APIKeyState] {
    try await all(of: .keys, APIKeyState.init)
  }

  /// Revokes a key: within five seconds no node takes it any more.
  /// - Returns: the key as it was.
  /// - Throws: `problem` with status 404 where there is none of this id.
  public func revokeAPIKey(_ id: String) async throws -> APIKeyState {
    try APIKeyState(await answer(to: .revokeKey(id)))
  }
}

extension Call {
  package static let keys = Call(method: .get, path: "/api-keys")

  package static func createKey(
    _ name: String, roles: [String], queues: [String]?, expiresAt: Timestamp?
  ) -> Call {
    var json = JSONWriter()
    json.object { json in
      json.field("name", name)
      json.field("roles", roles)
      if let queues { json.field("queues", queues) }
      if let expiresAt { json.field("expiresAt", expiresAt) }
    }
    return Call(method: .post, path: "/api-keys", body: json.bytes)
  }

  package static func revokeKey(_ id: String) -> Call { Call(method: .delete, path: "/api-keys/\(escaped(id))") }
}
