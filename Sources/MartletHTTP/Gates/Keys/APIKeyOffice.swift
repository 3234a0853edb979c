// Makes, lists and revokes API keys over whatever book keeps them. Called by the routes of `/api-keys` and, without a server,
// by `martlet keys --database`.

package import MartletCore
package import MartletEngine

/// A key as it is asked for.
package struct NewAPIKey: Sendable {
  package var name: String
  package var roles: [String]
  /// Names or patterns; nil is all queues there are and will be.
  package var queues: [String]?
  package var expiresAt: Timestamp?

  /// What the key of `auth.bootstrapKey` is called in events and audit.
  static let bootstrapName = "bootstrap"

  package init(name: String, roles: [String], queues: [String]? = nil, expiresAt: Timestamp? = nil) {
    self.name = name
    self.roles = roles
    self.queues = queues
    self.expiresAt = expiresAt
  }

  /// What is wrong with it; the pointers are into the body of `POST /api-keys`.
  package func problems(now: Timestamp) -> [ValidationProblem] {
    var problems = Problems()
    problems.checkText(name, lengths: 1...128, at: "/name")
    if problems.all.isEmpty, name.unicodeScalars.contains(where: \.properties.isControlOrFormat) {
      problems.add("/name", "must not contain characters that are not seen")
    }
    if name == Self.bootstrapName || [Credential.keyPrefix, Credential.tokenPrefix].contains(where: name.hasPrefix) {
      problems.add(
        "/name", "must not be '\(Self.bootstrapName)' nor begin with 'key:' or 'token:', for which others stand")
    }
    let known = Role.allCases.map(\.rawValue).joined(separator: ", ")
    if roles.isEmpty { problems.add("/roles", "must have at least one of \(known)") }
    if roles.count > Role.allCases.count { problems.add("/roles", "has more entries than there are roles") }
    for (index, role) in roles.prefix(Role.allCases.count).enumerated() where Role(rawValue: role) == nil {
      problems.add("/roles/\(index)", "must be one of \(known)")
    }
    if let queues {
      if queues.isEmpty { problems.add("/queues", "must not be empty; leave it out for all queues") }
      if queues.count > QueuePattern.limit {
        problems.add("/queues", "has \(queues.count) entries; at most \(QueuePattern.limit) are taken")
      }
      for (index, queue) in queues.prefix(QueuePattern.limit).enumerated() where QueuePattern(queue) == nil {
        problems.add("/queues/\(index)", "must be 1–128 characters of A-Z a-z 0-9 . _ : - and * for any of them")
      }
    }
    if let expiresAt, expiresAt <= now { problems.add("/expiresAt", "must be in the future") }
    return problems.all
  }
}

package struct APIKeyOffice: Sendable {
  private let book: any APIKeyBook
  private let ids: TaskIDGenerator
  private let random: RandomSource
  private let wallClock: @Sendable () -> Timestamp

  package init(
    _ book: any APIKeyBook, random: RandomSource = .system,
    wallClock: @escaping @Sendable () -> Timestamp = WallClock.now
  ) {
    self.book = book
    self.random = random
    self.wallClock = wallClock
    ids = TaskIDGenerator(random: random)
  }

  /// - Returns: the key's text, which nobody can find out again, and what is kept.
  /// - Throws: `.invalid` with every problem at once.
  package func create(
    _ new: NewAPIKey, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> (text: String, key: StoredAPIKey) {
    let now = wallClock()
    let problems = new.problems(now: now)
    guard problems.isEmpty else { throw .invalid(ValidationFailure(problems)) }
    let text = APIKeyText.make(random: random)
    let roles = Role.allCases.map(\.rawValue).filter(new.roles.contains)
    let id = ids.next(at: now).description
    do throws(StoreError) {
      let key = StoredAPIKey(
        id: id, name: new.name, hash: APIKeyText.hash(of: text, secret: try await book.hashSecret()), roles: roles,
        queues: new.queues, expiresAt: new.expiresAt)
      return (text, try await book.add(key, actor: caller.actor))
    } catch {
      throw .store(error, tasks: [])
    }
  }

  /// Oldest first.
  package func list() async throws(ServiceError) -> [StoredAPIKey] {
    do throws(StoreError) {
      return try await book.apiKeys()
    } catch {
      throw .store(error, tasks: [])
    }
  }

  /// It is dead at once on nodes that have not seen it, and within `APIKeyDesk.freshness` on the others.
  /// - Returns: the key as it was.
  package func revoke(_ id: String, as caller: Credential = .unguarded) async throws(ServiceError) -> StoredAPIKey {
    let revoked: StoredAPIKey?
    do throws(StoreError) {
      revoked = try await book.revoke(apiKey: id, actor: caller.actor)
    } catch {
      throw .store(error, tasks: [])
    }
    guard let revoked else { throw .notFound }
    return revoked
  }
}
