// Retention. A cursor walks over the tasks by id, a bounded number of rows a call, and begins again at the end, which is where
// tasks are younger than all that may go. It stands in the database: the nodes take turns at one walk, and whoever comes while
// another does a step has nothing to do. What a living task depends on, and what a young key stands for, is passed by.

package import MartletCore

extension PostgresStore {
  /// Rows that one step looks at, and steps that a call takes, at most: so it gets on with what is kept for long, and costs nobody
  /// much.
  private static let scan = 20_000
  private static let mostSteps = 5

  package func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    var deleted = 0  // repeated, it goes on with what is left of the limit
    return try await repeating { _ in
      try await foldCounts()
      _ = try await pool.run(Query(Self.forgetTurns, nowParameter), .background)
      guard let shortest = policy.shortest else { return 0 }
      func kept(_ duration: Duration?) -> PostgresValue { .int8(duration?.wholeMilliseconds) }
      for number in 1...Self.mostSteps where deleted < limit {
        let step = try await pool.run(
          Query(
            Self.pruneStep, nowParameter, kept(policy.success), kept(policy.dead), kept(policy.cancelled),
            .int8(Int64(limit - deleted)), kept(policy.keys), kept(shortest)), .background
        ).first { columns in
          (deleted: Int(columns.int()), isFromStart: columns.bool(), isAtEnd: columns.bool())
        }
        guard let step else { break }
        deleted += step.deleted
        // At the end there is more to see only for who had begun somewhere in the middle.
        if step.isAtEnd, step.isFromStart || number > 1 { break }
      }
      return deleted
    }
  }

  /// The row of a task `j` that is to go, locked. Where somebody else has it in hand there is none: it is passed by. Where it has
  /// changed since this statement began (retried, or waited for by another, which changes it too), the place is that of its new
  /// version, at which this statement sees nothing to delete. The deletion alone would not do: old servers look only at the place
  /// of a row that has moved on meanwhile, not at what it has become.
  static let lockedPlace = """
    CROSS JOIN LATERAL (
      SELECT t.ctid AS place FROM task_runs t WHERE t.id = j.id AND t.status IN (5, 6, 7)
      LIMIT 1 FOR UPDATE OF t SKIP LOCKED
    ) p
    """

  /// Parts of a statement that deletes the tasks of its part `old` (`id`, and `place` in `task_runs`, locked) with all that there is of
  /// them.
  static let deletionSQL = """
    gone AS (
      DELETE FROM task_runs r USING old WHERE r.ctid = old.place RETURNING r.id, r.lane, r.status, r.has_children
    ),
    bodies AS (
      DELETE FROM task_bodies b USING gone WHERE b.id = gone.id
      RETURNING b.id, b.dependencies, b.graph_id, b.schedule_name, coalesce(b.batch_key, b.idempotency_key) AS key
    ),
    ended AS (DELETE FROM attempts a USING gone WHERE a.task = gone.id),
    told AS (DELETE FROM events e USING gone WHERE e.task = gone.id),
    -- Few tasks have one: a plan that was made while the table held hardly any row would read it from end to end.
    kept AS (
      DELETE FROM results r USING (
        SELECT t.place FROM gone g CROSS JOIN LATERAL (SELECT ctid AS place FROM results WHERE task = g.id LIMIT 1) t
      ) x WHERE r.ctid = x.place
    ),
    told_of AS (
      DELETE FROM notices n USING (
        SELECT t.place FROM gone g CROSS JOIN LATERAL (SELECT ctid AS place FROM notices WHERE task = g.id OFFSET 0) t
      ) x WHERE n.ctid = x.place
    ),
    lines AS (
      DELETE FROM attempt_lines l USING (
        SELECT t.place FROM gone g CROSS JOIN LATERAL (SELECT ctid AS place FROM attempt_lines WHERE task = g.id OFFSET 0) t
      ) x WHERE l.ctid = x.place
    ),
    keys AS (
      DELETE FROM idempotency_keys k USING bodies b CROSS JOIN LATERAL (
        SELECT ctid AS place FROM idempotency_keys WHERE key = b.key AND b.id = ANY (tasks) LIMIT 1
      ) t WHERE k.ctid = t.place
    ),
    edges AS (
      DELETE FROM dependencies d USING (
        SELECT t.place FROM gone g CROSS JOIN LATERAL (
          SELECT ctid AS place FROM dependencies WHERE g.has_children AND parent = g.id OFFSET 0
        ) t
        UNION ALL SELECT t.place FROM bodies b CROSS JOIN LATERAL unnest(b.dependencies) AS p(id) CROSS JOIN LATERAL (
          SELECT ctid AS place FROM dependencies WHERE parent = p.id AND child = b.id LIMIT 1
        ) t
      ) e WHERE d.ctid = e.place
      RETURNING d.child, d.met
    ),
    -- What will never come is not waited for by those that are final, and retried later.
    freed AS (
      UPDATE task_runs r SET unmet = r.unmet - e.count,
        due_at = CASE WHEN r.status = 1 AND r.unmet = e.count THEN r.available_at ELSE r.due_at END
      FROM (SELECT child, count(*)::integer AS count FROM edges WHERE NOT met GROUP BY child ORDER BY child) e
      WHERE r.id = e.child AND NOT EXISTS (SELECT 1 FROM gone g WHERE g.id = e.child)
    ),
    members AS (
      DELETE FROM graph_members m USING bodies b CROSS JOIN LATERAL (
        SELECT ctid AS place FROM graph_members WHERE graph = b.graph_id AND task = b.id LIMIT 1
      ) t WHERE m.ctid = t.place
    ),
    scheduled AS (
      DELETE FROM schedule_tasks m USING bodies b CROSS JOIN LATERAL (
        SELECT ctid AS place FROM schedule_tasks WHERE schedule = b.schedule_name AND task = b.id LIMIT 1
      ) t WHERE m.ctid = t.place
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count) SELECT lane, status, 0, count(*) FROM gone GROUP BY lane, status
    )
    """

  /// Of a notice that is looked for by its task. Written so that the index of all that are pending, which statistics may have seen empty,
  /// is never taken for a shorter way.
  static func isPending(_ notice: String) -> String { "\(notice).status + 0 = 1" }

  /// An edge that a cascade has not come to yet.
  private static let isToBeMet = "\(DependencyPolicy.effectSQL(policy: "d.policy", of: "a.status")) = 1"

  /// Who had to make room in the line for a concurrency key has done his turn after a day.
  private static let forgetTurns = Statement(
    "forget_turns", "WITH \(clock) DELETE FROM key_turns t USING clock WHERE t.at < now - 86400000")

  /// What keeps a row `a` of `aged`: `k.is_young`, `w.is_waiting`, `t.is_untold`, `n.is_pending`. `$6` is how long keys are kept.
  static let keepingJoins = """
    CROSS JOIN LATERAL (
      SELECT coalesce(t.batch_key, t.idempotency_key) AS key FROM task_bodies t WHERE t.id = a.id LIMIT 1
    ) b
    LEFT JOIN LATERAL (
      SELECT true AS is_young FROM idempotency_keys t
      WHERE b.key IS NOT NULL AND t.key = b.key AND t.created_at > now - $6::bigint AND a.id = ANY (t.tasks) LIMIT 1
    ) k ON true
    LEFT JOIN LATERAL (
      SELECT true AS is_waiting FROM dependencies d CROSS JOIN LATERAL (
        SELECT t.status FROM task_runs t WHERE t.id = d.child LIMIT 1
      ) c
      WHERE a.has_children AND d.parent = a.id AND (c.status NOT IN (5, 6, 7) OR NOT d.met AND \(isToBeMet)) LIMIT 1
    ) w ON true
    LEFT JOIN LATERAL (SELECT true AS is_untold FROM outbox o WHERE o.task = a.id LIMIT 1) t ON true
    LEFT JOIN LATERAL (SELECT true AS is_pending FROM notices o WHERE o.task = a.id AND \(isPending("o")) LIMIT 1) n ON true
    """

  private static let pruneStep = Statement(
    "prune_step",
    """
    WITH \(clock),
    turn AS MATERIALIZED (SELECT cursor FROM duties WHERE name = 'prune' FOR UPDATE SKIP LOCKED),
    -- The first id of the millisecond in which the shortest retention begins to hold.
    ending AS MATERIALIZED (
      SELECT rpad(lpad(to_hex(greatest(now - $7::bigint + 1, 0)), 12, '0'), 32, '0')::uuid AS end_id FROM clock
    ),
    seen AS MATERIALIZED (
      SELECT s.* FROM turn CROSS JOIN ending CROSS JOIN LATERAL (
        SELECT r.id, r.status, r.finished_at, r.has_children FROM task_runs r
        WHERE r.id >= coalesce(turn.cursor, '00000000-0000-0000-0000-000000000000'::uuid) AND r.id < end_id
        ORDER BY r.id LIMIT \(scan)
      ) s
    ),
    aged AS MATERIALIZED (
      SELECT seen.* FROM seen, clock
      WHERE (status = 5 AND finished_at <= now - $2::bigint) OR (status = 6 AND finished_at <= now - $3::bigint)
        OR (status = 7 AND finished_at <= now - $4::bigint)
      ORDER BY id
    ),
    old AS MATERIALIZED (
      SELECT j.id, p.place
      FROM (
        SELECT a.id
        FROM clock CROSS JOIN aged a
        \(keepingJoins)
        WHERE k.is_young IS NULL AND w.is_waiting IS NULL AND t.is_untold IS NULL AND n.is_pending IS NULL
        OFFSET 0
      ) j
      \(lockedPlace)
      LIMIT $5::bigint
    ),
    \(deletionSQL),
    -- Where the limit cut the step short, the next goes on behind what was deleted; at the end it begins anew.
    next AS MATERIALIZED (
      SELECT CASE
        WHEN (SELECT count(*) FROM old) = $5 THEN (SELECT id FROM old ORDER BY id DESC LIMIT 1)
        WHEN (SELECT count(*) FROM seen) = \(scan) THEN (SELECT id FROM seen ORDER BY id DESC LIMIT 1)
      END AS cursor
    ),
    moved AS (UPDATE duties SET cursor = next.cursor FROM next, turn WHERE name = 'prune')
    SELECT (SELECT count(*) FROM gone), turn.cursor IS NULL, next.cursor IS NULL FROM turn, next
    """)
}
