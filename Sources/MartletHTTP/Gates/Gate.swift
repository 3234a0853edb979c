// Whether a request may go on: who sends it, whether too often, whether the route is for them. Called by `Responder` for
// each request of a server with authentication; a server without has no gate.

internal import HTTPTypes
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import Synchronization

final class Gate: Sendable {
  /// What a request that may go on is carried out with.
  struct Admission: Sendable {
    let credential: Credential
    /// Of every answer, whatever comes of the request.
    var fields: [(name: HTTPField.Name, value: String)] = []
  }

  private let configuration: AuthConfiguration
  private let tokens: TokenDesk?
  private let tokenKeys: KeySetKeeper?
  private let keys: APIKeyDesk?
  private let bootstrap: CredentialDigest?
  private let requests: TokenBuckets<String>
  private let shared: (any SharedBuckets)?
  /// Of keys that the store did not know.
  private let failures: TokenBuckets<ClientAddress>
  /// Of tokens, and of texts that are no keys: those cost no call of the store, and must not bar keys that would.
  private let cheapFailures: TokenBuckets<ClientAddress>
  /// Look-ups under way for addresses that have failed too often.
  private let overdrafts = Mutex(0)
  private static let mostOverdrafts = 2
  /// Nil: requests are not counted.
  private let limit: Live<(rate: RateLimit, fields: RateLimitFields)?>

  /// - Parameters:
  ///   - book: needed where `configuration.apiKeys`.
  ///   - shared: counts the requests of all nodes.
  init(
    _ configuration: AuthConfiguration, book: (any APIKeyBook)?, shared: (any SharedBuckets)? = nil,
    clock: any EngineClock,
    wallClock: @escaping @Sendable () -> Timestamp, trouble: TroubleLog, logger: Logger
  ) {
    self.configuration = configuration
    self.shared = shared
    let source = configuration.jwt.secret.map(KeySource.secret) ?? configuration.jwt.jwks.map(KeySource.init(jwks:))
    tokenKeys = source.map { KeySetKeeper(source: $0, clock: clock, logger: logger) }
    tokens = tokenKeys.map {
      TokenDesk(
        keys: $0, issuer: configuration.jwt.issuer, audience: configuration.jwt.audience, wallClock: wallClock)
    }
    keys = book.flatMap { book in
      configuration.apiKeys ? APIKeyDesk(book: book, clock: clock, wallClock: wallClock, trouble: trouble) : nil
    }
    bootstrap = configuration.bootstrapKey.map(CredentialDigest.init(of:))
    // With a mistake, of which `prepare` tells, there is nothing to count by.
    let limit = configuration.mistakes.isEmpty ? configuration.rateLimit : nil
    self.limit = Live(limit.map { ($0, RateLimitFields($0)) })
    requests = TokenBuckets(clock: clock)
    failures = TokenBuckets(clock: clock)
    cheapFailures = TokenBuckets(clock: clock)
  }

  /// Counts requests by this from now on; nil counts none.
  func limitRequests(_ rate: RateLimit?) {
    limit.replace(with: rate.map { ($0, RateLimitFields($0)) })
  }

  /// Before the first request.
  func prepare() async throws(AuthFailure) {
    var mistakes = configuration.mistakes
    if configuration.apiKeys, keys == nil {
      mistakes.append(AuthMistake(key: "auth.apiKeys", detail: "needs a store that keeps keys"))
    }
    guard mistakes.isEmpty else { throw AuthFailure(mistakes: mistakes) }
    try await tokenKeys?.prepare()
  }

  /// Until its task is cancelled.
  func run() async {
    await tokenKeys?.run()
  }

  /// - Throws: 401 without a good credential, 403 with one that lacks the right, 429 for too many requests or too many failed
  ///   attempts from one address, 400 for headers that contradict each other, 503 while nobody can tell.
  func admit(
    to right: Right, _ fields: HeaderFields, from address: @autoclosure () -> ClientAddress?
  ) async throws(Problem) -> Admission {
    if right == .open || right == .metrics && configuration.metricsOpen { return Admission(credential: .nobody) }
    guard let presented = try Presented.read(fields) else {
      throw .unauthenticated("send 'Authorization: Bearer' with a token, or 'X-API-Key' with a key")
    }
    var admission = Admission(credential: try await identify(presented, address))
    admission.fields = try await spend(of: admission.credential)
    guard admission.credential.has(right) else {
      throw Problem.forbidden("the credential's roles do not allow this").adding(admission.fields)
    }
    guard admission.credential.queues == nil || !right.isOfInstallation else {
      throw Problem.forbidden("the credential is bound to queues, and this is about all of them").adding(
        admission.fields)
    }
    return admission
  }

