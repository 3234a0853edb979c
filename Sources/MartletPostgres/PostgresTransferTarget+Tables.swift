// What `martlet transfer` writes of this store, table by table, and reads again to compare. A new table, or a new column, has to be
// added here (and to `TransferTable`, and to `SQLiteTransferSource+Tables.swift`): until then a transfer is refused.

internal import MartletCore

// MARK: - In

extension PostgresTransferTarget {
  /// Each is run with the columns of the rows as parameters.
  static func insertions(_ table: TransferTable) -> [Statement] {
    let name = "transfer \(table.rawValue)"
    let sql = insertionSQL(table, from: input(table))
    return sql.enumerated().map { Statement("\(name) \($0.offset)", $0.element) }
  }

  /// The rows, as a relation `i`.
  private static func input(_ table: TransferTable) -> String {
    let arrays = table.columns.enumerated().map { index, column in
      let type =
        switch column.kind {
        case .int: "bigint"
        case .real: "double precision"
        case .text, .freeText: "text"
        case .bytes: "bytea"
        case .id: "uuid"
        }
      return "$\(index + 1)::\(type)[]"
    }
    return "unnest(\(arrays.joined(separator: ", "))) AS i(\(table.columns.map(\.name).joined(separator: ", ")))"
  }

  private static func insertionSQL(_ table: TransferTable, from input: String) -> [String] {
    switch table {
    case .secrets: ["INSERT INTO secrets (name, value) SELECT name, value FROM \(input)"]
    case .apiKeys:
      [
        """
        INSERT INTO api_keys (id, hash, name, roles, queues, expires_at, created_at, last_used_at)
        SELECT id, hash, name, roles, queues, expires_at, created_at, last_used_at FROM \(input)
        """
      ]
    case .queues:
      [
        """
        INSERT INTO queue_settings (queue, paused, concurrency, per_key, rate, burst, max_depth, notify)
        SELECT queue, paused <> 0, concurrency, per_key, rate, burst, max_depth, notify FROM \(input)
        """,
        """
        INSERT INTO queue_buckets (queue, tokens, counted_at) SELECT queue, tokens, counted_at FROM \(input)
        """,
      ]
    case .types: ["INSERT INTO type_settings (type, paused, defaults) SELECT type, paused <> 0, defaults FROM \(input)"]
    case .tasks: [tasksSQL(from: input)]
    case .graphMembers: ["INSERT INTO graph_members (graph, task) SELECT graph, task FROM \(input)"]
    case .scheduleTasks: ["INSERT INTO schedule_tasks (schedule, task) SELECT schedule, task FROM \(input)"]
    case .attempts:
      [
        """
        INSERT INTO attempts (task, number, worker, token, ready_by, ready_at, ready_sequence, started_at, started_sequence,
          finished_at, finished_sequence, outcome, status_after, reason, rescued, error_type, error_message, error_stack, logs)
        SELECT task, number, worker, token, ready_by, ready_at, ready_sequence, started_at, started_sequence,
          finished_at, finished_sequence, outcome, status_after, reason, rescued <> 0, error_type, error_message, error_stack, logs
        FROM \(input)
        """
      ]
    case .attemptLines:
      [
        """
        INSERT INTO attempt_lines (task, attempt, call, count, bytes, lines)
        SELECT task, attempt, 0, json_array_length(lines::json), octet_length(lines), lines FROM \(input)
        """
      ]
    case .events:
      [
        """
        INSERT INTO events (task, sequence, type, at, actor, cause) SELECT task, sequence, type, at, actor, cause FROM \(input)
        """
      ]
    case .results:
      ["INSERT INTO results (task, result, truncated) SELECT task, result, truncated <> 0 FROM \(input)"]
    case .dependencies:
      ["INSERT INTO dependencies (parent, child, policy, met) SELECT parent, child, policy, met <> 0 FROM \(input)"]
    case .settlements: ["INSERT INTO settlements (task, next) SELECT task, next FROM \(input) ORDER BY task"]
    case .idempotencyKeys:
      [
        """
        INSERT INTO idempotency_keys (key, fingerprint, tasks, created_at)
        SELECT key, fingerprint, (
          SELECT array_agg(substr(tasks, 32 * n + 1, 32)::uuid ORDER BY n) FROM generate_series(0, length(tasks) / 32 - 1) n
        ), created_at FROM \(input)
        """
      ]
    case .claims:
      [
        """
        INSERT INTO claims (number, check_at, token, tasks) OVERRIDING SYSTEM VALUE
        SELECT number, check_at, token, coalesce(\(ids("tasks")), '{}') FROM \(input)
        """
      ]
    case .keyLine:
      // A READY task has joined already, by its trigger.
      [
        """
        INSERT INTO key_line (task, queue, key, type, urgency, available_at, admitted_at, give_way_at)
        SELECT task, queue, key, type, urgency, available_at, admitted_at, give_way_at FROM \(input)
        ON CONFLICT (task) DO UPDATE SET queue = excluded.queue, key = excluded.key, type = excluded.type,
          urgency = excluded.urgency, available_at = excluded.available_at, admitted_at = excluded.admitted_at,
          give_way_at = excluded.give_way_at
        """
      ]
    case .keyTurns: ["INSERT INTO key_turns (queue, key, type, at) SELECT queue, key, type, at FROM \(input)"]
    case .schedules:
      [
        """
        INSERT INTO schedules (name, revision, cron, time_zone, every_ms, misfire, overlap, paused, task, payload, created_at,
          updated_at, handled, latest_tick, look_at, last_run_at, last_task, error_kind, error_message, error_at)
        SELECT name, revision, cron, time_zone, every_ms, misfire, overlap, paused <> 0, task, payload, created_at,
          updated_at, handled, latest_tick, look_at, last_run_at, last_task, error_kind, error_message, error_at FROM \(input)
        """
      ]
    case .settingsRevisions:
      [
        """
        INSERT INTO settings_revisions (number, at, actor, changes, overrides, note)
        SELECT number, at, actor, changes, overrides, note FROM \(input)
        """
      ]
    case .audit:
      [
        """
        INSERT INTO audit (sequence, number, at, actor, action, target, detail) OVERRIDING SYSTEM VALUE
        SELECT sequence, number, at, actor, action, target, detail FROM \(input)
        """
      ]
    case .bulkJobs:
      [
        """
        INSERT INTO bulk_jobs (id, action, filter, queues, task_limit, rate, actor, status, matched, changed, failed,
          created_at, updated_at, finished_at, last_error, last, cursor, next_at)
        SELECT id, action, filter, queues, task_limit, rate, actor, status, matched, changed, failed,
          created_at, updated_at, finished_at, last_error, last, cursor, next_at FROM \(input)
        """
      ]
    case .sinks:
      [
        """
        INSERT INTO sinks (number, name, attended_at) OVERRIDING SYSTEM VALUE SELECT number, name, attended_at FROM \(input)
        """
      ]
    case .outbox:
      [
        """
        INSERT INTO outbox (sink, number, task, first, last, at, tries, next_at) OVERRIDING SYSTEM VALUE
        SELECT sink, number, task, first, last, at, tries, next_at FROM \(input)
        """
      ]
    case .stream:
      [
        """
        INSERT INTO stream (position, task, sequence, type, queue, task_type, at, event)
        SELECT position, task, sequence, type, queue, task_type, at, event FROM \(input)
        """
      ]
    case .notices:
      [
        """
        INSERT INTO notices (number, task, sequence, place, type, queue, channel, target, destination, task_status, reason,
          attempt, max_attempts, started_at, status, attempts, most_attempts, created_at, updated_at, pending_since, next_at,
          is_held, error) OVERRIDING SYSTEM VALUE
        SELECT number, task, sequence, place, type, queue, channel, target, destination, task_status, reason,
          attempt, max_attempts, started_at, status, attempts, most_attempts, created_at, updated_at, pending_since, next_at,
          is_held <> 0, error FROM \(input)
        """
      ]
    case .marks:
      [
        """
        SELECT CASE name
          WHEN 'audit' THEN setval('audit_sequence_seq', greatest(value, 1), value > 0)
          WHEN 'notices' THEN setval('notices_number_seq', greatest(value, 1), value > 0) END
        FROM \(input)
        """,
        "UPDATE stream_place p SET last = i.value FROM \(input) WHERE i.name = 'stream'",
      ]
    case .counts: []  // `completions` count
    }
  }

