// One connection of the pool: an actor on a thread of its own, from the making of its session to its end. The pool gives it one
// call at a time.

internal import MartletCore

/// Whom a call may keep waiting.
enum Urgency: Sendable {
  /// Claims, renewals, submits, finishes.
  case hot
  /// Lists, pruning and the like: they never take the last connection.
  case background
}

actor Connection {
  private nonisolated let thread = ConnectionThread()
  private nonisolated let settings: ConnectionSettings
  private var session: Session?
  /// Behind PgBouncer: what the server's first session had, to be set anew in each transaction.
  private var synchronousCommit = "on"

  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  init(_ settings: ConnectionSettings) {
    self.settings = settings
  }

  deinit {
    thread.stop()
  }

  enum Work: Sendable {
    case queries([Query])
    /// Several statements in one text.
    case script(String)
  }

  /// How it ended.
  enum Ending: Sendable {
    case answered([Rows])
    /// Nothing was changed.
    case refused(PostgresFailure, isFit: Bool)
    /// The connection turned out dead before anything could be changed: another may do it.
    case unsent(String)
    case lost(String, isTimeout: Bool)

    /// Whether the connection can go on.
    var isFit: Bool {
      switch self {
      case .answered, .refused(_, isFit: true): true
      case .refused, .unsent, .lost: false
      }
    }
  }

  /// Makes the session and looks whom it has reached.
  /// - Throws: `.unusable` for what somebody has to mend, else `.unavailable`.
  func open(_ greet: (Greeting) throws(StoreError) -> Void) throws(StoreError) {
    let session = try Session.connect(settings)
    let greeting = try Self.setUp(session, settings)
    try greet(greeting)
    synchronousCommit = greeting.synchronousCommit
    self.session = session
  }

  /// Does something on this connection's thread, soon.
  nonisolated func enqueue(_ body: @escaping @Sendable (isolated Connection) -> Void) {
    thread.enqueue { self.assumeIsolated(body) }
  }

  /// Runs it as one transaction.
  func run(_ work: Work, _ urgency: Urgency) -> Ending {
    let ending = exchange { session throws(SessionFailure) in
      switch work {
      case .queries(let queries):
        let prelude = prelude(urgency)
        let rows = try session.pipeline(
          prelude + queries, isNamed: !settings.isPooled, until: .now + settings.limits.answer(urgency))
        return Array(rows.dropFirst(prelude.count))
      case .script(let script):
        try session.script(scriptPrelude + script, until: .now + settings.limits.script)
        return []
      }
    }
    if !ending.isFit { session = nil }
    return ending
  }

  private func exchange(_ body: (Session) throws(SessionFailure) -> [Rows]) -> Ending {
    guard let session, !session.hasUnexpectedWords else { return .unsent("the database closed the connection") }
    do throws(SessionFailure) {
      return .answered(try body(session))
    } catch {
      switch error {
      case .unsent(let reason): return .unsent(reason)
      case .lost(let reason, let isTimeout): return .lost(reason, isTimeout: isTimeout)
      case .refused(let sqlState, let message, let isFit):
        return .refused(.refused(sqlState: sqlState, message: message), isFit: isFit)
      }
    }
  }
}

// MARK: - What each session or transaction is told

extension Connection {
  /// Reads what the greeting tells and, in a session of our own, sets what all its transactions need: our schema and no other;
  /// plans made once; what a commit has to wait for as it is now, whatever the server's configuration becomes later; an end for us
  /// where we vanish.
  private static func setUp(_ session: Session, _ settings: ConnectionSettings) throws(StoreError) -> Greeting {
    let read = """
      SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'),
        current_setting('server_encoding'), pg_is_in_recovery()
      """
    let set = """
      , set_config('search_path', $1, false), \(planning(isLocal: false)),
        set_config('statement_timeout', $2, false), set_config('idle_in_transaction_session_timeout', $3, false),
        set_config('synchronous_commit', current_setting('synchronous_commit'), false),
        \(ConnectionSettings.noticeVanished)
      """
    // First among what is set, so that it is read behind what the greeting reads.
    let lock = settings.isPooled ? ", true" : ", \(settings.lock.sql)"
    let query =
      settings.isPooled
      ? Query(Statement("greet", read + lock))
      : Query(
        Statement("greet", read + lock + set), .text(settings.searchPath), .text(settings.statementTimeout(.hot)),
        .text(settings.idleTransactionTimeout), .int8(ServingLock.number(of: settings.schema)))
    do throws(SessionFailure) {
      let rows = try session.pipeline([query], isNamed: false, until: .now + settings.limits.connect)
      let serverVersion = session.serverVersion
      let greeting = rows[0].first { columns in
        Greeting(
          serverVersion: serverVersion, synchronousCommit: columns.text(), fsync: columns.text(),
          fullPageWrites: columns.text(), serverEncoding: columns.text(), isInRecovery: columns.bool(),
          hasLock: columns.bool())
      }
      guard let greeting else { throw SessionFailure.lost("the database answered out of turn", isTimeout: false) }
      return greeting
    } catch {
      switch error {
      case .refused(let sqlState, let message, _): throw StoreError(sqlState: sqlState, message: message)
      case .unsent(let reason), .lost(let reason, _): throw .unavailable(reason)
      }
    }
  }

  /// Each statement is planned once, perhaps while its tables are empty or hold a few rows: its plan must be the one for full
  /// tables, which is by index throughout. Pages count for nothing beside rows, or to read some hundred rows from end to end
  /// would seem cheaper than to look ten of them up.
  private static func planning(isLocal: Bool) -> String {
    [
      ("plan_cache_mode", "force_generic_plan"), ("jit", "off"), ("enable_seqscan", "off"), ("enable_hashjoin", "off"),
      ("enable_mergejoin", "off"), ("random_page_cost", "0.01"), ("seq_page_cost", "0.01"), ("cpu_tuple_cost", "1"),
    ].map { "set_config('\($0.0)', '\($0.1)', \(isLocal))" }.joined(separator: ", ")
  }

  private static let patience = Statement("patience", "SELECT set_config('statement_timeout', $1, true)")

  private static let everything = Statement(
    "everything",
    """
    SELECT set_config('search_path', $1, true), \(planning(isLocal: true)),
      set_config('statement_timeout', $2, true), set_config('idle_in_transaction_session_timeout', $3, true),
      set_config('synchronous_commit', $4, true)
    """)

  /// What comes before a transaction's own queries.
  private func prelude(_ urgency: Urgency) -> [Query] {
    let timeout = settings.statementTimeout(urgency)
    if settings.isPooled {
      return [
        Query(
          Self.everything, .text(settings.searchPath), .text(timeout), .text(settings.idleTransactionTimeout),
          .text(synchronousCommit))
      ]
    }
    return urgency == .hot ? [] : [Query(Self.patience, .text(timeout))]
  }

  private var scriptPrelude: String {
    func literal(_ text: String) -> String {
      "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }
    return """
      SELECT set_config('statement_timeout', '0', true), set_config('search_path', \(literal(settings.searchPath)), true),
        set_config('synchronous_commit', \(literal(synchronousCommit)), true);

      """
  }
}
