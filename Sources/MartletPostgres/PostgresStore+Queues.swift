// Settings of queues and types. A change is one transaction under the row's lock; what claims and submissions see of it they
// see in their own statements, so that it holds on all nodes from its commit on. Hints make it felt sooner.

package import MartletCore

extension PostgresStore {
  package func queueSettings() async throws(StoreError) -> [String: QueueSettings] {
    try await repeating { _ in
      let rows = try await pool.run(Query(Self.readQueueSettings), .background)
      return Dictionary(try rows.map { ($0.text(), try QueueSettings(&$0)) }) { first, _ in first }
    }
  }

  package func change(
    queue: String, _ patch: QueuePatch, actor: String
  ) async throws(StoreError) -> QueueSettings {
    let note = patch.note(queue: queue, actor: actor)
    let name = PostgresValue.text(queue)
    // Claims that began while the queue had no limits are not seen by those that have to count: they are waited for.
    let mayBeLimited = patch.concurrency.value != nil || patch.ratePerSecond.value != nil
    let queries =
      [Query(Self.makeQueue, name), Query(Self.makeBucket, name), Query(Self.lockQueue, name)]
      + (mayBeLimited ? [Query(Self.lockClaims)] : [])
      + [Query(Self.changeQueue, parameters: [nowParameter, name] + parameters(patch)), writeAudit(note)]
    return try await repeating { _ in
      let rows = try await claimsLetIn { () async throws(PostgresFailure) in
        try await pool.transaction(queries, .background)
      }
      guard let settings = try rows[queries.count - 2].first({ try QueueSettings(&$0) }) else {
        throw UnreadableRow(what: "no settings of a queue")
      }
      limits.set(queue, isLimited: settings.isLimited)
      if settings.maxDepth != nil { deepQueues.learn([queue]) } else { deepQueues.forget() }
      settingsChanged()
      if patch.concurrencyPerKey != .keep { isUnadmitted() }
      return settings
    }
  }

  package func typeSettings() async throws(StoreError) -> [String: TypeSettings] {
    try await repeating { _ in
      let rows = try await pool.run(Query(Self.readTypeSettings), .background).map { columns in
        (type: columns.text(), isPaused: columns.bool(), defaults: columns.text())
      }
      var all: [String: TypeSettings] = [:]
      for row in rows {
        var settings = TypeSettings()
        settings.isPaused = row.isPaused
        do {
          settings.defaults = try TypeDefaults(column: row.defaults)
        } catch {
          throw UnreadableRow(what: "defaults of the type \(row.type)")
        }
        all[row.type] = settings
      }
      return all
    }
  }

  package func put(type: String, _ settings: TypeSettings, actor: String) async throws(StoreError) {
    let note = settings.note(type: type, actor: actor)
    let name = PostgresValue.text(type)
    try await repeating { _ in
      _ = try await pool.transaction(
        [
          Query(Self.makeType, name), Query(Self.lockType, name),
          Query(Self.changeType, name, .bool(settings.isPaused), .text(settings.defaults.column)), writeAudit(note),
        ], .background)
      settingsChanged()
      if !settings.isPaused { isUnadmitted() }
    }
  }

  /// Two for each limit: whether it is changed, and to what.
  private func parameters(_ patch: QueuePatch) -> [PostgresValue] {
    func pair<Value>(_ limit: QueuePatch.Limit<Value>, _ value: (Value?) -> PostgresValue) -> [PostgresValue] {
      [.bool(limit != .keep), value(limit.value)]
    }
    func number(_ limit: QueuePatch.Limit<Int>) -> [PostgresValue] {
      pair(limit) { .int4($0.map { Int32(clamping: $0) }) }
    }
    return [.bool(patch.isPaused)] + number(patch.concurrency) + number(patch.concurrencyPerKey)
      + pair(patch.ratePerSecond) { .double($0) } + number(patch.burst) + number(patch.maxDepth)
      + pair(patch.notify) { .text($0?.text) }
  }
}

extension PostgresStore {
  /// Tries again where the lock on claims could not be had, for about ten seconds.
  private func claimsLetIn(_ change: () async throws(PostgresFailure) -> [Rows]) async throws -> [Rows] {
    for _ in 0..<40 {
      do throws(PostgresFailure) {
        return try await change()
      } catch {
        guard case .refused(let state, _) = error, state == "55P03" else { throw error }
      }
      try await Task.sleep(for: .milliseconds(150))
    }
    throw StoreError.unavailable("the table of claims is being vacuumed; try again later")
  }
}

