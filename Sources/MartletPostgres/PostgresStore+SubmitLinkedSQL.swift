// The statements of `PostgresStore+SubmitLinked.swift`, in the order of their pipeline: each sees what the ones before have
// locked, as it stays until the commit.

internal import MartletCore

extension PostgresStore {
  /// Waits for others that are taking one of these keys, in one order, so that no two wait for each other.
  static let takeKeys = Statement(
    "take_keys",
    """
    WITH \(clock)
    INSERT INTO idempotency_keys (key, fingerprint, tasks, created_at)
    SELECT i.key, i.fingerprint, ($6::uuid[])[i.first:i.last], now
    FROM clock, unnest($2::text[], $3::bytea[], $4::integer[], $5::integer[]) AS i(key, fingerprint, first, last)
    ORDER BY i.key COLLATE "C"
    ON CONFLICT DO NOTHING
    """)

  /// Tasks that others are to wait for: `$1`, and those that keys stand for. Always written, even where it is so already: whoever
  /// ends or deletes one of them at this moment has to look again. Those of a repeated submission, `$2`, have it nearly always.
  static let markParents = Statement(
    "mark_parents",
    """
    WITH covered AS MATERIALIZED (
      SELECT k.tasks[c.place] AS id FROM unnest($3::text[], $4::integer[]) AS c(key, place) CROSS JOIN LATERAL (
        SELECT i.tasks FROM idempotency_keys i WHERE i.key = c.key LIMIT 1 FOR KEY SHARE OF i
      ) k
    ),
    parents AS MATERIALIZED (
      SELECT id, bool_and(is_own) AS is_own FROM (
        SELECT unnest($1::uuid[]) AS id, false AS is_own UNION ALL SELECT id, false FROM covered
        UNION ALL SELECT unnest($2::uuid[]), true
      ) p GROUP BY id ORDER BY id
    ),
    marked AS (
      UPDATE task_runs r SET has_children = true FROM parents p WHERE r.id = p.id AND NOT (p.is_own AND r.has_children)
      RETURNING r.lane, r.available_at, r.claimable
    )
    SELECT lane, min(available_at) FROM marked WHERE claimable GROUP BY lane
    """)

  static let readKeys = Statement("read_keys", "SELECT key, tasks FROM idempotency_keys WHERE key = ANY($1::text[])")

  static let lockDepths = Statement(
    "lock_depths",
    """
    SELECT 1 FROM queue_settings WHERE queue = ANY($1::text[]) AND max_depth IS NOT NULL ORDER BY queue FOR NO KEY UPDATE
    """)

  static let insertKeyed = Statement("insert_keyed", insertSQL(again: false, withEdges: false))
  static let insertLinked = Statement("insert_linked", insertSQL(again: false, withEdges: true))
  /// What is there already is left as it is.
  static let insertNewKeyed = Statement("insert_new_keyed", insertSQL(again: true, withEdges: false))
  static let insertNewLinked = Statement("insert_new_linked", insertSQL(again: true, withEdges: true))

  /// Where the depths of all queues concerned are locked: as many as there is room for.
  static let insertKeyedWithin = Statement(
    "insert_keyed_within", insertSQL(again: true, withEdges: false, isDeep: true))
  static let insertLinkedWithin = Statement(
    "insert_linked_within", insertSQL(again: true, withEdges: true, isDeep: true))

  /// Tasks of schedules, of steps that stand; a repeated call finds them there.
  static let insertScheduled = Statement(
    "insert_scheduled", insertSQL(again: true, withEdges: false, isDeep: true, ofSchedules: true))