  /// Lanes, bodies and run rows.
  private static func tasksSQL(from input: String) -> String {
    """
    WITH input AS MATERIALIZED (SELECT * FROM \(input)),
    new_lanes AS (
      INSERT INTO lanes (queue, type, urgency, suspect) SELECT DISTINCT queue, type, urgency::smallint, lost > 0 FROM input
      ON CONFLICT DO NOTHING RETURNING id, queue, type, urgency, suspect
    ),
    all_lanes AS MATERIALIZED (
      SELECT id, queue, type, urgency, suspect FROM new_lanes UNION ALL SELECT id, queue, type, urgency, suspect FROM lanes
    ),
    bodies AS (
      INSERT INTO task_bodies (id, created_at, payload, retries, backoff, delay_ms, run_at, expires_at, tags, metadata,
        traceparent, replay_of, dependencies, on_failure, ref, graph_id, idempotency_key, batch_key, concurrency_key,
        schedule_name, submitted_by, notify)
      SELECT i.id, created_at, payload, retries, backoff, delay_ms, run_at, expires_at, tags, metadata, traceparent,
        replay_of, \(ids("i.dependencies")), nullif(on_failure, 1), ref, graph, idempotency_key, batch_key, concurrency_key,
        schedule, submitted_by, notify
      FROM input i
    )
    INSERT INTO task_runs (id, available_at, updated_at, due_at, expiry_at, ready_at, started_at, finished_at, lease_until,
      token, lane, attempt, max_attempts, lost, sequence, ready_sequence, started_sequence, timeout_ms, lease_ms, unmet,
      status, blocked, outcome, reason, ready_by, claimable, is_dead, cancel_requested, worker, progress_percent,
      progress_message, has_children, notifies)
    SELECT i.id, available_at, updated_at, CASE WHEN status IN (1, 4) AND unmet = 0 THEN available_at END,
      CASE WHEN status IN (1, 2) AND attempt = 0 THEN expires_at END, ready_at, started_at, finished_at, lease_until,
      token, l.id, attempt, max_attempts, lost, sequence, ready_sequence, started_sequence, timeout_ms, lease_ms, unmet,
      status, CASE WHEN concurrency_key IS NULL THEN 0 ELSE 1 END, outcome, reason, ready_by, claimable <> 0, status = 6,
      cancel_requested <> 0, worker, progress_percent, progress_message, has_children <> 0, notifies
    FROM input i JOIN all_lanes l
      ON l.queue = i.queue AND l.type = i.type AND l.urgency = i.urgency AND l.suspect = (i.lost > 0)
    """
  }

