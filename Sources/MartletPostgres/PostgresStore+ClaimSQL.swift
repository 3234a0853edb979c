// The statements that give out work: `PostgresStore+Claim.swift` and `PostgresStore+ClaimLimited.swift` run them.

internal import MartletCore

extension PostgresStore {
  static let claimQuickly = Statement(
    "claim_quickly", claimSQL(looks: "\(promisedLanes) WHERE \(isFree) AND \(isTypeGivenOut)"))

  static let claimFully = Statement(
    "claim_fully",
    claimSQL(
      looks: """
        SELECT l.id AS lane, l.urgency, -9223372036854775807 AS since, '00000000-0000-0000-0000-000000000000'::uuid AS since_id
        FROM lanes l WHERE l.type = ANY($1::text[]) AND (l.queue = ANY($2::text[]) OR $3::boolean)
          AND (NOT l.suspect OR $4::boolean) AND \(isFree) AND \(isTypeGivenOut)
        """))

  /// The same in queues of which the buckets are locked: no more of each than it has room for.
  static let claimLimited = Statement(
    "claim_limited", claimSQL(looks: "\(promisedLanes) WHERE \(isTypeGivenOut)", isLimited: true))

  private static let promisedLanes = """
    SELECT w.lane, l.urgency, w.since, w.since_id, l.queue
    FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::uuid[], $10::text[]) AS w(lane, type, since, since_id, queue)
      JOIN lanes l ON l.id = w.lane AND l.type = w.type AND l.queue = w.queue
    """

  /// Neither paused nor limited: what this statement sees when it begins holds.
  static let isFree =
    "NOT EXISTS (SELECT 1 FROM queue_settings s WHERE s.queue = l.queue AND (s.paused OR s.limited))"
  static let isTypeGivenOut = "NOT EXISTS (SELECT 1 FROM type_settings t WHERE t.type = l.type AND t.paused)"

  /// What is past its time and waited for by others is left to the promoter, which settles them.
  static let isOurs = "(r.expiry_at IS NULL OR NOT r.has_children OR r.expiry_at > (SELECT now FROM now))"

  /// Over several lanes the best `wanted` are looked up first, without locks, to know how many to take of each; one lane is
  /// taken as it comes. What others hold locked is skipped, so two nodes never wait for each other and never get nothing
  /// while there is more.
  private static func claimSQL(looks: String, isLimited: Bool = false) -> String {
    claimSQL(
      picking: """
        looks AS MATERIALIZED (\(looks)),
        \(isLimited ? roomsOfLooks : "")
        \(isLimited ? bestWithinRooms : bestOfAll)
        picked AS MATERIALIZED (
          SELECT p.*, l.urgency
          FROM quotas q JOIN looks l ON l.lane = q.lane CROSS JOIN LATERAL (
            SELECT \(pickedColumns)
            FROM task_runs r
            WHERE r.claimable AND r.lane = l.lane AND (r.available_at, r.id) > (l.since, l.since_id) AND \(isOurs)
            ORDER BY r.available_at, r.id LIMIT q.quota FOR UPDATE OF r SKIP LOCKED
          ) p
        ),
        """,
      // What others hold locked is not missing: several lanes are exhausted when the look without locks found less than wanted, or
      // nothing at all. So is a lane that is paused: with the pause's end every look is a full one.
      isExhausted: """
        CASE WHEN (SELECT count(*) FROM looks) = 1 THEN (SELECT count(*) FROM picked) ELSE (SELECT coalesce(sum(quota), 0) FROM quotas) END < $6
        """, isLimited: isLimited)
  }

  static let pickedColumns = """
    r.ctid AS place, r.id, r.lane, r.available_at, r.attempt, r.max_attempts, r.lost, r.sequence, r.ready_at, r.timeout_ms,
      r.lease_ms, r.expiry_at, r.blocked
    """