extension QueueSettings {
  /// Reads `PostgresStore.settingsColumns`.
  init(_ columns: inout Columns) throws {
    self.init()
    isPaused = columns.bool()
    concurrency = columns.optionalInt().map { Int($0) }
    concurrencyPerKey = columns.optionalInt().map { Int($0) }
    ratePerSecond = columns.optionalDouble()
    burst = columns.optionalInt().map { Int($0) }
    maxDepth = columns.optionalInt().map { Int($0) }
    notify = try columns.optionalText().map { try [NoticeTarget](column: $0) }
  }
}

// MARK: - SQL

extension PostgresStore {
  /// `QueueSettings.capacity`.
  static func capacity(_ settings: String) -> String {
    "coalesce(\(settings).burst::float8, greatest(1, \(settings).rate))"
  }

  private static let settingsColumns = "paused, concurrency, per_key, rate, burst, max_depth, notify"

  private static let readQueueSettings = Statement(
    "read_queue_settings", "SELECT queue, \(settingsColumns) FROM queue_settings")

  private static let makeQueue = Statement(
    "make_queue", "INSERT INTO queue_settings (queue) VALUES ($1::text) ON CONFLICT DO NOTHING")

  private static let makeBucket = Statement(
    "make_bucket", "INSERT INTO queue_buckets (queue) VALUES ($1::text) ON CONFLICT DO NOTHING")

  /// First the settings, which submissions lock, then the bucket, which claims lock.
  private static let lockQueue = Statement(
    "lock_queue",
    """
    WITH settings AS MATERIALIZED (SELECT queue FROM queue_settings WHERE queue = $1::text FOR UPDATE)
    SELECT 1 FROM settings s CROSS JOIN LATERAL (
      SELECT 1 FROM queue_buckets b WHERE b.queue = s.queue LIMIT 1 FOR UPDATE OF b
    ) b
    """)

  /// Every claim writes there, and none waits for anything while it does: this is over as soon as they are. But for a vacuum
  /// of the table, behind which claims would wait with this: then it is tried again.
  private static let lockClaims = Statement(
    "lock_claims",
    "DO $$ BEGIN PERFORM set_config('lock_timeout', '100', true); LOCK TABLE claims IN SHARE MODE; END $$")

  private static let changeQueue = Statement(
    "change_queue",
    """
    WITH \(clock),
    old AS MATERIALIZED (SELECT * FROM queue_settings WHERE queue = $2::text),
    changed AS (
      UPDATE queue_settings s SET paused = coalesce($3::boolean, s.paused),
        concurrency = CASE WHEN $4::boolean THEN $5::integer ELSE s.concurrency END,
        per_key = CASE WHEN $6::boolean THEN $7::integer ELSE s.per_key END,
        rate = CASE WHEN $8::boolean THEN $9::double precision ELSE s.rate END,
        burst = CASE WHEN $10::boolean THEN $11::integer ELSE s.burst END,
        max_depth = CASE WHEN $12::boolean THEN $13::integer ELSE s.max_depth END,
        notify = CASE WHEN $14::boolean THEN $15::text ELSE s.notify END
      WHERE s.queue = $2
      RETURNING s.*
    ),
    filled AS (
      UPDATE queue_buckets b SET tokens = \(capacity("c")), counted_at = now
      FROM clock, changed c JOIN old o ON o.queue = c.queue
      WHERE b.queue = c.queue AND c.rate IS NOT NULL
        AND (c.rate IS DISTINCT FROM o.rate OR \(capacity("c")) IS DISTINCT FROM \(capacity("o")))
    ),
    swept AS (
      INSERT INTO key_sweeps (queue, after_queue)
      SELECT c.queue, c.queue FROM changed c JOIN old o ON o.queue = c.queue WHERE c.per_key IS DISTINCT FROM o.per_key
    )
    SELECT \(settingsColumns) FROM changed
    """)

  private static let readTypeSettings = Statement(
    "read_type_settings", "SELECT type, paused, defaults FROM type_settings")

  private static let makeType = Statement(
    "make_type", "INSERT INTO type_settings (type) VALUES ($1::text) ON CONFLICT DO NOTHING")

  private static let lockType = Statement(
    "lock_type", "SELECT 1 FROM type_settings WHERE type = $1::text FOR UPDATE")

  private static let changeType = Statement(
    "change_type",
    """
    WITH old AS MATERIALIZED (SELECT type, paused FROM type_settings WHERE type = $1::text),
    changed AS (
      UPDATE type_settings t SET paused = $2::boolean, defaults = $3::text FROM old WHERE t.type = old.type
      RETURNING old.paused AND NOT t.paused AS goes_on
    )
    INSERT INTO key_sweeps (queue, after_queue) SELECT NULL, '' FROM changed WHERE goes_on
    """)
}
