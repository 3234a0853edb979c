// What `martlet transfer` reads of this store, table by table, and what it leaves behind. A new table, or a new column, has to be
// added here (and to `TransferTable`, and to `PostgresTransferTarget+Tables.swift`): until then a transfer is refused.

internal import GRDB
internal import MartletCore

extension SQLiteTransferSource {
  /// The columns of `TransferTable.columns`, of the rows behind the key that the first parameters are; the last one is the limit.
  static func select(_ table: TransferTable) -> String {
    switch table {
    case .secrets: "SELECT name, value FROM secrets WHERE name > ?1 ORDER BY name LIMIT ?2"
    case .apiKeys:
      """
      SELECT id, hash, name, roles, queues, expires_at, created_at, last_used_at
      FROM api_keys WHERE id > ?1 ORDER BY id LIMIT ?2
      """
    case .queues:
      """
      SELECT queue, paused, concurrency, per_key, rate, burst, max_depth, coalesce(tokens, 0.0), coalesce(counted_at, 0), notify
      FROM queues WHERE queue > ?1 ORDER BY queue LIMIT ?2
      """
    case .types: "SELECT type, paused, defaults FROM types WHERE type > ?1 ORDER BY type LIMIT ?2"
    case .settingsRevisions:
      """
      SELECT number, at, actor, changes, overrides, note FROM settings_revisions
      WHERE number > ?1 ORDER BY number LIMIT ?2
      """
    case .tasks: tasks
    case .graphMembers:
      """
      SELECT graph, id FROM task_links WHERE graph IS NOT NULL AND (graph, id) > (?1, ?2) ORDER BY graph, id LIMIT ?3
      """
    case .scheduleTasks:
      """
      SELECT schedule, id FROM task_links WHERE schedule IS NOT NULL AND (schedule, id) > (?1, ?2)
      ORDER BY schedule, id LIMIT ?3
      """
    case .attempts:
      """
      SELECT task, number, worker, token, ready_by, ready_at, ready_sequence, started_at, started_sequence, finished_at,
        finished_sequence, outcome, status_after, reason, rescued, error_type, error_message, error_stack, logs
      FROM attempts WHERE (task, number) > (?1, ?2) ORDER BY task, number LIMIT ?3
      """
    case .attemptLines:
      "SELECT task, attempt, lines FROM attempt_lines WHERE (task, attempt) > (?1, ?2) ORDER BY task, attempt LIMIT ?3"
    case .events:
      """
      SELECT task, sequence, type, at, actor, cause FROM events WHERE (task, sequence) > (?1, ?2)
      ORDER BY task, sequence LIMIT ?3
      """
    case .results: "SELECT task, result, truncated FROM results WHERE task > ?1 ORDER BY task LIMIT ?2"
    case .dependencies:
      """
      SELECT parent, child, on_failure, met FROM dependencies WHERE (parent, child) > (?1, ?2)
      ORDER BY parent, child LIMIT ?3
      """
    case .settlements:
      """
      SELECT task, CASE WHEN length(after) = 0 THEN zeroblob(16) ELSE after END
      FROM settlements WHERE task > ?1 ORDER BY task LIMIT ?2
      """
    case .idempotencyKeys:
      // The rows of a key stand together, in the order of their positions.
      """
      SELECT k.key, k.fingerprint,
        (SELECT group_concat(hex(t.task), '') FROM (
          SELECT task FROM idempotency_keys WHERE key = k.key ORDER BY position) t),
        k.created_at
      FROM idempotency_keys k
      WHERE k.key > ?1 AND k.position = (SELECT min(position) FROM idempotency_keys WHERE key = k.key)
      ORDER BY k.key LIMIT ?2
      """
    case .claims: "SELECT number, check_at, token, tasks FROM claims WHERE number > ?1 ORDER BY number LIMIT ?2"
    case .keyLine:
      """
      SELECT task, queue, key, type, urgency, available_at, admitted_at,
        CASE WHEN running = 1 THEN 9223372036854775807 ELSE gives_way_at END
      FROM key_line WHERE task > ?1 ORDER BY task LIMIT ?2
      """
    case .keyTurns:
      """
      SELECT queue, key, type, gave_way_at FROM key_turns WHERE (queue, key, type) > (?1, ?2, ?3)
      ORDER BY queue, key, type LIMIT ?4
      """
    case .schedules:
      """
      SELECT name, revision, cron, time_zone, every_ms, misfire, overlap, paused, task, payload, created_at, updated_at,
        handled, latest_tick, look_at, last_run_at, last_task, error_kind, error_message, error_at
      FROM schedules WHERE name > ?1 ORDER BY name LIMIT ?2
      """
    case .audit:
      """
      SELECT sequence, number, at, actor, action, target, detail FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT ?2
      """
    case .bulkJobs:
      """
      SELECT id, action, filter, queues, task_limit, rate, actor, status, matched, changed, failed, created_at, updated_at,
        finished_at, last_error, CASE WHEN length(last) = 0 THEN zeroblob(16) ELSE last END,
        CASE WHEN length(cursor) = 0 THEN zeroblob(16) ELSE cursor END, next_at
      FROM bulk_jobs WHERE id > ?1 ORDER BY id LIMIT ?2
      """
    case .sinks: "SELECT number, name, attended_at FROM sinks WHERE number > ?1 ORDER BY number LIMIT ?2"
    case .outbox:
      """
      SELECT sink, number, task, first, last, at, tries, next_at FROM outbox WHERE (sink, number) > (?1, ?2)
      ORDER BY sink, number LIMIT ?3
      """
    case .stream:
      """
      SELECT position, task, sequence, type, queue, task_type, at, event FROM stream WHERE position > ?1
      ORDER BY position LIMIT ?2
      """
    case .notices:
      """
      SELECT number, task, sequence, place, type, queue, channel, target, destination, task_status, reason, attempt,
        max_attempts, started_at, status, attempts, most_attempts, created_at, updated_at, pending_since, next_at, is_held,
        error
      FROM notices WHERE number > ?1 ORDER BY number LIMIT ?2
      """
    case .marks:
      """
      SELECT name, value FROM (
        SELECT 'audit' AS name, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0) AS value
        UNION ALL SELECT 'notices', coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'notices'), 0)
        UNION ALL SELECT 'stream', last FROM stream_place
      ) WHERE name > ?1 ORDER BY name LIMIT ?2
      """
    case .counts:
      """
      SELECT queue, type, status, count FROM counts WHERE count <> 0 AND (queue, type, status) > (?1, ?2, ?3)
      ORDER BY queue, type, status LIMIT ?4
      """
    }
  }