  /// `said` 0: nothing against it; 2: its key stands for another request; 3: its key was taken in this transaction by another
  /// submission, or is gone; 4: its schedule is not as it was decided about, or something keeps it from making a task. Large values
  /// are fetched by `number` where they are written, so that what judges moves little.
  private static func insertSQL(
    again: Bool, withEdges: Bool, isDeep: Bool = false, ofSchedules: Bool = false
  ) -> String {
    let onConflict = again ? "ON CONFLICT DO NOTHING" : ""
    return """
      WITH \(clock),
      lanes_known AS MATERIALIZED (\(lanesKnown)),
      input AS MATERIALIZED (
        SELECT i.*, now,
          greatest(now, least(coalesce(i.eligible_at, now + coalesce(i.delay, 0)), 253402300799999)) AS available_at
        FROM clock, unnest($2::uuid[], $3::integer[], $5::bigint[], $6::bigint[], $7::integer[], $8::integer[], $9::integer[],
          $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::uuid[], $18::text[],
          $23::integer[], $24::text[], $25::bytea[], $26::integer[], $27::smallint[], $28::text[], $29::uuid[], $30::text[],
          $31::text[], $32::text[]\(withEdges ? ", \(edgeArrays)" : "")\(ofSchedules ? ", \(stepArrays)" : ""))
          WITH ORDINALITY
          AS i(id, lane, eligible_at, delay, retries, timeout_ms, lease_ms, backoff, delay_ms, run_at, expires_at, tags,
            metadata, traceparent, replay_of, submitted_by, submission, key, fingerprint, place, policy, ref, graph, own_key,
            concurrency_key, schedule_name\(withEdges ? ", \(edgeColumns)" : "")\(ofSchedules ? ", \(stepColumns)" : ""), number)
      ),
      judged AS MATERIALIZED (
        SELECT i.*, nullif(k.tasks[i.place], i.id) AS earlier, k.is_new AND k.tasks[i.place] = i.id AS takes_key,
          CASE \(ofSchedules ? "WHEN p.stands IS NULL THEN 4 " : "")WHEN i.key IS NULL THEN 0
            WHEN k.is_new IS NULL OR k.is_new AND k.tasks[i.place] IS DISTINCT FROM i.id THEN 3
            WHEN k.fingerprint <> i.fingerprint THEN 2
            ELSE 0 END AS said,
          \(again ? "s.created_at" : "NULL::bigint") AS stored_at, \(withEdges ? "e.*" : withoutEdges)
        FROM input i LEFT JOIN LATERAL (
          SELECT t.tasks, t.fingerprint, coalesce(t.xmin = pg_current_xact_id_if_assigned()::xid, false) AS is_new
          FROM idempotency_keys t WHERE t.key = i.key LIMIT 1
        ) k ON true
        \(again ? "LEFT JOIN LATERAL (SELECT t.created_at FROM task_bodies t WHERE t.id = i.id LIMIT 1) s ON true" : "")
        \(withEdges ? "CROSS JOIN LATERAL (\(edgesSQL)) e" : "")
        \(ofSchedules ? "LEFT JOIN LATERAL (\(stepSQL)) p ON true" : "")
      ),
      possible AS \(isDeep ? "MATERIALIZED" : "") (
        SELECT j.*, are_all AND bool_and(said = 0 AND (earlier IS NOT NULL OR unknown IS NULL)) OVER (PARTITION BY submission)
            AS could_stand, are_all, deep,
          CASE WHEN fails THEN 7 WHEN unmet > 0 OR available_at > now THEN 1 ELSE 2 END AS status
        FROM judged j, lanes_known
      ),
      \(isDeep ? roomsInDepths : "")
      decided AS MATERIALIZED (
        \(isDeep ? decidedByDepth : "SELECT p.*, could_stand AND deep IS NULL AS stands, NULL::text AS full_queue FROM possible p")
      ),
      new AS MATERIALIZED (
        SELECT d.*, \(withEdges ? "coalesce(g.graph_id, d.graph)" : "d.graph") AS graph_id,
          \(withEdges ? "g.id" : "NULL::uuid") AS joined
        FROM decided d
          \(withEdges ? joinedSQL : "")
        WHERE d.stands AND d.earlier IS NULL AND d.stored_at IS NULL
        ORDER BY d.number
      ),
      bodies AS (
        INSERT INTO task_bodies (id, created_at, payload, retries, backoff, delay_ms, run_at, expires_at, tags, metadata,
          traceparent, replay_of, dependencies, on_failure, ref, graph_id, idempotency_key, batch_key, concurrency_key,
          schedule_name, submitted_by)
        SELECT id, now, ($4::bytea[])[number], retries, backoff, delay_ms, run_at, expires_at, tags, metadata, traceparent,
          replay_of, dependencies, policy, ref, graph_id, own_key, CASE WHEN key IS DISTINCT FROM own_key THEN key END,
          concurrency_key, schedule_name, submitted_by
        FROM new \(onConflict)
      ),
      runs AS (
        INSERT INTO task_runs (id, lane, status, claimable, available_at, due_at, expiry_at, updated_at, ready_at,
          finished_at, reason, max_attempts, sequence, ready_sequence, timeout_ms, lease_ms, unmet, blocked, has_children)
        SELECT id, lane, status, status = 2 AND concurrency_key IS NULL, available_at, CASE WHEN status = 1 AND unmet = 0 THEN available_at END,
          CASE WHEN status <> 7 THEN expires_at END, now, CASE WHEN status = 2 THEN now END,
          CASE WHEN status = 7 THEN now END, CASE WHEN status = 7 THEN 6 END, retries + 1,
          CASE WHEN status = 1 THEN 1 ELSE 2 END, CASE WHEN status = 2 THEN 2 ELSE 0 END, timeout_ms, lease_ms, unmet,
          CASE WHEN concurrency_key IS NULL THEN 0 ELSE 1 END, \(withEdges ? "is_parent" : "false")
        FROM new \(onConflict)
        RETURNING lane, status
      ),
      counted AS (
        INSERT INTO count_changes (lane, old, new, count) SELECT lane, 0, status, count(*) FROM runs GROUP BY lane, status
      ),
      members AS (
        INSERT INTO graph_members (graph, task) SELECT graph_id, id FROM new WHERE graph_id IS NOT NULL ON CONFLICT DO NOTHING
      ),
      scheduled AS (
        INSERT INTO schedule_tasks (schedule, task) SELECT schedule_name, id FROM new WHERE schedule_name IS NOT NULL
        ON CONFLICT DO NOTHING
      ),
      \(withEdges ? linksSQL(onConflict) : "")
      left_keys AS (
        DELETE FROM idempotency_keys k USING (
          SELECT t.ctid AS place FROM (SELECT DISTINCT key FROM decided WHERE takes_key AND NOT stands) d
            CROSS JOIN LATERAL (SELECT ctid FROM idempotency_keys WHERE key = d.key LIMIT 1) t
        ) d
        WHERE k.ctid = d.place
      )
      SELECT now, are_all, stands, said, earlier, unknown, stored_at, status, CASE WHEN status = 1 AND unmet = 0 THEN available_at END,
        full_queue, \(isDeep ? "NULL::text[]" : "deep")
      FROM decided ORDER BY number
      """
  }

