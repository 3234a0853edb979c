// The statements of actions in bulk.

internal import MartletCore

extension PostgresStore {
  /// Rows that one page looks at, at most.
  private static let bulkScan = 20_000

  /// Part of the condition of each statement that is done for a bulk job: parameter `job` is NULL or the job, whose row is locked,
  /// and `claim` the token under which it was claimed.
  static func isHeld(_ job: String, claim: String) -> String {
    """
    (\(job)::uuid IS NULL OR EXISTS (
      SELECT 1 FROM bulk_jobs WHERE id = \(job) AND claim = \(claim) AND status = 1))
    """
  }

  /// Parts of a statement that moves a job's cursor. `sums` has one row: `matched`, `changed`, `failed`, `cursor` (NULL leaves it
  /// where it is), and `is_cut`, whether the page has ended before its end. Needs a part `turn` with the job's row.
  static func accountSQL(sums: String) -> String {
    """
    sums AS MATERIALIZED (\(sums)),
    accounted AS (
      UPDATE bulk_jobs j SET claimed_until = 0, updated_at = now, matched = j.matched + s.matched,
        changed = j.changed + s.changed, failed = j.failed + s.failed,
        last_error = CASE WHEN s.failed > 0 THEN '\(BulkJob.keptForKeys)' ELSE j.last_error END,
        cursor = CASE WHEN s.is_cut THEN coalesce(s.cursor, j.cursor) ELSE $5::uuid END,
        status = CASE WHEN $6::boolean AND NOT s.is_cut OR j.matched + s.matched >= j.task_limit THEN 2 ELSE 1 END,
        finished_at = CASE WHEN $6 AND NOT s.is_cut OR j.matched + s.matched >= j.task_limit THEN now END,
        next_at = CASE
          WHEN s.is_cut AND s.matched = 0 THEN now + 200
          WHEN j.rate IS NULL THEN now + $7::bigint
          ELSE greatest(j.next_at, now - 1000) + ceil(s.matched * 1000 / j.rate)::bigint END
      FROM turn, clock, sums s WHERE j.id = turn.id
      RETURNING j.*, now
    ),
    audited AS (\(bulkAuditSQL(number: "$4::bigint", from: "accounted a WHERE a.status = 2")))
    SELECT \(BulkRow.columns), j.next_at - j.now FROM accounted j
    """
  }

  /// What `BulkJob.note` says.
  private static func bulkAuditSQL(number: String, from rows: String) -> String {
    let status = "(ARRAY['RUNNING', 'DONE', 'STOPPED', 'FAILED'])[a.status]"
    let actions = BulkAction.allCases.map { "'\($0.auditAction.rawValue)'" }.joined(separator: ", ")
    let detail = BulkJob.auditDetail(
      filter: "' || a.filter || '", status: "' || \(status) || '", matched: "' || a.matched || '",
      changed: "' || a.changed || '")
    return """
      INSERT INTO audit (number, at, actor, action, target, detail)
      SELECT \(number), now, a.actor, (ARRAY[\(actions)])[a.action], 'bulk:' || a.id, '\(detail)' FROM \(rows)
      ON CONFLICT DO NOTHING
      """
  }

  static let turnSQL = """
    turn AS MATERIALIZED (
      SELECT * FROM bulk_jobs WHERE id = $3::uuid AND claim = $4::bigint AND status = 1 FOR UPDATE
    )
    """

  static let beginBulk = Statement(
    "begin_bulk",
    """
    WITH \(clock)
    INSERT INTO bulk_jobs (id, action, filter, queues, task_limit, rate, actor, status, created_at, updated_at, last, cursor,
      next_at)
    SELECT $2::uuid, $3::smallint, $4::text, $5::text, $6::bigint, $7::double precision, $8::text, 1, now, now,
      coalesce((SELECT id FROM task_runs ORDER BY id DESC LIMIT 1), \(noID)), \(noID), now + $9::bigint
    FROM clock ON CONFLICT DO NOTHING
    """)

  private static let noID = "'00000000-0000-0000-0000-000000000000'::uuid"

  static let readBulk = Statement("read_bulk", "SELECT \(BulkRow.columns) FROM bulk_jobs j WHERE j.id = $1::uuid")

  static let listBulk = Statement(
    "list_bulk",
    """
    SELECT \(BulkRow.columns) FROM bulk_jobs j WHERE $2::uuid IS NULL ORDER BY j.id DESC LIMIT $1::bigint
    """)
  static let listBulkBefore = Statement(
    "list_bulk_before",
    "SELECT \(BulkRow.columns) FROM bulk_jobs j WHERE j.id < $2::uuid ORDER BY j.id DESC LIMIT $1::bigint")

  static let dueBulk = Statement(
    "due_bulk",
    """
    WITH \(clock)
    SELECT id, greatest(next_at, claimed_until) - now FROM bulk_jobs, clock WHERE status = 1
    ORDER BY greatest(next_at, claimed_until), id LIMIT 1
    """)

  static let claimBulk = Statement(
    "claim_bulk",
    """
    WITH \(clock)
    UPDATE bulk_jobs j SET claim = $3::bigint, claimed_until = now + $4::bigint FROM clock
    WHERE j.id = $2::uuid AND j.status = 1 AND (j.claimed_until <= now OR j.claim = $3)
    RETURNING \(BulkRow.columns)
    """)

  static let lockBulk = Statement("lock_bulk", "SELECT 1 FROM bulk_jobs WHERE id = $1::uuid FOR UPDATE")