  /// - Parameters:
  ///   - picking: parts that end with `picked`, locked rows with `pickedColumns` and their urgency; with limits also `looks`, the
  ///     lanes and queues they are of, and `rooms`.
  ///   - isExhausted: whether there is nothing behind these.
  static func claimSQL(picking: String, isExhausted: String, isLimited: Bool) -> String {
    """
    WITH now AS MATERIALIZED (
      SELECT coalesce($5::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
    ),
    \(picking)
    judged AS MATERIALIZED (
      SELECT o.*, CASE WHEN is_expired THEN 2 WHEN lost = 0 OR place_in_line <= $7::bigint THEN 1 ELSE 3 END AS kind
      FROM (
        SELECT p.*, now, coalesce(expiry_at <= now, false) AS is_expired,
          count(*) FILTER (WHERE expiry_at IS NULL OR expiry_at > now) OVER (ORDER BY urgency, available_at, id)
            AS place_in_line
        FROM picked p, now
      ) o
    ),
    taken AS (
      UPDATE task_runs r SET status = 3, claimable = false, expiry_at = NULL, attempt = j.attempt + 1,
        sequence = j.sequence + 1, started_sequence = j.sequence + 1, updated_at = j.now, started_at = j.now, worker = $8::text,
        token = $9::bigint, lease_until = j.now + least(j.lease_ms, j.timeout_ms), outcome = NULL, progress_percent = NULL,
        progress_message = NULL
      FROM judged j WHERE r.ctid = j.place AND j.kind = 1
      RETURNING r.id, r.lane, r.lease_until
    ),
    noted AS (
      INSERT INTO claims (check_at, token, tasks) SELECT min(lease_until), $9, array_agg(id) FROM taken HAVING count(*) > 0
    ),
    expired AS (
      UPDATE task_runs r SET status = 7, claimable = false, expiry_at = NULL, sequence = j.sequence + 1, updated_at = j.now,
        finished_at = j.now, reason = 5
      FROM judged j WHERE r.ctid = j.place AND j.kind = 2
      RETURNING r.id, r.lane, r.sequence, r.updated_at
    ),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause)
      SELECT id, sequence, 8, updated_at, 'scheduler', 'EXPIRED' FROM expired
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count)
      SELECT lane, 2, 3, count(*) FROM taken GROUP BY lane UNION ALL SELECT lane, 2, 7, count(*) FROM expired GROUP BY lane
    )\(isLimited ? ", spent AS (\(spendTokens))" : "")
    SELECT \(isExhausted), t.*
    FROM (SELECT 1) one LEFT JOIN (
      SELECT j.kind, j.id, j.lane, j.available_at, j.attempt + 1, j.max_attempts, j.ready_at, j.now,
        j.now + least(j.lease_ms, j.timeout_ms), j.timeout_ms, j.lease_ms, b.created_at, b.payload, b.run_at, b.tags,
        b.metadata, b.traceparent, j.blocked = 1, j.urgency
      FROM judged j JOIN task_bodies b ON b.id = j.id
      -- A row that changed under this statement's eyes is locked, but its new version is not ours to update.
      WHERE j.kind <> 1 OR j.id IN (SELECT id FROM taken)
    ) t ON true
    ORDER BY t.urgency, t.available_at, t.id
    """
  }

  static let claimedUnder = Statement(
    "claimed_under",
    """
    SELECT 1, r.id, r.lane, r.available_at, r.attempt, r.max_attempts, r.ready_at, r.started_at, r.lease_until, r.timeout_ms,
      r.lease_ms, b.created_at, b.payload, b.run_at, b.tags, b.metadata, b.traceparent, r.blocked = 1
    FROM claims c CROSS JOIN unnest(c.tasks) AS t(id)
      JOIN task_runs r ON r.id = t.id AND r.status = 3 AND r.token = c.token
      JOIN task_bodies b ON b.id = r.id
    WHERE c.token = $1::bigint
    ORDER BY r.available_at, r.id
    """)

  private static let bestOfAll = """
    best AS (
      SELECT l.lane
      FROM looks l CROSS JOIN LATERAL (
        SELECT r.available_at, r.id FROM task_runs r
        WHERE r.claimable AND r.lane = l.lane AND (r.available_at, r.id) > (l.since, l.since_id) AND \(isOurs)
        ORDER BY r.available_at, r.id LIMIT $6::bigint
      ) c
      ORDER BY l.urgency, c.available_at, c.id LIMIT $6
    ),
    quotas AS MATERIALIZED (
      SELECT lane, $6 AS quota FROM looks WHERE (SELECT count(*) FROM looks) = 1
      UNION ALL SELECT lane, count(*) FROM best WHERE (SELECT count(*) FROM looks) > 1 GROUP BY lane
    ),
    """

  // MARK: Within limits

  static let roomsOfLooks =
    "rooms AS MATERIALIZED (\(roomsSQL(queues: "SELECT DISTINCT queue FROM looks", now: "now"))),"

  /// The same, but of each queue no more than its room.
  private static let bestWithinRooms = """
    best AS (
      SELECT lane FROM (
        SELECT l.lane, l.urgency, c.available_at, c.id, o.room,
          row_number() OVER (PARTITION BY l.queue ORDER BY l.urgency, c.available_at, c.id) AS place
        FROM looks l JOIN rooms o ON o.queue = l.queue CROSS JOIN LATERAL (
          SELECT r.available_at, r.id FROM task_runs r
          WHERE r.claimable AND r.lane = l.lane AND (r.available_at, r.id) > (l.since, l.since_id) AND \(isOurs)
          ORDER BY r.available_at, r.id LIMIT least($6::bigint, o.room)
        ) c
      ) b
      WHERE place <= coalesce(room, $6) ORDER BY urgency, available_at, id LIMIT $6
    ),
    quotas AS MATERIALIZED (
      SELECT l.lane, least($6, o.room) AS quota FROM looks l JOIN rooms o ON o.queue = l.queue
      WHERE (SELECT count(*) FROM looks) = 1
      UNION ALL SELECT lane, count(*) FROM best WHERE (SELECT count(*) FROM looks) > 1 GROUP BY lane
    ),
    """

  private static let spendTokens = """
    UPDATE queue_buckets b SET tokens = o.tokens - t.count, counted_at = now
    FROM now, rooms o JOIN (
      SELECT l.queue, count(*) FROM taken JOIN looks l ON l.lane = taken.lane GROUP BY l.queue
    ) t ON t.queue = o.queue
    WHERE b.queue = o.queue AND o.tokens IS NOT NULL
    """
}