  private static let tasks = """
    SELECT r.id, b.created_at, b.payload, b.retries, b.timeout_ms, b.lease_ms, b.backoff, b.delay_ms, b.run_at, r.expires_at,
      b.tags, b.metadata, b.traceparent, b.replay_of, l.dependencies, coalesce(l.on_failure, 1), l.ref, l.graph,
      l.idempotency_key, nullif((SELECT k.key FROM idempotency_keys k WHERE k.task = r.id LIMIT 1), l.idempotency_key),
      l.concurrency_key, l.schedule, b.submitted_by, b.notify,
      r.queue, r.type, r.status, r.urgency, r.available_at, r.attempt, r.max_attempts, r.lost, r.sequence, r.updated_at,
      r.unmet, r.status = 2 AND r.blocked = 0, r.cancel_requested, r.ready_by, r.ready_at, r.ready_sequence, r.started_at,
      r.started_sequence, r.worker, r.token, r.lease_until, r.outcome, r.finished_at, r.reason, r.has_children, r.notifies,
      r.progress_percent, r.progress_message
    FROM task_runs r JOIN task_bodies b ON b.id = r.id LEFT JOIN task_links l ON l.id = r.id
    WHERE r.id > ?1 ORDER BY r.id LIMIT ?2
    """

  /// All tables with all of their columns. Left behind are those in parentheses: what is only about this file or this moment, or
  /// follows from the rest. A process that lived with the file is no more; keys whose lines may move are found from the lines.
  private static let known = """
    api_keys id hash name roles queues expires_at created_at last_used_at
    attempt_lines task attempt lines
    attempts task number worker token ready_by ready_at ready_sequence started_at started_sequence finished_at
    attempts finished_sequence outcome status_after reason rescued error_type error_message error_stack logs
    audit sequence number at actor action target detail
    bulk_jobs id action filter queues task_limit rate actor status matched changed failed created_at updated_at finished_at
    bulk_jobs last_error last cursor next_at
    checks (id) (at)
    claims number check_at (is_local) token tasks
    counts queue type status count
    dependencies parent child on_failure met
    events task sequence type at actor cause
    grdb_migrations (identifier)
    idempotency_keys key position task fingerprint created_at
    key_line task queue key type urgency available_at admitted_at running gives_way_at
    key_touches (queue) (key)
    key_turns queue key type gave_way_at
    key_walks (queue) (after_key)
    notices number task sequence place type queue channel target destination task_status reason attempt max_attempts
    notices started_at status attempts most_attempts created_at updated_at pending_since next_at is_held error
    outbox number sink task first last at tries next_at
    queues queue paused concurrency per_key rate burst max_depth tokens counted_at notify
    results task result truncated
    schedules name revision cron time_zone every_ms misfire overlap paused task payload created_at updated_at handled
    schedules latest_tick look_at last_run_at last_task error_kind error_message error_at
    secrets name value
    settings_revisions number at actor changes overrides note
    settings_version (id) (version)
    settlements task after
    sinks number name attended_at (relay) (held_until)
    stream position task sequence type queue task_type at event
    stream_place (id) last
    task_bodies id created_at payload retries timeout_ms lease_ms backoff delay_ms run_at tags metadata traceparent
    task_bodies replay_of submitted_by notify
    task_links id dependencies on_failure ref graph idempotency_key concurrency_key schedule
    task_runs id queue type status urgency available_at attempt max_attempts lost sequence updated_at unmet blocked
    task_runs cancel_requested ready_by ready_at ready_sequence started_at started_sequence worker token lease_until outcome
    task_runs finished_at reason expires_at progress_percent progress_message has_children (keyed) notifies
    types type paused defaults
    workers (id) (host) (kind) (types) (queues) (running) (last_seen_at)
    """

  /// What the schema has beyond that.
  static func unknownColumns(in database: Database) throws -> [String] {
    let known = Set(
      Self.known.split(separator: "\n").flatMap { line in
        let words = line.replacing("(", with: "").replacing(")", with: "").split(separator: " ")
        return words.dropFirst().map { "\(words[0]).\($0)" }
      })
    let there = try String.fetchAll(
      database,
      sql: """
        SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1
        """)
    return there.filter { !known.contains($0) }
  }
}