  /// Bytes of ids, one after the other, as an array; NULL for none.
  private static func ids(_ bytes: String) -> String {
    """
    (SELECT array_agg(encode(substring(\(bytes) FROM 16 * n + 1 FOR 16), 'hex')::uuid ORDER BY n)
      FROM generate_series(0, length(\(bytes)) / 16 - 1) n)
    """
  }

  /// What follows from the rows: counts, who has to look at the lines for keys, where numbers go on, and the triggers that write down
  /// what others are to hear.
  static let completions = """
    INSERT INTO counts (lane, status, count) SELECT lane, status, count(*) FROM task_runs GROUP BY lane, status;
    DELETE FROM key_touches;
    INSERT INTO key_touches (queue, key) SELECT DISTINCT queue, key FROM key_line;
    SELECT setval('claims_number_seq', coalesce((SELECT max(number) FROM claims), 0) + 1, false),
      setval('outbox_number_seq', coalesce((SELECT max(number) FROM outbox), 0) + 1, false),
      setval('sinks_number_seq', coalesce((SELECT max(number) FROM sinks), 0) + 1, false);
    -- No statement may be reading the table whose triggers are switched.
    DO $$ BEGIN
      IF EXISTS (SELECT 1 FROM sinks) THEN PERFORM switch_outbox(true); END IF;
      IF EXISTS (SELECT 1 FROM task_runs WHERE notifies <> 0) THEN PERFORM switch_notices_on(); END IF;
    END $$;
    """
}

// MARK: - Out

extension PostgresTransferTarget {
  /// The columns of `TransferTable.columns`, of the rows behind the key that the first parameters are; the last one is the limit.
  static func selection(_ table: TransferTable) -> Statement {
    Statement("compare \(table.rawValue)", selectionSQL(table))
  }