  /// Asks once more about a request that was held: what it waited for is not for a credential that was revoked or has come to its
  /// end meanwhile. Costs no request, and the address nothing.
  func confirm(_ right: Right, _ fields: HeaderFields) async throws(Problem) {
    guard let presented = try Presented.read(fields) else { return }  // open: nobody was asked for one
    let digest = presented.digest
    if let bootstrap, bootstrap.isSame(as: digest) { return }
    let credential: Credential
    if case .fresh(let known) = recall(presented.kind, digest) {
      credential = known
    } else {
      credential = try await lookUp(presented, digest)
    }
    guard credential.has(right) else { throw .forbidden("the credential's roles do not allow this") }
  }

  private func identify(
    _ presented: Presented, _ address: () -> ClientAddress?
  ) async throws(Problem) -> Credential {
    let digest = presented.digest
    if let bootstrap, bootstrap.isSame(as: digest) { return Self.bootstrapCredential }
    switch recall(presented.kind, digest) {
    case .fresh(let credential):
      return credential
    case .stale:
      // Its owner must not be shut out by others behind the same address.
      return try await lookUp(presented, digest)
    case .none:
      return try await lookUp(presented, digest, from: address())
    }
  }

  private func recall(_ kind: Presented.Kind, _ digest: CredentialDigest) -> APIKeyDesk.Memory {
    switch kind {
    case .key: keys?.recall(digest) ?? .none
    case .token: tokens?.recall(digest).map { .fresh($0) } ?? .none
    }
  }

  /// An attempt that fails costs its address a token. Without one all are looked at still, or one stranger behind a proxy shut out all
  /// others: what costs nobody but this node at once, keys a few at a time, whatever their addresses, since they cost the store.
  private func lookUp(
    _ presented: Presented, _ digest: CredentialDigest, from address: ClientAddress?
  ) async throws(Problem) -> Credential {
    guard let address else { return try await lookUp(presented, digest) }
    guard presented.kind == .key, keys != nil, APIKeyText.isWellFormed(presented.text) else {
      return try await lookUp(presented, digest, from: address, countedIn: cheapFailures)
    }
    let level = failures.level(address, configuration.failedAttempts)
    if level.isEnough { return try await lookUp(presented, digest, from: address, countedIn: failures) }
    let isLetThrough = overdrafts.withLock { count in
      guard count < Self.mostOverdrafts else { return false }
      count += 1
      return true
    }
    guard isLetThrough else { throw Self.tooManyFailures(level) }
    defer { overdrafts.withLock { $0 -= 1 } }
    return try await lookUp(presented, digest, from: address, countedIn: failures)
  }

  private func lookUp(
    _ presented: Presented, _ digest: CredentialDigest, from address: ClientAddress,
    countedIn failures: TokenBuckets<ClientAddress>
  ) async throws(Problem) -> Credential {
    do throws(Problem) {
      return try await lookUp(presented, digest)
    } catch {
      guard error.code == .unauthenticated else { throw error }
      let level = failures.take(address, configuration.failedAttempts)
      throw level.isEnough ? error : Self.tooManyFailures(level)
    }
  }

  private static func tooManyFailures(_ level: TokenBucket.Level) -> Problem {
    .rateLimited("too many failed attempts from this address", level)
  }

  private func lookUp(_ presented: Presented, _ digest: CredentialDigest) async throws(Problem) -> Credential {
    switch presented.kind {
    case .key:
      guard let keys else { throw .unauthenticated("API keys are not taken here") }
      return try await keys.lookUp(presented.text, digest)
    case .token:
      guard let tokens else { throw .unauthenticated("tokens are not taken here") }
      return try await tokens.verify(presented.text, digest)
    }
  }

  /// One request of the credential's.
  private func spend(of credential: Credential) async throws(Problem) -> [(name: HTTPField.Name, value: String)] {
    guard let limit = limit.current else { return [] }
    let key = credential.keyID ?? credential.actor
    let level =
      if let told = await shared?.take(key, limit.rate) {
        TokenBucket.Level(isEnough: told.isEnough, left: told.left, wait: told.wait)
      } else {
        requests.take(key, limit.rate)
      }
    let fields = limit.fields.fields(level)
    guard level.isEnough else {
      throw Problem.rateLimited("the credential's limit of requests is reached", level).adding(fields)
    }
    return fields
  }

  private static let bootstrapCredential = Credential(
    actor: Credential.keyPrefix + NewAPIKey.bootstrapName, roles: [.admin])
}
