// The store's way to the database: a few connections, opened when first needed and again when they break, and who may use them
// when. All of the store's operations come through `run` and `transaction`.

internal import Dispatch
internal import MartletCore
internal import Synchronization

final class ConnectionPool: Sendable {
  private typealias State = PoolState<Connection, Call>
  private typealias Answer = CheckedContinuation<Result<[Rows], PostgresFailure>, Never>

  private struct Call: Sendable {
    let work: Connection.Work
    let urgency: Urgency
    let answer: Answer
    /// How often it met a connection that turned out dead.
    var deadEnds = 0
  }

  private struct Shared {
    var pool: State
    var closers: [CheckedContinuation<Void, Never>] = []
    var tickAt: ContinuousClock.Instant?
  }

  private let settings: ConnectionSettings
  private let size: Int
  private let report: @Sendable (String) -> Void
  private let onLoss: @Sendable () -> Void
  private let greet: @Sendable (Greeting) throws(StoreError) -> Void
  private let shared: Mutex<Shared>

  /// - Parameters:
  ///   - report: told in one line that the database is lost, and that it is back.
  ///   - onLoss: told of each connection that is of no more use, before its call is answered.
  ///   - greeting: looks at each new connection's server; what it throws keeps the connection from being used.
  init(
    _ settings: ConnectionSettings, size: Int, report: @escaping @Sendable (String) -> Void,
    onLoss: @escaping @Sendable () -> Void = {},
    greeting: @escaping @Sendable (Greeting) throws(StoreError) -> Void = { _ in }
  ) {
    self.settings = settings
    self.size = size
    self.report = report
    self.onLoss = onLoss
    greet = greeting
    shared = Mutex(Shared(pool: State(size: size, limits: settings.limits)))
  }

  /// Makes the first connection, so that what is wrong with the settings is said at once.
  /// - Throws: `.unusable` for a wrong password, name or certificate and what the greeting refuses, else `.unavailable`.
  func connect() async throws(StoreError) {
    if shared.withLock({ $0.pool.mayOpenFirst() }) { try await open(mustReport: false) }
  }

  /// Runs all queries in one round trip and as one transaction: committed as a whole when it returns, or, unless it throws
  /// `.lost`, not at all. One result per query. Not interrupted by cancellation.
  @discardableResult
  func transaction(_ queries: [Query], _ urgency: Urgency = .hot) async throws(PostgresFailure) -> [Rows] {
    try await call(.queries(queries), urgency)
  }

  /// The same with a single query.
  @discardableResult
  func run(_ query: Query, _ urgency: Urgency = .hot) async throws(PostgresFailure) -> Rows {
    try await transaction([query], urgency)[0]
  }

  /// Runs a script of several statements as one transaction.
  func script(_ sql: String) async throws(PostgresFailure) {
    _ = try await call(.script(sql), .background)
  }

  /// Waits for what is in flight and refuses the rest.
  func close() async {
    perform(shared.withLock { $0.pool.close() })
    await withCheckedContinuation { closer in
      let isAtRest = shared.withLock { shared in
        if !shared.pool.isAtRest { shared.closers.append(closer) }
        return shared.pool.isAtRest
      }
      if isAtRest { closer.resume() }
    }
  }

  // MARK: - Calls

  private func call(_ work: Connection.Work, _ urgency: Urgency) async throws(PostgresFailure) -> [Rows] {
    try await withCheckedContinuation { answer in
      ask(Call(work: work, urgency: urgency, answer: answer))
    }.get()
  }

  private func ask(_ call: Call) {
    perform(shared.withLock { $0.pool.ask(call, call.urgency, now: .now) })
  }

  /// On the connection's thread, with one call after the other as long as any wait.
  private func serve(_ call: Call, on connection: isolated Connection) {
    var next: Call? = call
    while let call = next {
      let ending = connection.run(call.work, call.urgency)
      var work = checkIn(connection, ending)
      let own = work.give.firstIndex { $0.member === connection }
      next = own.map { work.give.remove(at: $0).waiter }
      end(call, ending)
      perform(work)
    }
  }

  private func checkIn(_ connection: Connection, _ ending: Connection.Ending) -> State.Work {
    if !ending.isFit { onLoss() }
    let (work, closers) = shared.withLock { shared in
      let now = ContinuousClock.now
      let isTimeout = if case .lost(_, isTimeout: true) = ending { true } else { false }
      let work =
        ending.isFit
        ? shared.pool.answered(connection, now: now)
        : shared.pool.broke(connection, isTimeout: isTimeout, now: now)
      var closers: [CheckedContinuation<Void, Never>] = []
      if shared.pool.isClosed, shared.pool.isAtRest { swap(&closers, &shared.closers) }
      return (work, closers)
    }
    for closer in closers { closer.resume() }
    return work
  }

  private func end(_ call: Call, _ ending: Connection.Ending) {
    switch ending {
    case .answered(let rows):
      call.answer.resume(returning: .success(rows))
    case .refused(let failure, _):
      call.answer.resume(returning: .failure(failure))
    case .lost(let reason, _):
      call.answer.resume(returning: .failure(.lost("the connection to the database broke: \(reason)")))
    case .unsent where call.deadEnds < size:
      // After a restart of the database all idle connections are dead; each says so at no cost.
      var call = call
      call.deadEnds += 1
      ask(call)
    case .unsent(let reason):
      call.answer.resume(returning: .failure(.unavailable(reason)))
    }
  }

  // MARK: - Connections and time

  /// What is in `work.end` ends as it is forgotten.
  private func perform(_ work: State.Work) {
    for entry in work.give { entry.member.enqueue { [self] connection in serve(entry.waiter, on: connection) } }
    for entry in work.refuse { entry.waiter.answer.resume(returning: .failure(.unavailable(entry.reason))) }
    if let line = work.report { report(line) }
    for _ in 0..<work.open {
      // Nobody waits for this longer than he has patience.
      Task { try? await open(mustReport: true) }
    }
    scheduleTick()
  }

  private func open(mustReport: Bool) async throws(StoreError) {
    let connection = Connection(settings)
    do {
      try await connection.open(greet)
    } catch {
      let jitter = RandomSource.system.fraction()
      var work = shared.withLock { $0.pool.openFailed(error.message, jitter: jitter, now: .now) }
      if !mustReport { work.report = nil }
      perform(work)
      throw error
    }
    perform(shared.withLock { $0.pool.opened(connection, now: .now) })
  }

  private func scheduleTick() {
    let now = ContinuousClock.now
    let isNeeded = shared.withLock { shared -> ContinuousClock.Instant? in
      guard let next = shared.pool.nextTick(now: now), shared.tickAt.map({ next < $0 }) ?? true else { return nil }
      shared.tickAt = next
      return next
    }
    guard let next = isNeeded else { return }
    let milliseconds = Int(now.duration(to: next).wholeMilliseconds) + 1
    DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(milliseconds)) { [weak self] in
      guard let self else { return }
      let work = shared.withLock { shared in
        if shared.tickAt == next { shared.tickAt = nil }
        return shared.pool.tick(now: .now)
      }
      perform(work)
    }
  }
}