  private static func selectionSQL(_ table: TransferTable) -> String {
    switch table {
    case .secrets: "SELECT name, value FROM secrets WHERE name > $1::text ORDER BY name LIMIT $2::bigint"
    case .apiKeys:
      """
      SELECT id, hash, name, roles, queues, expires_at, created_at, last_used_at
      FROM api_keys WHERE id > $1::text ORDER BY id LIMIT $2::bigint
      """
    case .queues:
      """
      SELECT s.queue, s.paused, s.concurrency, s.per_key, s.rate, s.burst, s.max_depth, b.tokens, b.counted_at, s.notify
      FROM queue_settings s JOIN queue_buckets b ON b.queue = s.queue
      WHERE s.queue > $1::text ORDER BY s.queue LIMIT $2::bigint
      """
    case .types:
      "SELECT type, paused, defaults FROM type_settings WHERE type > $1::text ORDER BY type LIMIT $2::bigint"
    case .tasks: tasks
    case .graphMembers:
      """
      SELECT graph, task FROM graph_members WHERE (graph, task) > ($1::uuid, $2::uuid) ORDER BY graph, task LIMIT $3::bigint
      """
    case .scheduleTasks:
      """
      SELECT schedule, task FROM schedule_tasks WHERE (schedule, task) > ($1::text, $2::uuid)
      ORDER BY schedule, task LIMIT $3::bigint
      """
    case .attempts:
      """
      SELECT task, number, worker, token, ready_by, ready_at, ready_sequence, started_at, started_sequence, finished_at,
        finished_sequence, outcome, status_after, reason, rescued, error_type, error_message, error_stack, logs
      FROM attempts WHERE (task, number) > ($1::uuid, $2::bigint) ORDER BY task, number LIMIT $3::bigint
      """
    case .attemptLines:
      """
      SELECT task, attempt, lines FROM attempt_lines WHERE (task, attempt) > ($1::uuid, $2::bigint)
      ORDER BY task, attempt LIMIT $3::bigint
      """
    case .events:
      """
      SELECT task, sequence, type, at, actor, cause FROM events WHERE (task, sequence) > ($1::uuid, $2::bigint)
      ORDER BY task, sequence LIMIT $3::bigint
      """
    case .results: "SELECT task, result, truncated FROM results WHERE task > $1::uuid ORDER BY task LIMIT $2::bigint"
    case .dependencies:
      """
      SELECT parent, child, policy, met FROM dependencies WHERE (parent, child) > ($1::uuid, $2::uuid)
      ORDER BY parent, child LIMIT $3::bigint
      """
    case .settlements: "SELECT task, next FROM settlements WHERE task > $1::uuid ORDER BY task LIMIT $2::bigint"
    case .idempotencyKeys:
      """
      SELECT key, fingerprint, (
        SELECT upper(string_agg(replace(t.id::text, '-', ''), '' ORDER BY t.number))
        FROM unnest(k.tasks) WITH ORDINALITY AS t(id, number)
      ), created_at
      FROM idempotency_keys k WHERE key > $1::text ORDER BY key LIMIT $2::bigint
      """
    case .claims:
      """
      SELECT number, check_at, token, coalesce(\(bytes("tasks")), ''::bytea) FROM claims
      WHERE number > $1::bigint ORDER BY number LIMIT $2::bigint
      """
    case .keyLine:
      """
      SELECT task, queue, key, type, urgency, available_at, admitted_at, give_way_at
      FROM key_line WHERE task > $1::uuid ORDER BY task LIMIT $2::bigint
      """
    case .keyTurns:
      """
      SELECT queue, key, type, at FROM key_turns WHERE (queue, key, type) > ($1::text, $2::text, $3::text)
      ORDER BY queue, key, type LIMIT $4::bigint
      """
    case .schedules:
      """
      SELECT name, revision, cron, time_zone, every_ms, misfire, overlap, paused, task, payload, created_at, updated_at,
        handled, latest_tick, look_at, last_run_at, last_task, error_kind, error_message, error_at
      FROM schedules WHERE name > $1::text ORDER BY name LIMIT $2::bigint
      """
    case .settingsRevisions:
      """
      SELECT number, at, actor, changes, overrides, note FROM settings_revisions
      WHERE number > $1::bigint ORDER BY number LIMIT $2::bigint
      """
    case .audit:
      """
      SELECT sequence, number, at, actor, action, target, detail FROM audit
      WHERE sequence > $1::bigint ORDER BY sequence LIMIT $2::bigint
      """
    case .bulkJobs:
      """
      SELECT id, action, filter, queues, task_limit, rate, actor, status, matched, changed, failed, created_at, updated_at,
        finished_at, last_error, last, cursor, next_at
      FROM bulk_jobs WHERE id > $1::uuid ORDER BY id LIMIT $2::bigint
      """
    case .sinks:
      "SELECT number, name, attended_at FROM sinks WHERE number > $1::bigint ORDER BY number LIMIT $2::bigint"
    case .outbox:
      """
      SELECT sink, number, task, first, last, at, tries, next_at FROM outbox
      WHERE (sink, number) > ($1::bigint, $2::bigint) ORDER BY sink, number LIMIT $3::bigint
      """
    case .stream:
      """
      SELECT position, task, sequence, type, queue, task_type, at, event FROM stream
      WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint
      """
    case .notices:
      """
      SELECT number, task, sequence, place, type, queue, channel, target, destination, task_status, reason, attempt,
        max_attempts, started_at, status, attempts, most_attempts, created_at, updated_at, pending_since, next_at, is_held,
        error
      FROM notices WHERE number > $1::bigint ORDER BY number LIMIT $2::bigint
      """
    case .marks:
      """
      SELECT name, value FROM (
        SELECT 'audit' AS name, CASE WHEN is_called THEN last_value ELSE 0 END AS value FROM audit_sequence_seq
        UNION ALL SELECT 'notices', CASE WHEN is_called THEN last_value ELSE 0 END FROM notices_number_seq
        UNION ALL SELECT 'stream', last FROM stream_place
      ) m WHERE name COLLATE "C" > $1::text ORDER BY name COLLATE "C" LIMIT $2::bigint
      """
    case .counts:
      """
      SELECT queue, type, status, count FROM task_counts
      WHERE (queue COLLATE "C", type COLLATE "C", status) > ($1::text, $2::text, $3::bigint)
      ORDER BY queue COLLATE "C", type COLLATE "C", status LIMIT $4::bigint
      """
    }
  }

