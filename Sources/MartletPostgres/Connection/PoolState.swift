// Which connection serves whom, and when a new one is tried: the pool's rules as a state machine without locks, threads or a
// clock. `ConnectionPool` is its shell.

internal import MartletCore

/// `Member` is a connection, `Waiter` whoever waits for one.
struct PoolState<Member: AnyObject & Sendable, Waiter: Sendable>: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// What the shell has to do once it has left the lock.
  struct Work: Sendable {
    var give: [(waiter: Waiter, member: Member)] = []
    var refuse: [(waiter: Waiter, reason: String)] = []
    /// Connections of no more use.
    var end: [Member] = []
    /// So many new connections are to be tried.
    var open = 0
    /// For people.
    var report: String?
  }

  private struct Waiting: Sendable {
    let waiter: Waiter
    let urgency: Urgency
    let since: Instant
  }

  private struct Flight: Sendable {
    let urgency: Urgency
    let since: Instant
  }

  let size: Int
  let limits: ConnectionSettings.Limits
  private var idle: [Member] = []
  private var flights: [ObjectIdentifier: Flight] = [:]
  private var opening = 0
  private var waiting: [Waiting] = []
  private(set) var isClosed = false

  private var lastAnswer: Instant?
  /// Set while there is no connection and the last try failed.
  private var trouble: String?
  private var isReported = false
  private var pause = Duration.zero
  private var nextTry: Instant?
  /// When there was last a connection.
  private var emptySince: Instant?

  init(size: Int, limits: ConnectionSettings.Limits) {
    self.size = max(size, 1)
    self.limits = limits
  }

  var isAtRest: Bool { flights.isEmpty }

  private var living: Int { idle.count + flights.count }
  private var backgroundLimit: Int { max(size - 1, 1) }

  private func mayStart(_ urgency: Urgency) -> Bool {
    urgency == .hot || flights.values.count(where: { $0.urgency == .background }) < backgroundLimit
  }

  // MARK: What happens

  /// Somebody wants a connection; whoever came before goes first.
  mutating func ask(_ waiter: Waiter, _ urgency: Urgency, now: Instant) -> Work {
    var work = Work()
    if isClosed {
      work.refuse.append((waiter, closedReason))
    } else if isSilent(now) {
      work.refuse.append((waiter, silenceReason))
    } else {
      waiting.append(Waiting(waiter: waiter, urgency: urgency, since: now))
      serve(&work, now: now)
    }
    return work
  }

  /// A connection answered and is free again.
  mutating func answered(_ member: Member, now: Instant) -> Work {
    flights[ObjectIdentifier(member)] = nil
    lastAnswer = now
    var work = Work()
    guard !isClosed else {
      work.end.append(member)
      return work
    }
    idle.append(member)
    serve(&work, now: now)
    return work
  }

  /// A connection is of no more use. With a timeout all others are doubted: what does not answer on one of them will hardly
  /// answer on the next.
  mutating func broke(_ member: Member, isTimeout: Bool, now: Instant) -> Work {
    flights[ObjectIdentifier(member)] = nil
    var work = Work()
    work.end.append(member)
    if isTimeout {
      work.end += idle
      idle = []
    }
    if living == 0 { emptySince = now }
    serve(&work, now: now)
    return work
  }

  /// Whether a connection is to be opened although nobody waits for it: there is none.
  mutating func mayOpenFirst() -> Bool {
    guard living == 0 else { return false }
    opening += 1
    return true
  }

  mutating func opened(_ member: Member, now: Instant) -> Work {
    opening -= 1
    var work = Work()
    guard !isClosed else {
      work.end.append(member)
      return work
    }
    if isReported { work.report = "the database is back" }
    (trouble, isReported, pause, nextTry) = (nil, false, .zero, nil)
    lastAnswer = now
    idle.append(member)
    serve(&work, now: now)
    return work
  }

  /// - Parameter jitter: 0..<1
  mutating func openFailed(_ reason: String, jitter: Double, now: Instant) -> Work {
    opening -= 1
    guard !isClosed else { return Work() }
    var work = Work()
    pause = pause == .zero ? .milliseconds(50) : min(pause * 2, .milliseconds(500))
    nextTry = now + pause * (0.5 + jitter / 2)
    if living == 0 {
      trouble = reason
      if !isReported {
        isReported = true
        work.report = "the database cannot be reached: \(reason)"
      }
    }
    expire(&work, now: now)
    return work
  }

  /// Time has passed.
  mutating func tick(now: Instant) -> Work {
    var work = Work()
    guard !isClosed else { return work }
    expire(&work, now: now)
    serve(&work, now: now)
    return work
  }

  /// When `tick` is needed next, if nothing else happens.
  func nextTick(now: Instant) -> Instant? {
    guard !isClosed else { return nil }
    var times = waiting.map(end)
    if !waiting.isEmpty, let silence = silentFrom { times.append(silence) }
    if opening == 0, let nextTry, trouble != nil || !waiting.isEmpty { times.append(nextTry) }
    return times.min().map { max($0, now) }
  }

  /// Refuses all from now on.
  mutating func close() -> Work {
    isClosed = true
    var work = Work()
    work.refuse = waiting.map { ($0.waiter, closedReason) }
    waiting = []
    work.end = idle
    idle = []
    return work
  }

  // MARK: Rules

  private mutating func serve(_ work: inout Work, now: Instant) {
    guard !isClosed else { return }
    while !idle.isEmpty, let index = waiting.firstIndex(where: { mayStart($0.urgency) }) {
      let next = waiting.remove(at: index)
      let member = idle.removeLast()  // the last used: the others' connections may rest
      flights[ObjectIdentifier(member)] = Flight(urgency: next.urgency, since: now)
      work.give.append((next.waiter, member))
    }
    let isDue = nextTry.map { $0 <= now } ?? true
    guard isDue else { return }
    // While nothing can be reached one try at a time is enough.
    let most = nextTry == nil ? size - living : min(1, size - living)
    let wanted = trouble != nil ? max(waiting.count, 1) : waiting.count(where: { mayStart($0.urgency) })
    let new = max(min(wanted, most) - opening, 0)
    opening += new
    work.open += new
  }

  private mutating func expire(_ work: inout Work, now: Instant) {
    let isSilent = isSilent(now)
    let isOver = { [self] (entry: Waiting) in isSilent || end(entry) <= now }
    for entry in waiting where isOver(entry) {
      work.refuse.append((entry.waiter, isSilent ? silenceReason : reason))
    }
    waiting.removeAll(where: isOver)
  }

  /// How long it may wait: not long without any connection, and not at all for a try that comes too late.
  private func end(_ entry: Waiting) -> Instant {
    guard living == 0 else { return entry.since + limits.hot }
    let end = max(entry.since, emptySince ?? entry.since) + limits.patience
    if trouble != nil, opening == 0, let nextTry, nextTry > end { return entry.since }
    return end
  }

  private var reason: String {
    if living > 0 { return "all connections to the database are busy" }
    return trouble ?? "no connection to the database within \(limits.patience.wholeMilliseconds) ms"
  }

  private var closedReason: String { "the store is closed" }
  private var silenceReason: String { "the database does not answer" }

  /// From when on the server counts as hung, if it goes on saying nothing. Only calls that should be quick are a sign of it.
  private var silentFrom: Instant? {
    let oldest = flights.values.compactMap { $0.urgency == .hot ? $0.since : nil }.min()
    return oldest.map { max($0, lastAnswer ?? $0) + limits.silence }
  }

  private func isSilent(_ now: Instant) -> Bool {
    silentFrom.map { $0 <= now } ?? false
  }
}
