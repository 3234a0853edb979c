// The sink's or consumer's way to the broker: an actor on a thread of its own that makes the connection, makes it again when it
// breaks, and looks after it while nobody needs it.

internal import MartletCore
internal import Synchronization

actor RabbitConnection {
  nonisolated let thread: RabbitThread
  nonisolated let settings: RabbitSettings
  nonisolated let limits: RabbitLimits
  private nonisolated let random: RandomSource
  private nonisolated let clock: @Sendable () -> ContinuousClock.Instant
  private nonisolated let report: @Sendable (String) -> Void
  private nonisolated let setUp: @Sendable (RabbitLink) throws(RabbitFailure) -> Void
  nonisolated let fuse = RabbitFuse()
  private nonisolated let shown = Mutex(RabbitHealth(isUp: false, trouble: "not connected yet"))

  private(set) var link: RabbitLink?
  private var backoff: RabbitBackoff
  /// How many there were: a message can be answered only on the one that it came by.
  private(set) var connections = 0
  private var isClosed = false
  /// What came by itself and nobody has asked for yet.
  var deliveries: [RabbitDelivery] = []
  private var reported: String?

  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  /// - Parameters:
  ///   - clock: for the pauses between tries.
  ///   - report: told in one line that the broker is lost, and that it is back.
  ///   - setUp: what each new connection has to do before it can be used.
  init(
    _ settings: RabbitSettings, limits: RabbitLimits, random: RandomSource,
    clock: @escaping @Sendable () -> ContinuousClock.Instant, report: @escaping @Sendable (String) -> Void,
    setUp: @escaping @Sendable (RabbitLink) throws(RabbitFailure) -> Void
  ) {
    self.settings = settings
    self.limits = limits
    self.random = random
    self.clock = clock
    self.report = report
    self.setUp = setUp
    backoff = RabbitBackoff(limits)
    thread = RabbitThread(tick: limits.tick)
    thread.whenIdle { [weak self] in self?.assumeIsolated { $0.lookAfter() } }
  }

  deinit {
    fuse.putOut()
    thread.stop()
  }

  nonisolated var health: RabbitHealth { shown.withLock(\.self) }

  /// Connects, if there is no connection.
  /// - Throws: what is in the way, also if it is too early for the next try.
  func open() throws(RabbitFailure) {
    _ = try opened()
  }

  func close() {
    isClosed = true
    hangUp()
    deliveries = []
    shown.withLock { $0 = RabbitHealth(isUp: false, trouble: "closed") }
  }

  // MARK: - The connection

  func opened() throws(RabbitFailure) -> RabbitLink {
    if let link { return link }
    guard !isClosed else { throw RabbitFailure("\(settings.place): the connection is closed") }
    guard backoff.isDue(clock()) else { throw RabbitFailure(health.trouble ?? "\(settings.place) cannot be reached") }
    do throws(RabbitFailure) {
      let link = try RabbitLink.open(settings, limits)
      try setUp(link)
      self.link = link
      connections += 1
      backoff.succeeded()
      showState()
      return link
    } catch {
      lost(error)
      throw error
    }
  }

  /// What is not known to have arrived has to be repeated on another.
  func lost(_ failure: RabbitFailure) {
    fuse.putOut()
    link = nil
    deliveries = []
    backoff.failed(jitter: random.fraction(), now: clock())
    show(failure.description)
  }

  /// A connection that is well, but no longer wanted.
  func hangUp() {
    guard let link else { return }
    fuse.light(link.descriptor, for: goodbye)
    link.close(within: goodbye)
    fuse.putOut()
    self.link = nil
  }

  func showState() {
    guard let link else { return }
    show(link.blocked.map { link.isBlocked($0).description })
  }

  private func show(_ trouble: String?) {
    shown.withLock { $0 = RabbitHealth(isUp: trouble == nil, trouble: trouble) }
    guard trouble != reported else { return }
    report(trouble ?? "\(settings.place) is back")
    reported = trouble
  }

  /// Nobody has asked for anything for a while.
  private func lookAfter() {
    guard !isClosed, link != nil || backoff.isDue(clock()) else { return }
    do throws(RabbitFailure) {
      try listen(opened(), until: .now)
      showState()
    } catch {
      if link != nil { lost(error) }
    }
  }

  /// Reads what is there, or the first thing that comes.
  func listen(_ link: RabbitLink, until deadline: ContinuousClock.Instant, _ confirms: inout RabbitConfirms)
    throws(RabbitFailure)
  {
    var deadline = deadline
    while let word = try link.next(until: deadline) {
      if case .delivered(var delivery) = word {
        delivery.connection = connections
        deliveries.append(delivery)
      }
      confirms.take(word)
      deadline = .now
    }
  }

  func listen(_ link: RabbitLink, until deadline: ContinuousClock.Instant) throws(RabbitFailure) {
    var nobody = RabbitConfirms([])
    try listen(link, until: deadline, &nobody)
  }
}

/// Whether the broker can be used, and if not, why: for `/health/ready`.
package struct RabbitHealth: Sendable, Hashable {
  package var isUp: Bool
  package var trouble: String?
}

private let goodbye = Duration.seconds(1)
