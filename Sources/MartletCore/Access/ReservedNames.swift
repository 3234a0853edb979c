// Names that events and the audit have for Martlet itself and for credentials, so that nobody else may take one of them.
// Asked by `LeaseRequest` for workers elsewhere.

extension Actor {
  private static let own: Set = [api, scheduler, rescuer, "cli", Credential.nobody.actor]
  private static let kinds = [Credential.keyPrefix, Credential.tokenPrefix]

  /// Whether whoever is called so could be taken for a part of the server, or for the bearer of a credential.
  package static func isReserved(_ name: String) -> Bool {
    own.contains(name) || kinds.contains { name.hasPrefix($0) }
  }
}

extension Credential {
  /// Before the name of an API key.
  package static let keyPrefix = "key:"
  /// Before the subject of a token.
  package static let tokenPrefix = "token:"

  /// What a worker is called that gives no name of its own.
  /// - Parameter host: the address from which it asks; empty where it has none.
  package func workerName(at host: String) -> String {
    let prefix = [Self.keyPrefix, Self.tokenPrefix].first { actor.hasPrefix($0) }
    let name = prefix.map { actor.dropFirst($0.count) } ?? "remote"
    return String(String.UnicodeScalarView(name.unicodeScalars.prefix(200))) + (host.isEmpty ? "" : "@\(host)")
  }
}
