// Keeps the keys for tokens: reads them at the start, again from time to time, and when a token names one that is not known.
// What cannot be read leaves the last good ones in force. Made by `Gate`; asked by `TokenDesk`.

internal import Logging
internal import MartletEngine
internal import Synchronization

final class KeySetKeeper: Sendable {
  struct Current: Sendable {
    let keys: KeySet
    /// Rises when the keys are replaced: what older ones said of a token must be asked again.
    let generation: Int
  }

  private static let interval = Duration.seconds(300)
  private static let intervalWhileFailing = Duration.seconds(30)
  private static let intervalWithoutKeys = Duration.seconds(2)
  /// Tokens with made-up names must not make us ask more often.
  private static let shortestInterval = Duration.seconds(30)
  private static let waiterLimit = 1000

  private let source: KeySource
  private let clock: any EngineClock
  private let logger: Logger
  private let alarm = Alarm()
  private let state = Mutex(State())

  private struct State {
    var current: Current?
    var isFailing = false
    var isRunning = false
    var isReading = false
    /// Somebody waits for the next reading.
    var isAsked = false
    var mayAskAt: MonotonicTime?
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  init(source: KeySource, clock: any EngineClock, logger: Logger) {
    self.source = source
    self.clock = clock
    self.logger = logger
  }

  var current: Current? { state.withLock(\.current) }
  var generation: Int? { state.withLock { $0.current?.generation } }

  /// Before the first request: what is on this machine has to be right. A server of keys that is down must not keep ours down.
  func prepare() async throws(AuthFailure) {
    if case .secret = source {} else { begin() }
    if case .url = source { return }
    do {
      install(try await source.read(clock: clock))
    } catch {
      let detail = "\(source.shown) cannot be used: \(KeySetFault(error))"
      throw AuthFailure(mistakes: [AuthMistake(key: "auth.jwt.jwks", detail: detail)])
    }
  }

  /// Until its task is cancelled.
  func run() async {
    defer { end() }
    if case .secret = source { return await alarm.wait() }
    if current != nil { await rest(Self.interval) }
    while !Task.isCancelled {
      await read()
      await rest(pause)
    }
  }

  /// The keys after a fresh reading, where one is due; else as they are.
  func refreshed() async -> Current? {
    await withCheckedContinuation { continuation in
      let (waits, rings) = state.withLock { state -> (Bool, Bool) in
        let mayAsk = state.mayAskAt.map { clock.now >= $0 } ?? true
        guard state.isRunning, state.isReading || mayAsk, state.waiters.count < Self.waiterLimit else {
          return (false, false)
        }
        state.waiters.append(continuation)
        let rings = !state.isReading && !state.isAsked
        state.isAsked = state.isAsked || rings
        return (true, rings)
      }
      if rings { alarm.ring() }
      if !waits { continuation.resume() }
    }
    return current
  }

  private var pause: Duration {
    state.withLock { state in
      guard state.isFailing else { return Self.interval }
      return state.current == nil ? Self.intervalWithoutKeys : Self.intervalWhileFailing
    }
  }

  /// A ring may be an old one: only who asks, or the time, ends the rest.
  private func rest(_ duration: Duration) async {
    let end = clock.now + duration
    while !Task.isCancelled, clock.now < end, !state.withLock(\.isAsked) {
      await alarm.wait(until: end, on: clock)
    }
  }

  private func begin() {
    state.withLock { state in
      state.isRunning = true
      if case .file = source { state.mayAskAt = clock.now + Self.shortestInterval }
    }
  }

  private func read() async {
    state.withLock { state in
      state.isReading = true
      state.isAsked = false
      state.mayAskAt = clock.now + Self.shortestInterval
    }
    do {
      install(try await source.read(clock: clock))
    } catch {
      if !Task.isCancelled { failed(KeySetFault(error)) }
    }
    state.withLock { $0.isReading = false }
    answer()
  }

  private func install(_ keys: KeySet) {
    let (isNew, worksAgain) = state.withLock { state -> (Bool, Bool) in
      defer { state.isFailing = false }
      let isNew = state.current?.keys.fingerprint != keys.fingerprint
      if isNew { state.current = Current(keys: keys, generation: (state.current?.generation ?? 0) + 1) }
      return (isNew, state.isFailing)
    }
    if worksAgain { logger.info("the keys for tokens can be read again", metadata: ["from": "\(source.shown)"]) }
    guard isNew else { return }
    logger.info("keys for tokens", metadata: ["from": "\(source.shown)", "keys": "\(keys.count)"])
    for reason in keys.leftOut {
      logger.info("a key for tokens is left out: \(reason)", metadata: ["from": "\(source.shown)"])
    }
  }

  /// Told once, however long it lasts.
  private func failed(_ fault: KeySetFault) {
    let (isFirst, hasKeys) = state.withLock { state in
      defer { state.isFailing = true }
      return (!state.isFailing, state.current != nil)
    }
    guard isFirst else { return }
    let consequence = hasKeys ? "the last good ones stay in force" : "no token can be checked"
    logger.warning(
      "the keys for tokens cannot be read, \(consequence): \(fault)", metadata: ["from": "\(source.shown)"])
  }

  private func end() {
    state.withLock { $0.isRunning = false }
    answer()
  }

  private func answer() {
    let waiters = state.withLock { state in
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
