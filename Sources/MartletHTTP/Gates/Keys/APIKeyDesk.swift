// Knows whose an API key is: remembers for a moment what the book said. Called by `Gate`.

internal import MartletCore
internal import MartletEngine
internal import Synchronization

final class APIKeyDesk: Sendable {
  /// A key that was revoked dies on every node within this time.
  static let freshness = Duration.seconds(5)

  private let book: any APIKeyBook
  private let clock: any EngineClock
  private let wallClock: @Sendable () -> Timestamp
  private let trouble: TroubleLog
  private let secret = Mutex<[UInt8]?>(nil)
  private let known = Mutex(RecentTable<CredentialDigest, Finding>(capacity: 10_000))
  private let asking = SingleFlight<CredentialDigest, Finding?>()

  private struct Finding: Sendable {
    let credential: Credential
    let expiresAt: Timestamp?
    let freshUntil: MonotonicTime
  }

  enum Memory: Sendable {
    case fresh(Credential)
    /// It was valid a while ago.
    case stale
    case none
  }

  init(
    book: any APIKeyBook, clock: any EngineClock, wallClock: @escaping @Sendable () -> Timestamp, trouble: TroubleLog
  ) {
    self.book = book
    self.clock = clock
    self.wallClock = wallClock
    self.trouble = trouble
  }

  func recall(_ digest: CredentialDigest) -> Memory {
    guard let finding = known.withLock({ $0[digest] }) else { return .none }
    return clock.now < finding.freshUntil && !isPast(finding.expiresAt) ? .fresh(finding.credential) : .stale
  }

  /// Asks the book.
  /// - Throws: 401 where it does not know the key, 503 where it cannot be asked.
  func lookUp(_ text: String, _ digest: CredentialDigest) async throws(Problem) -> Credential {
    guard APIKeyText.isWellFormed(text) else {
      throw .unauthenticated("this is no API key: look for characters that were mistyped or lost")
    }
    let finding: Finding?
    do throws(StoreError) {
      finding = try await asking(digest) { () async throws(StoreError) in try await find(text, digest) }
    } catch {
      trouble.store(error)
      throw Problem(.storeUnavailable, "the store cannot be reached now, and with it the API keys")
    }
    guard let finding, !isPast(finding.expiresAt) else {
      throw .unauthenticated("the API key is not known: it may have been revoked, or have come to its end")
    }
    return finding.credential
  }

  private func find(_ text: String, _ digest: CredentialDigest) async throws(StoreError) -> Finding? {
    // Somebody else's answer may have come since this one looked.
    if let known = known.withLock({ $0[digest] }), clock.now < known.freshUntil { return known }
    let hash = APIKeyText.hash(of: text, secret: try await hashSecret())
    // From before the book is asked: the answer may be old when it arrives.
    let freshUntil = clock.now + Self.freshness
    let finding = try await book.credential(forHash: hash).flatMap { key -> Finding? in
      guard key.hash.isSame(as: hash) else { return nil }
      return Finding(credential: Credential(key), expiresAt: key.expiresAt, freshUntil: freshUntil)
    }
    known.withLock { $0[digest] = finding }
    return finding
  }

  private func hashSecret() async throws(StoreError) -> [UInt8] {
    if let known = secret.withLock(\.self) { return known }
    let asked = try await book.hashSecret()
    secret.withLock { $0 = asked }
    return asked
  }

  private func isPast(_ time: Timestamp?) -> Bool {
    time.map { $0 <= wallClock() } ?? false
  }
}

extension Credential {
  /// Roles and patterns of a later release are left out: they grant nothing here.
  fileprivate init(_ key: StoredAPIKey) {
    self.init(
      actor: Self.keyPrefix + key.name, roles: Set(key.roles.compactMap(Role.init)),
      queues: key.queues?.compactMap(QueuePattern.init), keyID: key.id)
  }
}