  static let endBulk = Statement(
    "end_bulk",
    """
    WITH \(clock),
    ended AS (
      UPDATE bulk_jobs j SET status = CASE WHEN $3::text IS NULL THEN 3 ELSE 4 END, last_error = coalesce($3, j.last_error),
        finished_at = now, updated_at = now
      FROM clock WHERE j.id = $2::uuid AND j.status = 1
      RETURNING j.*, now
    ),
    audited AS (\(bulkAuditSQL(number: "$6::bigint", from: "ended a")))
    \(auditSQL(.stopBulk, of: "'bulk:' || id", by: "$4::text", number: "$5::bigint", from: "ended WHERE $3 IS NULL"))
    """)

  static let pruneBulk = Statement(
    "prune_bulk",
    """
    WITH \(clock)
    DELETE FROM bulk_jobs WHERE id = ANY (ARRAY(
      SELECT j.id FROM bulk_jobs j, clock
      WHERE j.finished_at IS NOT NULL AND j.finished_at <= now - $2::bigint ORDER BY j.finished_at LIMIT $3::bigint))
    """)

  /// Each task that was written has an event of this claim. One that has moved since it was read is come back to for its
  /// cancellation. For a retry it is not: whoever is not as dead as it was any more is none of the job's, and the tasks behind it
  /// that were retried here may be dead again by then. (Who is DEAD waits for nobody, so that its row changes in no other way.)
  static let accountSteered = Statement(
    "account_steered",
    """
    WITH \(clock),
    \(turnSQL),
    page AS MATERIALIZED (
      SELECT i.id, e.is_written FROM unnest($2::uuid[]) AS i(id) LEFT JOIN LATERAL (
        SELECT true AS is_written FROM events WHERE task = i.id AND command = $4 LIMIT 1
      ) e ON true
    ),
    missed AS MATERIALIZED (
      SELECT p.id FROM page p, turn WHERE p.is_written IS NULL AND turn.action = \(BulkAction.cancel.code) ORDER BY p.id LIMIT 1
    ),
    \(accountSQL(
      sums: """
        SELECT (SELECT count(*) FROM page WHERE is_written) AS matched,
          (SELECT count(*) FROM page WHERE is_written) AS changed, 0 AS failed,
          (SELECT p.id FROM page p, missed m WHERE p.id < m.id ORDER BY p.id DESC LIMIT 1) AS cursor,
          EXISTS (SELECT 1 FROM missed) AS is_cut
        """))
    """)

  // MARK: Looking for tasks

  private static func isInRange(_ id: String = "id") -> String { "\(id) > $1::uuid AND \(id) <= $2::uuid" }

  static let bulkAll = Statement("bulk_all", pageSQL(from: "task_runs WHERE \(isInRange())"))
  static let bulkDead = Statement("bulk_dead", pageSQL(from: "task_runs WHERE is_dead AND \(isInRange())"))
  static let bulkSome = Statement(
    "bulk_some", pageSQL(from: "task_runs WHERE id = ANY($19::uuid[]) AND \(isInRange())"))
  static let bulkGraph = Statement("bulk_graph", pageSQL(of: "graph_members m WHERE m.graph = $13"))
  static let bulkScheduled = Statement("bulk_scheduled", pageSQL(of: "schedule_tasks m WHERE m.schedule = $15"))

  private static func pageSQL(from rows: String) -> String {
    pageSQL(rows: "SELECT * FROM \(rows)", ids: "SELECT id FROM \(rows)")
  }

  /// Of the tasks that links name: their table as `m`, and which of them.
  private static func pageSQL(of links: String) -> String {
    pageSQL(
      rows: """
        SELECT t.* FROM (SELECT m.task FROM \(links) AND \(isInRange("m.task"))) m
          CROSS JOIN LATERAL (SELECT * FROM task_runs WHERE id = m.task LIMIT 1) t
        """,
      ids: "SELECT m.task AS id FROM \(links) AND \(isInRange("m.task"))")
  }

  /// What `WaitingRow` is made of, behind the last row that was looked at where more than these are behind it and the page is not
  /// full. Both in one statement, and so of one moment: were the end looked for in another one, what is deleted in between would
  /// shift it behind tasks that nobody has looked at.
  private static func pageSQL(rows: String, ids: String) -> String {
    """
    WITH page AS MATERIALIZED (
      SELECT r.* FROM (
        SELECT id, lane, status, worker, sequence, cancel_requested, unmet, blocked FROM (\(rows)) s ORDER BY id LIMIT \(bulkScan)
      ) r
        CROSS JOIN LATERAL (SELECT queue, type FROM lanes WHERE id = r.lane LIMIT 1) l
        CROSS JOIN LATERAL (SELECT * FROM task_bodies WHERE id = r.id LIMIT 1) b
      WHERE b.created_at <= $3::bigint AND NOT ($17::boolean AND r.status = 3 AND r.cancel_requested)
        AND ($16::text[] IS NULL OR l.queue LIKE ANY ($16)) AND \(taskFilterSQL)
      ORDER BY r.id LIMIT $12::bigint
    ),
    cut AS MATERIALIZED (
      SELECT CASE WHEN (SELECT count(*) FROM page) < $12
        THEN (\(ids) ORDER BY id LIMIT 1 OFFSET \(bulkScan - 1)) END AS id
    )
    SELECT cut.id, p.id IS NOT NULL, p.id,
      coalesce($18::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), p.lane, p.status, p.sequence,
      p.cancel_requested, p.unmet, p.blocked = 1
    FROM cut LEFT JOIN page p ON true ORDER BY p.id
    """
  }
}
