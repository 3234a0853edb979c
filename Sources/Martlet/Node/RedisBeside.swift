// Redis as the engine and the gates know it: what stands beside the store. Made by `ServerNode`, where `redis.url` is set.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletHTTP
internal import MartletRedis
internal import NIOPosix
internal import Synchronization

final class RedisBeside: Sendable {
  private let settings: RedisSettings
  private let keys: RedisKeys
  private let client: RedisClient
  private let dispatch: RedisDispatch
  private let cache: RedisKeyCache
  private let limits: RedisRateLimits
  private let bell = Mutex<RedisBell?>(nil)
  private let logger: Logger
  private let refusal = Mutex<(message: String, at: ContinuousClock.Instant)?>(nil)

  /// So long nobody else is given what was taken; the store's claim takes less.
  private static let lock = Duration.seconds(5)
  /// A refusal is told of as long as there was one within this time.
  private static let memory = Duration.seconds(10)

  /// - Throws: `RedisError.unusable`, whose description is one line for people.
  init(_ url: String, installation: String, logger: Logger) throws {
    settings = try RedisSettings(RedisURL(url), random: .system)
    keys = RedisKeys(installation: installation)
    client = RedisClient(settings, group: MultiThreadedEventLoopGroup.singleton, logger: logger)
    dispatch = RedisDispatch(client, keys)
    cache = RedisKeyCache(client, keys)
    limits = RedisRateLimits(client, keys)
    self.logger = logger
  }

  var accelerators: Accelerators {
    Accelerators(name: "redis", dispatcher: self, keys: self, bell: self) { [self] in trouble }
  }

  func close() async {
    await bell.withLock(\.self)?.close()
    await client.close()
  }

  private var trouble: String? {
    let recent = refusal.withLock { refusal in
      refusal.flatMap { ContinuousClock.now - $0.at < Self.memory ? $0.message : nil }
    }
    return client.status.lastError ?? bell.withLock(\.self)?.status.lastError ?? recent
  }

  private func ask<Answer>(
    _ call: () async throws(RedisError) -> Answer
  ) async throws(AcceleratorFailure) -> Answer {
    do throws(RedisError) {
      return try await call()
    } catch {
      // Of a connection that is not there the connection itself tells.
      if case .refused(let message) = error, client.status.isUp { wasRefused(message) }
      throw AcceleratorFailure(error.message)
    }
  }

  /// Redis is there and will not: its memory is full, or a right is missing.
  private func wasRefused(_ message: String) {
    let isNew = refusal.withLock { refusal in
      defer { refusal = (message, .now) }
      return refusal.map { ContinuousClock.now - $0.at >= Self.memory } ?? true
    }
    if isNew {
      logger.warning(
        "Redis at \(settings.url.place) refuses: \(message); as long as it does, the database is asked instead")
    }
  }
}

extension RedisBeside: Dispatcher {
  func push(_ entries: [DispatchEntry]) async throws(AcceleratorFailure) {
    guard !entries.isEmpty else { return }
    // They are READY by the store's clock, whatever Redis' says.
    try await ask { () throws(RedisError) in try await dispatch.push(entries, now: .latest) }
  }

  func take(_ requests: [ClaimRequest]) async throws(AcceleratorFailure) -> [[TaskID]] {
    let asked = requests.map { request in
      let queues = request.takesAllQueues ? [ClaimRequest.allQueues] : request.queues
      return TakeRequest(
        lanes: queues.flatMap { queue in request.types.map { Lane(queue: queue, type: $0) } }, limit: request.limit)
    }
    return try await ask { () throws(RedisError) in try await dispatch.take(asked, lock: Self.lock, now: .latest) }
  }

  func forget(_ ids: [TaskID]) async throws(AcceleratorFailure) {
    try await ask { () throws(RedisError) in try await dispatch.confirm(ids) }
  }

  func giveBack(_ ids: [TaskID]) async throws(AcceleratorFailure) {
    try await ask { () throws(RedisError) in try await dispatch.giveBack(ids, now: .latest) }
  }

  func unknown(among entries: [DispatchEntry]) async throws(AcceleratorFailure) -> [DispatchEntry] {
    try await ask { () throws(RedisError) in try await dispatch.unknown(among: entries) }
  }

  func check() async throws(AcceleratorFailure) {
    try await ask { () throws(RedisError) in try await dispatch.check() }
  }

  func takeTurn(for duration: Duration) async throws(AcceleratorFailure) -> Bool {
    try await ask { () throws(RedisError) in try await dispatch.takeTurn(for: duration) }
  }
}

extension RedisBeside: KeyMemory {
  func find(_ key: String) async throws(AcceleratorFailure) -> KnownKey? {
    let found = try await ask { () throws(RedisError) in try await cache.find([key]) }
    return found.first.flatMap(\.self).map { KnownKey(fingerprint: $0.fingerprint, tasks: $0.tasks) }
  }

  func remember(_ known: [(text: String, known: KnownKey)], for duration: Duration) async throws(AcceleratorFailure) {
    let entries = known.map { key in
      (key: key.text, entry: RedisKeyCache.Entry(fingerprint: key.known.fingerprint, tasks: key.known.tasks))
    }
    try await ask { () throws(RedisError) in try await cache.remember(entries, for: duration) }
  }
}

extension RedisBeside: LaneBell {
  /// Stands for any lane, where there are too many to name.
  private static let any = "*"

  func ring(_ lanes: Set<Lane>) async throws(AcceleratorFailure) {
    let named = lanes.map(\.name).joined(separator: " ")
    let hint = named.utf8.count > RedisBell.longest ? Self.any : named
    guard let bell = bell.withLock(\.self) else { return }
    try await ask { () throws(RedisError) in try await bell.ring(hint) }
  }

  func listen(_ hear: @escaping @Sendable (Set<Lane>?) -> Void) {
    var quiet = logger
    quiet.logLevel = .error  // of what is wrong with Redis the client tells
    let bell = RedisBell(
      settings, client: client, keys: keys, group: MultiThreadedEventLoopGroup.singleton, logger: quiet,
      hear: { hint in
        let lanes = hint.split(separator: " ").map { Lane(name: String($0)) }
        hear(lanes.contains(nil) ? nil : Set(lanes.compactMap(\.self)))
      }, onGap: { hear(nil) })
    self.bell.withLock { $0 = bell }
    bell.start()
  }
}

extension RedisBeside: SharedBuckets {
  func take(_ key: String, _ limit: RateLimit) async -> SharedLevel? {
    do throws(AcceleratorFailure) {
      let level = try await ask { () throws(RedisError) in
        try await limits.take(key, RedisRateLimits.Limit(perSecond: limit.perSecond, burst: limit.burst))
      }
      return SharedLevel(isEnough: level.isAllowed, left: level.remaining, wait: level.retryAfter)
    } catch {
      return nil
    }
  }
}
