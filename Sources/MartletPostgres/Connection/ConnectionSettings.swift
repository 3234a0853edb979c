// Where the database is and how long to wait for it. Everything in the URL is libpq's business (hosts, TLS, passwords), but for
// one word of ours: `pgbouncer=true`.

internal import CPostgres
internal import MartletCore

struct ConnectionSettings: Sendable {
  /// How long to wait for what. Tests wait less.
  struct Limits: Sendable {
    /// For a connection to be made.
    var connect = Duration.seconds(3)
    /// Of a call for a usable connection while there is none.
    var patience = Duration.milliseconds(400)
    /// For the answer to a call of claims, submits and the like.
    var hot = Duration.seconds(5)
    /// For the answer to a list, to pruning and the like.
    var background = Duration.seconds(60)
    /// For a migration: it may have to wait for another node's.
    var script = Duration.seconds(3600)
    /// After this long without any answer, new calls are refused at once.
    var silence = Duration.seconds(2)

    func answer(_ urgency: Urgency) -> Duration {
      switch urgency {
      case .hot: hot
      case .background: background
      }
    }
  }

  let schema: String
  /// Behind PgBouncer in transaction mode: each transaction may run on another of the server's sessions, so that nothing may
  /// be left in one.
  let isPooled: Bool
  /// For people: without passwords.
  let shownURL: String
  var limits: Limits
  var lock = ServingLock.shared
  private let url: DatabaseURL

  /// - Throws: `.unusable` with what is wrong with the URL.
  init(url: String, schema: String, limits: Limits = Limits()) throws(StoreError) {
    let url = try DatabaseURL(url)
    self.url = url
    self.schema = schema
    self.limits = limits
    isPooled = url.isPooled
    shownURL = url.shown
  }

  /// The schema and nothing else, as `search_path` takes it.
  var searchPath: String {
    "\"" + schema.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }

  /// What the server itself gives a statement: a little less than we wait, so that it is the server who says no and both
  /// sides know that nothing was changed.
  func statementTimeout(_ urgency: Urgency) -> String {
    String(limits.answer(urgency).wholeMilliseconds * 9 / 10)
  }

  /// What the server waits for the rest of a transaction whose sender is stopped or gone.
  var idleTransactionTimeout: String { String(limits.hot.wholeMilliseconds * 2) }

  /// SQL that has the server notice as soon as we do that the other machine vanished without a word. It would keep the session for two
  /// hours otherwise; and with it the locks of a write, if of its one pipeline the rest never came: no other timeout of the
  /// server's knows of that.
  static let noticeVanished = [
    ("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
  ].map { "set_config('\($0.0)', '\($0.1)', false)" }.joined(separator: ", ")

  /// Begins a connection. What stands before the URL is a default that the URL may change.
  func startConnecting() -> OpaquePointer? {
    let parameters = [
      ("fallback_application_name", "martlet"),
      // A machine that vanished without a word is noticed within half a minute on an idle connection, and within ten seconds
      // where something was sent.
      ("keepalives", "1"), ("keepalives_idle", "10"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
      ("tcp_user_timeout", "10000"),
      ("dbname", url.forLibpq),
      ("client_encoding", "UTF8"),
    ]
    return withCStrings(parameters.map(\.0)) { keywords in
      withCStrings(parameters.map(\.1)) { values in
        PQconnectStartParams(keywords, values, 1)
      }
    }
  }
}

/// A lock that each session has from its beginning to its end. All who use a schema share it; a transfer wants it alone, so that
/// neither begins while the other is there. (Sessions of tests that make their own settings have it too.)
enum ServingLock: Sendable {
  case shared
  case exclusive

  /// One number per schema: FNV-1a.
  static func number(of schema: String) -> Int64 {
    let hash = "martlet.serving.\(schema)".utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3
    }
    return Int64(bitPattern: hash)
  }

  /// Takes it, if it is to be had within a second: a session that was closed a moment ago may still have it. `$4` is the number.
  /// (CASE tries one after the other; what `pg_sleep` answers is not NULL.)
  var sql: String {
    let take =
      switch self {
      case .shared: "pg_try_advisory_lock_shared($4::bigint)"
      case .exclusive: "pg_try_advisory_lock($4::bigint)"
      }
    let later = [0.05, 0.1, 0.2, 0.4].map { " WHEN pg_sleep(\($0)) IS NULL THEN false WHEN \(take) THEN true" }
    return "CASE WHEN \(take) THEN true\(later.joined()) ELSE false END"
  }
}

/// The texts as C has them: zero-terminated, and a null pointer after the last.
private func withCStrings<Result>(
  _ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
  let bytes = texts.flatMap { Array($0.utf8CString) }
  var offset = 0
  let offsets = texts.map { text in
    defer { offset += text.utf8.count + 1 }
    return offset
  }
  return bytes.withUnsafeBufferPointer { buffer in
    var pointers: [UnsafePointer<CChar>?] = offsets.map { buffer.baseAddress! + $0 }
    pointers.append(nil)
    return body(pointers)
  }
}