  private static let tasks = """
    SELECT r.id, b.created_at, b.payload, b.retries, r.timeout_ms, r.lease_ms, b.backoff, b.delay_ms, b.run_at, b.expires_at,
      b.tags, b.metadata, b.traceparent, b.replay_of, \(bytes("b.dependencies")), coalesce(b.on_failure, 1), b.ref,
      b.graph_id, b.idempotency_key, b.batch_key, b.concurrency_key, b.schedule_name, b.submitted_by, b.notify,
      l.queue, l.type, r.status, l.urgency, r.available_at, r.attempt, r.max_attempts, r.lost, r.sequence, r.updated_at,
      r.unmet, r.claimable, r.cancel_requested, r.ready_by, r.ready_at, r.ready_sequence, r.started_at, r.started_sequence,
      r.worker, r.token, r.lease_until, r.outcome, r.finished_at, r.reason, r.has_children, r.notifies, r.progress_percent,
      r.progress_message
    FROM task_runs r JOIN task_bodies b ON b.id = r.id JOIN lanes l ON l.id = r.lane
    WHERE r.id > $1::uuid ORDER BY r.id LIMIT $2::bigint
    """

  /// An array of ids as their bytes, one after the other; NULL for none.
  private static func bytes(_ ids: String) -> String {
    "(SELECT string_agg(uuid_send(t.id), ''::bytea ORDER BY t.number) FROM unnest(\(ids)) WITH ORDINALITY AS t(id, number))"
  }
}

// MARK: - The schema

