// Deletion by hand: unlike retention it does not wait for those that still depend on the task. Their edges are made to say CANCEL,
// which the usual settlement then carries out; a task that has more of them than one transaction should settle is deleted by a
// later page.

internal import MartletCore

extension PostgresStore {
  func purge(_ turn: BulkTurn, keys: Duration) async throws -> BulkStep? {
    let age = PostgresValue.int8(keys.wholeMilliseconds)
    let ids = turn.page.rows.map(\.id)
    let rows = try await pool.transaction(
      [
        lock(turn),
        Query(
          Self.releaseForPurge, nowParameter, .uuids(ids), .uuid(turn.row.job.id), .int8(turn.token), age),
        settleEnded(ids),
        Query(Self.purgePage, parameters: accountParameters(turn) + [age]),
      ], .background)
    guard let job = try rows[3].first({ try BulkRow(&$0).job }) else { return try await overtaken(turn.row.job.id) }
    ring(for: Settled(rows[2]))
    return BulkStep(job, nextIn: nextIn(job, rows[3]))
  }

  /// The tasks of the page that are DEAD still, locked, with whether they are kept for their keys, or
  /// for those who have not heard of them; `age` is how old a key must be.
  private static func pageSQL(age: String) -> String {
    """
    page AS MATERIALIZED (
      SELECT r.*, coalesce(k.is_young, o.is_untold, n.is_pending) AS is_kept FROM turn, clock, (SELECT id FROM unnest($2::uuid[]) AS i(id) ORDER BY id) i
      CROSS JOIN LATERAL (
        SELECT t.ctid AS place, t.id, t.has_children FROM task_runs t WHERE t.id = i.id AND t.status = 6
        LIMIT 1 FOR UPDATE OF t
      ) r
      CROSS JOIN LATERAL (
        SELECT coalesce(t.batch_key, t.idempotency_key) AS key FROM task_bodies t WHERE t.id = i.id LIMIT 1
      ) b
      LEFT JOIN LATERAL (
        SELECT true AS is_young FROM idempotency_keys t
        WHERE b.key IS NOT NULL AND t.key = b.key AND t.created_at > now - \(age)::bigint AND i.id = ANY (t.tasks) LIMIT 1
      ) k ON true
      LEFT JOIN LATERAL (SELECT true AS is_untold FROM outbox t WHERE t.task = i.id LIMIT 1) o ON true
      LEFT JOIN LATERAL (SELECT true AS is_pending FROM notices t WHERE t.task = i.id AND \(isPending("t")) LIMIT 1) n ON true
    )
    """
  }

  /// Edges that still hold somebody back, of which the settlement will now cancel the child. Their parents are written to, so that
  /// it takes them for tasks which this transaction has ended.
  private static let releaseForPurge = Statement(
    "release_for_purge",
    """
    WITH \(clock),
    \(turnSQL),
    \(pageSQL(age: "$5")),
    edges AS MATERIALIZED (
      SELECT e.place FROM page p CROSS JOIN LATERAL (
        SELECT d.ctid AS place FROM dependencies d CROSS JOIN LATERAL (
          SELECT t.status FROM task_runs t WHERE t.id = d.child LIMIT 1
        ) c
        WHERE d.parent = p.id AND NOT d.met AND d.policy = \(DependencyPolicy.hold.code) AND c.status NOT IN (5, 6, 7)
        LIMIT \(mostEdges)
      ) e
      WHERE p.has_children AND p.is_kept IS NULL LIMIT \(mostEdges)
    ),
    changed AS (UPDATE dependencies d SET policy = \(DependencyPolicy.cancel.code) FROM edges e WHERE d.ctid = e.place)
    UPDATE task_runs r SET has_children = true FROM page p WHERE r.ctid = p.place AND p.has_children AND p.is_kept IS NULL
    """)

  private static let purgePage = Statement(
    "purge_page",
    """
    WITH \(clock),
    \(turnSQL),
    \(pageSQL(age: "$8")),
    awaited AS MATERIALIZED (
      SELECT p.id FROM page p CROSS JOIN LATERAL (
        SELECT 1 FROM dependencies d CROSS JOIN LATERAL (
          SELECT t.status FROM task_runs t WHERE t.id = d.child LIMIT 1
        ) c
        WHERE p.has_children AND d.parent = p.id AND NOT d.met AND (c.status NOT IN (5, 6, 7) OR d.policy = \(DependencyPolicy.run.code))
        LIMIT 1
      ) w
      WHERE p.is_kept IS NULL ORDER BY p.id LIMIT 1
    ),
    dealt AS MATERIALIZED (SELECT p.* FROM page p WHERE NOT EXISTS (SELECT 1 FROM awaited a WHERE a.id <= p.id)),
    old AS MATERIALIZED (SELECT id, place FROM dealt WHERE is_kept IS NULL),
    \(deletionSQL),
    \(accountSQL(
      sums: """
        SELECT (SELECT count(*) FROM dealt) AS matched, (SELECT count(*) FROM gone) AS changed,
          (SELECT count(*) FROM dealt WHERE is_kept) AS failed,
          (SELECT id FROM dealt ORDER BY id DESC LIMIT 1) AS cursor, EXISTS (SELECT 1 FROM awaited) AS is_cut
        """))
    """)
}