  private static let stepArrays = "$33::bigint[], $34::bigint[], $35::boolean[]"
  private static let stepColumns = "revision, handled, unless_unfinished"

  /// The schedule of a task, locked before, if it is as the step says and has no other task that keeps it from this one.
  private static let stepSQL = """
    SELECT true AS stands FROM schedules t
    WHERE t.name = i.schedule_name AND t.revision = i.revision AND (i.handled IS NULL OR t.handled = i.handled)
      AND NOT (\(isPassed(tick: "i.run_at")))
    LIMIT 1
    """

  /// Whether another task of the schedule `t` keeps the step `i` from making one. The look-ups are no EXISTS, which could be planned
  /// as a walk over all there are.
  static func isPassed(tick: String) -> String {
    """
    i.unless_unfinished AND coalesce(
        (SELECT r.status NOT IN (5, 6, 7) FROM task_runs r WHERE r.id = t.last_task LIMIT 1), false)
      OR i.handled IS NOT NULL AND \(tick) <= coalesce(t.latest_tick, \(tick) - 1) AND coalesce((
        SELECT true FROM schedule_tasks m
          CROSS JOIN LATERAL (SELECT b.run_at FROM task_bodies b WHERE b.id = m.task LIMIT 1) b
        WHERE m.schedule = t.name AND b.run_at = \(tick) LIMIT 1), false)
    """
  }