extension PostgresTransferTarget {
  /// All tables with all of their columns. Left alone are those in parentheses: what has no counterpart in the embedded store, and
  /// follows from the rest or is only about this database or this moment.
  private static let known = """
    api_keys id hash name roles queues expires_at created_at last_used_at
    attempt_lines task attempt (call) (number) (count) (bytes) lines
    attempts task number token ready_at started_at finished_at ready_sequence started_sequence finished_sequence ready_by
    attempts outcome status_after reason rescued worker error_type error_message error_stack logs
    audit sequence number at actor action target detail
    bulk_jobs id action filter queues task_limit rate actor status matched changed failed created_at updated_at finished_at
    bulk_jobs last_error last cursor next_at (claim) (claimed_until)
    checks (id) (at)
    claims number check_at token tasks
    count_changes (number) (lane) (old) (new) (count)
    counts lane status count
    dependencies parent child policy met
    duties (name) (cursor)
    events task sequence type at (command) actor cause
    graph_members graph task
    idempotency_keys key fingerprint tasks created_at
    key_line task queue key type urgency available_at admitted_at give_way_at
    key_sweeps (number) (queue) (after_queue) (after_key)
    key_touches (number) queue key
    key_turns queue key type at
    lanes (id) queue type urgency suspect
    migrations (name) (applied_at) (works_beside)
    notices number task sequence place type queue channel target destination task_status reason attempt max_attempts
    notices started_at status attempts most_attempts created_at updated_at pending_since next_at is_held error
    outbox sink number task first last at tries next_at
    queue_buckets queue tokens counted_at
    queue_settings queue paused concurrency per_key rate burst max_depth (limited) notify
    results task result truncated
    schedule_tasks schedule task
    schedules name revision cron time_zone every_ms misfire overlap paused task payload created_at updated_at handled
    schedules latest_tick look_at last_run_at last_task error_kind error_message error_at
    secrets name value
    settings_revisions number at actor changes overrides note
    settlements (number) task next
    sinks number name attended_at (relay) (held_until)
    stream position task sequence type queue task_type at event
    stream_place (id) last
    task_bodies id created_at payload retries backoff delay_ms run_at expires_at tags metadata traceparent replay_of
    task_bodies dependencies on_failure ref graph_id idempotency_key batch_key concurrency_key schedule_name submitted_by notify
    task_runs id available_at updated_at due_at expiry_at ready_at started_at finished_at lease_until token lane attempt
    task_runs max_attempts lost sequence ready_sequence started_sequence timeout_ms lease_ms unmet status blocked outcome
    task_runs reason ready_by claimable is_dead cancel_requested worker progress_percent progress_message has_children notifies
    transfers (id) (origin) (begun_at) (ended_at)
    type_settings type paused defaults
    workers (id) (host) (kind) (types) (queues) (running) (last_seen_at)
    """

  private static let columns = known.split(separator: "\n").map { line in
    line.replacing("(", with: "").replacing(")", with: "").split(separator: " ").map(String.init)
  }

  static var knownColumns: [String] { columns.flatMap { words in words.dropFirst().map { "\(words[0]).\($0)" } } }

  /// What may stand in a schema that is empty: what migrations and a node without a task have written.
  private static let mayBeFilled: Set = [
    "checks", "duties", "lanes", "migrations", "stream_place", "transfers", "workers",
  ]
  /// Emptied by `begin`, whatever stands in them. Without tasks the counts are zeros; secrets are those of the embedded store.
  static let renewed = ["count_changes", "counts", "secrets"]

  /// What a transfer writes, and what `--restart` removes.
  static let written = Set(columns.map { $0[0] }).subtracting(mayBeFilled).sorted()

  static let filledTables = Statement(
    "filled_tables",
    """
    SELECT name FROM (
      \(written.filter { !renewed.contains($0) }
        .map { "SELECT '\($0)' AS name, EXISTS (SELECT 1 FROM \"\($0)\") AS is_filled" }
        .joined(separator: "\n  UNION ALL "))
    ) t WHERE is_filled ORDER BY name
    """)

  static let unknownColumns = Statement(
    "unknown_columns",
    """
    SELECT c.relname || '.' || a.attname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p')
      AND a.attnum > 0 AND NOT a.attisdropped AND c.relname || '.' || a.attname <> ALL ($1::text[])
    ORDER BY 1
    """)

  /// Nodes that the lock of their connections does not tell of, since PgBouncer stands before them.
  static let aliveNodes = Statement(
    "alive_nodes",
    """
    SELECT id FROM workers
    WHERE kind = 'node' AND last_seen_at > floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1::bigint ORDER BY id
    """)

  static let markBegun = Statement(
    "mark_transfer_begun",
    """
    INSERT INTO transfers (id, origin, begun_at) VALUES (1, $1::text, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    ON CONFLICT (id) DO UPDATE SET origin = excluded.origin, begun_at = excluded.begun_at, ended_at = NULL
    """)

  static let markEnded = Statement(
    "mark_transfer_ended",
    "UPDATE transfers SET ended_at = floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint WHERE id = 1")
}
