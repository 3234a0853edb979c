// The store for many nodes: a schema in a PostgreSQL database. Opened by the composition root and by commands; each operation
// stands with its SQL in a file of its own (`PostgresStore+Claim.swift`). Every write is one implicit transaction in one round
// trip, safe to repeat, and repeated when its answer is lost.

package import MartletCore
internal import Synchronization

package final class PostgresStore: TaskStore {
  package struct Options: Sendable {
    /// `postgres://…`, as libpq reads it; `pgbouncer=true` in its query stands for transaction pooling.
    package var url: String
    package var schema = "martlet"
    /// Connections for statements; one more listens.
    package var connections = 4
    package var durability = Durability.strict
    /// Nil: the database's own clock. Tests bring another.
    package var clock: (@Sendable () -> Timestamp)?
    /// How long a call may wait for its answer; lists and the like wait longer.
    package var answerWithin = Duration.seconds(5)
    /// Steps of the schema. Tests play the next release by more of them.
    var migrations = Migrations.known
    /// Told in one line of what somebody may have to see to: a lost connection, its return.
    package var report: @Sendable (String) -> Void = { _ in }

    package init(url: String) {
      self.url = url
    }
  }

  /// What a commit has to survive before it is answered.
  package enum Durability: Sendable {
    /// A power cut of the database's machine.
    case strict
    /// Whatever the database is set to.
    case relaxed
  }

  package let schema: String
  let pool: ConnectionPool
  let book: LaneBook
  let fullLooks = FullLooks()
  let limits = LimitedQueues()
  let deepQueues = DeepQueues()
  let touches = TouchReading()
  let outboxPlaces = OutboxPlaces()
  let noticeSwitch: NoticeSwitch
  let bell: Bell
  let clock: (@Sendable () -> Timestamp)?
  private let listener: Listener
  private let ringing: Task<Void, Never>
  let ear: Ear

  /// Opens, and if need be creates and migrates, a schema.
  /// - Throws: `.unusable` with one line for people: wrong URL or password, missing rights, an unfit server, a newer schema;
  ///   `.unavailable` where nothing listens.
  package static func open(_ options: Options) async throws(StoreError) -> PostgresStore {
    let settings = try settings(options)
    let known = Known()
    let pool = try await connect(
      settings, options, size: options.connections, onConnect: { known.connected() }, onLoss: { known.lost() })
    do {
      try await Migrations(pool: pool, schema: options.schema, steps: options.migrations).run()
      try await refuseIncomplete(pool, options.schema)
    } catch {
      await pool.close()
      throw StoreError(opening: error, schema: options.schema)
    }
    return PostgresStore(options, settings, pool, known)
  }

  /// What an embedded database was to be transferred to, and is not yet: whoever served it would work on half of it.
  private static func refuseIncomplete(_ pool: ConnectionPool, _ schema: String) async throws {
    guard let origin = try await pool.run(Query(incompleteTransfer)).first({ $0.text() }) else { return }
    throw StoreError.unusable(
      "the schema \(schema) holds what an incomplete transfer from \(origin) has left: wait for its end, or martlet transfer --restart"
    )
  }

  static let incompleteTransfer = Statement(
    "incomplete_transfer", "SELECT origin FROM transfers WHERE ended_at IS NULL")

  static func settings(
    _ options: Options, lock: ServingLock = .shared
  ) throws(StoreError) -> ConnectionSettings {
    var limits = ConnectionSettings.Limits()
    limits.hot = options.answerWithin
    // Who can wait longer for answers can wait longer for a connection.
    limits.connect = max(limits.connect, options.answerWithin / 4)
    limits.patience = max(limits.patience, options.answerWithin / 20)
    limits.silence = max(limits.silence, options.answerWithin * 2 / 5)
    var settings = try ConnectionSettings(url: options.url, schema: options.schema, limits: limits)
    settings.lock = lock
    return settings
  }

  /// The names of all migrations, and of those that the schema has.
  package static func migrationStatus(_ options: Options) async throws(StoreError) -> (
    known: [String], applied: [String]
  ) {
    let settings = try settings(options)
    let pool = try await connect(settings, options, size: 1)
    do {
      let applied = try await Migrations(pool: pool, schema: options.schema, steps: options.migrations).applied()
      await pool.close()
      return (options.migrations.map(\.name), applied)
    } catch {
      await pool.close()
      throw StoreError(opening: error, schema: options.schema)
    }
  }

  /// Creates the schema, or brings it up to this version.
  package static func migrate(_ options: Options) async throws(StoreError) {
    await (try await open(options)).close()
  }

  /// Removes the schema with all that is in it.
  package static func drop(_ options: Options) async throws(StoreError) {
    let settings = try settings(options)
    let pool = try await connect(settings, options, size: 1)
    do throws(PostgresFailure) {
      try await pool.script("DROP SCHEMA IF EXISTS \"\(options.schema)\" CASCADE")
      await pool.close()
    } catch {
      await pool.close()
      throw StoreError(error)
    }
  }

  /// What a node remembers of its database. Once a connection has broken, whoever is at the other end of the next one may not be whom
  /// we knew; until then another may still have told of the old one.
  private final class Known: Sendable {
    let book = LaneBook()
    let noticeSwitch = NoticeSwitch()
    private let hasBroken = Atomic(false)

    func lost() {
      hasBroken.store(true, ordering: .releasing)
      forget()
    }

    func connected() {
      if hasBroken.load(ordering: .acquiring) { forget() }
    }

    private func forget() {
      book.forget()
      noticeSwitch.forget()
    }
  }

  /// - Parameters:
  ///   - onConnect: told of each new connection before it is used.
  ///   - onLoss: told of each that is of no more use.
  static func connect(
    _ settings: ConnectionSettings, _ options: Options, size: Int, onConnect: @escaping @Sendable () -> Void = {},
    onLoss: @escaping @Sendable () -> Void = {}
  ) async throws(StoreError) -> ConnectionPool {
    let durability = options.durability
    let pool = ConnectionPool(
      settings, size: size, report: options.report, onLoss: onLoss,
      greeting: { (greeting) throws(StoreError) in
        try StartupChecks.check(greeting, durability: durability)
        try StartupChecks.check(greeting, lock: settings.lock, schema: settings.schema)
        onConnect()
      })
    do {
      try await pool.connect()
    } catch {
      await pool.close()
      throw error
    }
    return pool
  }

  private init(
    _ options: Options, _ settings: ConnectionSettings, _ pool: ConnectionPool, _ known: Known
  ) {
    let book = known.book
    self.pool = pool
    self.book = book
    noticeSwitch = known.noticeSwitch
    schema = options.schema
    clock = options.clock
    let node = String(UInt64.random(in: .min ... .max), radix: 36)
    let channel = "martlet_\(options.schema)"
    let bell = Bell(pool: pool, channel: channel, node: node)
    let ear = Ear()
    let reader = HintReader(book: book, fullLooks: fullLooks, limits: limits, deepQueues: deepQueues, bell: bell)
    self.bell = bell
    self.ear = ear
    listener = Listener(
      settings, channel: channel, report: options.report,
      hear: { message in
        guard let words = News.words(of: message, heardBy: node) else { return }
        for hint in reader.hints(of: words) { ear.tell(hint) }
      },
      onGap: {
        for hint in reader.hintsAfterGap() { ear.tell(hint) }
      })
    ringing = Task { await bell.run() }
    listener.start()
  }

  /// While one transaction waits for the disk another is at work.
  package var preferredConcurrency: Int { 2 }

  package func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {
    ear.listen(hear)
  }

  package func now() async throws(StoreError) -> Timestamp {
    try await repeating { _ in
      let now = try await pool.run(Query(Self.readClock, nowParameter)).first { $0.time() }
      guard let now else { throw UnreadableRow(what: "no time") }
      return now
    }
  }

  package func check() async throws(StoreError) {
    try await repeating { _ in _ = try await pool.run(Query(Self.writeCheck, nowParameter)) }
  }

  package func close() async {
    ringing.cancel()
    await listener.close()
    await pool.close()
  }

  /// Parameter `$1` of every statement that asks for the time.
  var nowParameter: PostgresValue { .int8(clock?().milliseconds) }

  /// The one moment of a statement, by the database's clock unless a test brings its own.
  static let clock = """
    clock AS MATERIALIZED (
      SELECT coalesce($1::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
    )
    """

  private static let readClock = Statement("read_clock", "WITH \(clock) SELECT now FROM clock")

  private static let writeCheck = Statement(
    "write_check",
    "WITH \(clock) INSERT INTO checks (id, at) SELECT 1, now FROM clock ON CONFLICT (id) DO UPDATE SET at = excluded.at"
  )
}

extension StoreError {
  /// What went wrong while opening.
  init(opening error: any Error, schema: String) {
    switch error {
    case PostgresFailure.refused("42501", let message):
      self = .unusable(
        "the role lacks rights: \(message); let it create the schema (GRANT CREATE ON DATABASE …), or make it the owner of schema \(schema)"
      )
    case let failure as PostgresFailure: self.init(failure)
    case let error as StoreError: self = error
    case let error as UnreadableRow: self = .unusable(error.what)
    default: self = .unavailable(String(describing: error))
    }
  }
}
