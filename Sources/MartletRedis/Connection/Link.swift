// Keeps one connection: makes it, greets, and makes it again whenever it breaks, first at once and then with longer and longer pauses.
// While it knows Redis to be away it says so at once to whoever asks. `RedisClient` and `RedisBell` have one each; it lives on an
// event loop.

internal import Logging
internal import MartletCore
internal import NIOCore
internal import NIOPosix

final class Link {
  private enum State {
    case idle
    case connecting(Int, Scheduled<Void>)
    case up(Wire)
    case pausing(Scheduled<Void>)
    case closed
  }

  private let settings: RedisSettings
  private let greeting: [Greeting]
  private let loop: any EventLoop
  private let logger: Logger
  private let purpose: String
  private let status: StatusBox
  private let onPush: ((RedisValue) -> Void)?
  var onUp: ((Wire) -> Void)?
  /// No connection, and none is in sight.
  var onDown: ((RedisError) -> Void)?

  private var state = State.idle
  private var attempts = 0
  /// Of the connection that is being made.
  private var wire: Wire?
  private var upSince = NIODeadline.uptimeNanoseconds(0)
  private var backoff: Backoff
  /// Set while Redis is known to be away.
  private(set) var trouble: RedisError?
  private var isReported = false

  /// - Parameters:
  ///   - purpose: what is not done while there is no connection, for the log.
  ///   - greeting: behind that of the settings.
  init(
    _ settings: RedisSettings, purpose: String, greeting: [Greeting] = [], loop: any EventLoop, logger: Logger,
    status: StatusBox, onPush: ((RedisValue) -> Void)? = nil
  ) {
    self.settings = settings
    self.greeting = settings.greeting + greeting
    self.loop = loop
    self.logger = logger
    self.purpose = purpose
    self.status = status
    self.onPush = onPush
    backoff = settings.backoff
  }

  /// The connection, where there is one.
  var current: Wire? {
    if case .up(let wire) = state { wire } else { nil }
  }

  func start() {
    if case .idle = state { connect() }
  }

  func close() {
    let error = settings.told(.unavailable("the connection was closed by this node"))
    let last = state
    state = .closed
    trouble = error
    status.set(RedisStatus(isUp: false, lastError: nil))
    switch last {
    case .connecting(_, let timer), .pausing(let timer): timer.cancel()
    case .up(let wire): wire.close(error)
    case .idle, .closed: break
    }
    wire?.close(error)
    wire = nil
    onDown?(error)
    (onUp, onDown) = (nil, nil)
  }

  // MARK: Making it

  private func connect() {
    attempts += 1
    let attempt = attempts
    let isolated = loop.assumeIsolated()
    let timer = isolated.scheduleTask(in: TimeAmount(settings.timeout)) { [self] in
      failed(attempt, .unavailable("no answer within \(settings.timeout.formatted)"))
    }
    state = .connecting(attempt, timer)
    ClientBootstrap(group: loop).connectTimeout(TimeAmount(settings.timeout))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .connect(host: settings.url.host, port: settings.url.port)
      .assumeIsolated().whenComplete { [self] result in
        switch result {
        case .success(let channel): reached(attempt, channel)
        case .failure(let error): failed(attempt, RedisError(connecting: error))
        }
      }
  }

  private func reached(_ attempt: Int, _ channel: any Channel) {
    guard isCurrent(attempt) else { return channel.close(promise: nil) }
    let wire = Wire(settings, onPush: onPush)
    wire.onEnd = { [self] error, isTimeout in ended(attempt, error, isTimeout: isTimeout) }
    self.wire = wire
    do {
      if let tls = try settings.tlsHandler() { try channel.pipeline.syncOperations.addHandler(tls) }
      try channel.pipeline.syncOperations.addHandler(wire)
    } catch {
      channel.close(promise: nil)
      return failed(attempt, RedisError(connecting: error))
    }
    let deadline = loop.now + TimeAmount(settings.timeout)
    wire.send(
      Exchange(greeting.map(\.command), deadline: deadline) { [self] answer in
        guard case .success(let replies) = answer else { return }  // the end of the wire tells why
        if let trouble = Greeting.trouble(greeting, replies) {
          failed(attempt, trouble)
        } else {
          greeted(attempt, wire)
        }
      })
  }

  private func greeted(_ attempt: Int, _ wire: Wire) {
    guard case .connecting(attempt, let timer) = state else { return }
    timer.cancel()
    self.wire = nil
    state = .up(wire)
    upSince = loop.now
    trouble = nil
    status.set(RedisStatus(isUp: true, lastError: nil))
    if isReported { logger.notice("Redis is back: \(purpose)") }
    isReported = false
    onUp?(wire)
  }

  // MARK: Losing it

  private func ended(_ attempt: Int, _ error: RedisError, isTimeout: Bool) {
    guard case .up = state, attempt == attempts else { return failed(attempt, error) }
    let held = loop.now - upSince
    if held >= TimeAmount(settings.timeout) { backoff.reset() }
    guard !isTimeout, held >= TimeAmount(settings.timeout) else { return pause(error) }
    // It may have been restarted and be back already.
    status.set(RedisStatus(isUp: false, lastError: error.message))
    connect()
  }

  private func failed(_ attempt: Int, _ error: RedisError) {
    guard case .connecting(attempt, let timer) = state else { return }
    timer.cancel()
    let wire = wire
    self.wire = nil
    pause(error)
    wire?.close(error)
  }

  private func pause(_ error: RedisError) {
    let told = settings.told(error)
    trouble = told
    status.set(RedisStatus(isUp: false, lastError: told.message))
    let timer = loop.assumeIsolated().scheduleTask(in: TimeAmount(backoff.next(jitter: settings.random.fraction()))) {
      [self] in
      if case .pausing = state { connect() }
    }
    state = .pausing(timer)
    if !isReported {
      isReported = true
      logger.warning("\(told.message); until it is back: no \(purpose)")
    }
    onDown?(told)
  }

  private func isCurrent(_ attempt: Int) -> Bool {
    if case .connecting(attempt, _) = state { true } else { false }
  }
}