  private static let edgeArrays = "$33::boolean[], $34::uuid[], $35::integer[], $36::integer[]"
  private static let edgeColumns = "is_parent, anchor, first_edge, last_edge"

  private static let withoutEdges = """
    NULL::uuid[] AS dependencies, NULL::boolean[] AS are_met, 0 AS unmet, false AS fails, NULL::uuid[] AS unknown
    """

  /// A task's dependencies as they are now, those that a key stands for in the place of those named.
  private static let edgesSQL = """
    SELECT array_agg(x.parent ORDER BY x.number) AS dependencies, array_agg(x.effect = 1 ORDER BY x.number) AS are_met,
      (count(DISTINCT x.parent) FILTER (WHERE x.effect <> 1))::integer AS unmet,
      coalesce(bool_or(x.effect = 2), false) AS fails, array_agg(x.named) FILTER (WHERE x.is_unknown) AS unknown
    FROM (
      SELECT n.number, n.named, p.id AS parent, r.status IS NULL AND NOT p.is_own AS is_unknown,
        \(DependencyPolicy.effectSQL(policy: "i.policy", of: "r.status")) AS effect
      FROM unnest(($37::uuid[])[i.first_edge:i.last_edge], ($38::boolean[])[i.first_edge:i.last_edge],
          ($39::integer[])[i.first_edge:i.last_edge], ($40::integer[])[i.first_edge:i.last_edge])
          WITH ORDINALITY AS n(named, is_own, key, place, number)
        LEFT JOIN LATERAL (
          SELECT t.tasks[n.place] AS id FROM idempotency_keys t WHERE t.key = ($41::text[])[n.key] LIMIT 1
        ) k ON true
        CROSS JOIN LATERAL (
          SELECT coalesce(k.id, n.named) AS id, n.is_own AND coalesce(k.id = n.named, true) AS is_own
        ) p
        LEFT JOIN LATERAL (SELECT t.status FROM task_runs t WHERE t.id = p.id LIMIT 1) r ON true
    ) x
    """

  /// Whose graph it joins, as far as that one was stored before.
  private static let joinedSQL = """
    LEFT JOIN LATERAL (
      SELECT t.id, t.graph_id FROM task_bodies t
      WHERE t.id = d.anchor LIMIT 1
    ) g ON true
    """

  private static func linksSQL(_ onConflict: String) -> String {
    """
    links AS (
      INSERT INTO dependencies (parent, child, policy, met)
      SELECT e.parent, n.id, coalesce(n.policy, 1), e.is_met
      FROM new n CROSS JOIN LATERAL unnest(n.dependencies, n.are_met) AS e(parent, is_met)
      ON CONFLICT DO NOTHING
    ),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause)
      SELECT id, 2, 8, now, 'scheduler', 'DEPENDENCY_FAILED' FROM new WHERE status = 7 \(onConflict)
    ),
    graphs AS MATERIALIZED (SELECT DISTINCT ON (joined) joined, graph_id FROM new WHERE joined IS NOT NULL ORDER BY joined, number),
    joined AS (
      UPDATE task_bodies b SET graph_id = g.graph_id FROM graphs g WHERE b.id = g.joined AND b.graph_id IS NULL
      RETURNING b.graph_id, b.id
    ),
    first_members AS (INSERT INTO graph_members (graph, task) SELECT graph_id, id FROM joined ON CONFLICT DO NOTHING),
    """
  }
}
