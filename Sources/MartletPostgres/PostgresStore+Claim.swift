// Work given out. Each lane is one range of the index `task_runs_ready`, already in claim order. A quick look begins where this
// node's claims have come to, past all that was claimed and is not yet vacuumed away, so its cost knows neither the backlog
// nor an old snapshot that somebody holds open; a full look at every lane from its beginning finds, about once a second, what
// came late (decision 0008).

package import MartletCore

extension PostgresStore {
  package func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    var answers: [[ClaimedTask]] = []
    for request in requests {
      do throws(StoreError) {
        answers.append(try await repeating { isRepetition in try await claim(request, again: isRepetition) })
      } catch {
        // What was claimed is told, or it would wait for its leases to end.
        guard answers.contains(where: { !$0.isEmpty }) else { throw error }
        answers.append([])
      }
    }
    return answers
  }

  private func claim(_ request: ClaimRequest, again: Bool) async throws -> [ClaimedTask] {
    var claimed: [ClaimedTask] = []
    if again { claimed = try await claimedBefore(request) }
    while claimed.count < request.limit {
      let wanted = request.limit - claimed.count
      let free = max(0, request.limit - request.ahead - claimed.count)
      guard let look = try await look(for: request, wanted: wanted, free: free) else { break }
      claimed += look.claimed
      if !look.mayHaveMore { break }
    }
    return claimed
  }

  // MARK: Looks

  private struct Found {
    var claimed: [ClaimedTask] = []
    /// Places in the order of a lane were taken by tasks that could not be given out: there may be more behind them.
    var mayHaveMore = false
  }

  /// Nil: there is nowhere to look now.
  private func look(for request: ClaimRequest, wanted: Int, free: Int) async throws -> Found? {
    let looks = book.promising(for: request, withSuspects: free > 0)
    let epoch = book.epoch  // after the promises: forgotten between the two, they are looked for
    if let version = fullLooks.due(for: request, epoch: epoch) {
      let start = ContinuousClock.now
      let found = try await carryOut(fullLook(request, wanted: wanted, free: free), at: looks, for: request)
      fullLooks.done(version, for: request, epoch: epoch, took: ContinuousClock.now - start)
      return found
    }
    guard !looks.isEmpty else { return nil }
    return try await carryOut(quickLook(looks, request, wanted: wanted, free: free), at: looks, for: request)
  }

  private func quickLook(_ looks: [LaneBook.Look], _ request: ClaimRequest, wanted: Int, free: Int) -> Query {
    let lanes: [PostgresValue] = [
      .int4s(looks.map(\.lane)), .texts(looks.map(\.key.type)), .int8s(looks.map(\.since.availableAt)),
      .uuids(looks.map(\.since.id)),
    ]
    return Query(
      Self.claimQuickly,
      parameters: lanes + parameters(request, wanted: wanted, free: free) + [.texts(looks.map(\.key.queue))])
  }

  private func fullLook(_ request: ClaimRequest, wanted: Int, free: Int) -> Query {
    let lanes: [PostgresValue] = [
      .texts(request.types), .texts(request.queues), .bool(request.takesAllQueues), .bool(free > 0),
    ]
    return Query(Self.claimFully, parameters: lanes + parameters(request, wanted: wanted, free: free))
  }

  private func parameters(_ request: ClaimRequest, wanted: Int, free: Int) -> [PostgresValue] {
    [nowParameter, .int8(Int64(wanted)), .int8(Int64(free)), .text(request.worker), .int8(request.token)]
  }

  private func carryOut(
    _ query: Query, at looks: [LaneBook.Look], for request: ClaimRequest
  ) async throws -> Found {
    var isExhausted = true
    let rows = try await pool.run(query).map { columns in
      isExhausted = columns.bool()
      return try Picked(&columns)
    }.compactMap(\.self)
    var found = Found()
    var ends: [Int32: ClaimPosition] = [:]
    var passedOver: [Int32: ClaimPosition] = [:]
    for row in rows {
      // In claim order, so the last of a lane is the furthest.
      _ = try await knownKey(of: row.lane)
      ends[row.lane] = ClaimPosition(availableAt: row.availableAt, id: row.id)
      switch row.kind {
      case .taken:
        let key = try await knownKey(of: row.lane)
        found.claimed.append(try row.task(in: key, token: request.token))
      case .passedOver:
        if passedOver[row.lane] == nil {
          passedOver[row.lane] = ClaimPosition(before: row.availableAt)
        }
      case .expired: break
      }
    }
    book.looked(at: looks, foundUpTo: ends.merging(passedOver) { min($0, $1) }, restIsEmpty: isExhausted)
    found.mayHaveMore = found.claimed.count < rows.count
    return found
  }

  /// What was claimed is committed: not to be told of it is as if the answer had been lost.
  private func knownKey(of lane: Int32) async throws -> LaneKey {
    do {
      return try await key(of: lane)
    } catch let failure as PostgresFailure {
      throw PostgresFailure.lost("claimed, but \(failure)")
    }
  }

  /// What an earlier try of this very request was given: its token is in the claims that it made.
  private func claimedBefore(_ request: ClaimRequest) async throws -> [ClaimedTask] {
    let rows = try await pool.run(Query(Self.claimedUnder, .int8(request.token))).map { try Picked(&$0) }
      .compactMap(\.self)
    var claimed: [ClaimedTask] = []
    for row in rows { claimed.append(try row.task(in: try await key(of: row.lane), token: request.token)) }
    return claimed
  }
}

/// A row of the index that a look came upon, with its task.
private struct Picked {
  enum Kind: Int64 {
    case taken = 1
    case expired, passedOver
  }

  var kind: Kind
  var id: TaskID
  var lane: Int32
  var availableAt: Int64
  var attempt: Int
  var maxAttempts: Int
  var readyAt: Timestamp?
  var startedAt: Timestamp
  var leaseUntil: Timestamp
  var timeout: Duration
  var lease: Duration
  var createdAt: Timestamp
  var payload: [UInt8]
  var runAt: Timestamp?
  var tags: String?
  var metadata: String?
  var traceparent: String?

  /// Nil for the row that says that there is none.
  init?(_ columns: inout Columns) throws {
    guard let code = columns.optionalInt() else { return nil }
    kind = Kind(rawValue: code) ?? .passedOver
    id = columns.id()
    lane = Int32(columns.int())
    availableAt = columns.int()
    attempt = Int(columns.int())
    maxAttempts = Int(columns.int())
    readyAt = columns.optionalTime()
    startedAt = columns.time()
    leaseUntil = columns.time()
    timeout = columns.milliseconds()
    lease = columns.milliseconds()
    createdAt = columns.time()
    payload = columns.blob()
    runAt = columns.optionalTime()
    tags = columns.optionalText()
    metadata = columns.optionalText()
    traceparent = columns.optionalText()
  }

  func task(in key: LaneKey, token: Int64) throws -> ClaimedTask {
    ClaimedTask(
      lease: LeaseID(task: id, attempt: attempt, token: token), expiresAt: leaseUntil,
      expiresIn: leaseUntil - startedAt, type: key.type, queue: key.queue, payload: payload, priority: key.priority,
      maxAttempts: maxAttempts, timeout: timeout, leaseDuration: lease, createdAt: createdAt, runAt: runAt,
      availableAt: Timestamp(milliseconds: availableAt), startedAt: startedAt,
      readyAt: readyAt ?? Timestamp(milliseconds: availableAt), tags: try JSONColumn.strings(tags),
      metadata: try JSONColumn.map(metadata), traceparent: traceparent)
  }
}

// MARK: - SQL

extension PostgresStore {
  private static let claimQuickly = Statement(
    "claim_quickly",
    claimSQL(
      lanes: """
        SELECT w.lane, l.urgency, w.since, w.since_id
        FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::uuid[], $10::text[]) AS w(lane, type, since, since_id, queue)
          JOIN lanes l ON l.id = w.lane AND l.type = w.type AND l.queue = w.queue
        """))

  private static let claimFully = Statement(
    "claim_fully",
    claimSQL(
      lanes: """
        SELECT id AS lane, urgency, -9223372036854775807 AS since, '00000000-0000-0000-0000-000000000000'::uuid AS since_id
        FROM lanes WHERE type = ANY($1::text[]) AND (queue = ANY($2::text[]) OR $3::boolean) AND (NOT suspect OR $4::boolean)
        """))

  /// Over several lanes the best `wanted` are looked up first, without locks, to know how many to take of each; one lane is
  /// taken as it comes. What others hold locked is skipped, so two nodes never wait for each other and never get nothing
  /// while there is more.
  private static func claimSQL(lanes: String) -> String {
    """
    WITH now AS MATERIALIZED (
      SELECT coalesce($5::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
    ),
    lanes AS MATERIALIZED (\(lanes)),
    best AS (
      SELECT l.lane
      FROM lanes l CROSS JOIN LATERAL (
        SELECT r.available_at, r.id FROM task_runs r
        WHERE r.claimable AND r.lane = l.lane AND (r.available_at, r.id) > (l.since, l.since_id)
        ORDER BY r.available_at, r.id LIMIT $6::bigint
      ) c
      ORDER BY l.urgency, c.available_at, c.id LIMIT $6
    ),
    quotas AS MATERIALIZED (
      SELECT lane, $6 AS quota FROM lanes WHERE (SELECT count(*) FROM lanes) = 1
      UNION ALL SELECT lane, count(*) FROM best WHERE (SELECT count(*) FROM lanes) > 1 GROUP BY lane
    ),
    picked AS MATERIALIZED (
      SELECT p.*, l.urgency
      FROM quotas q JOIN lanes l ON l.lane = q.lane CROSS JOIN LATERAL (
        SELECT r.ctid AS place, r.id, r.lane, r.available_at, r.attempt, r.max_attempts, r.lost, r.sequence, r.ready_at,
          r.timeout_ms, r.lease_ms, r.expiry_at
        FROM task_runs r
        WHERE r.claimable AND r.lane = l.lane AND (r.available_at, r.id) > (l.since, l.since_id)
        ORDER BY r.available_at, r.id LIMIT q.quota FOR UPDATE OF r SKIP LOCKED
      ) p
    ),
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
    )
    -- What others hold locked is not missing: several lanes are exhausted when the look without locks found less than wanted.
    SELECT CASE WHEN (SELECT count(*) FROM lanes) = 1 THEN (SELECT count(*) FROM picked) ELSE (SELECT sum(quota) FROM quotas) END
        < $6, t.*
    FROM (SELECT 1) one LEFT JOIN (
      SELECT j.kind, j.id, j.lane, j.available_at, j.attempt + 1, j.max_attempts, j.ready_at, j.now,
        j.now + least(j.lease_ms, j.timeout_ms), j.timeout_ms, j.lease_ms, b.created_at, b.payload, b.run_at, b.tags,
        b.metadata, b.traceparent, j.urgency
      FROM judged j JOIN task_bodies b ON b.id = j.id
      -- A row that changed under this statement's eyes is locked, but its new version is not ours to update.
      WHERE j.kind <> 1 OR j.id IN (SELECT id FROM taken)
    ) t ON true
    ORDER BY t.urgency, t.available_at, t.id
    """
  }

  private static let claimedUnder = Statement(
    "claimed_under",
    """
    SELECT 1, r.id, r.lane, r.available_at, r.attempt, r.max_attempts, r.ready_at, r.started_at, r.lease_until, r.timeout_ms,
      r.lease_ms, b.created_at, b.payload, b.run_at, b.tags, b.metadata, b.traceparent
    FROM claims c CROSS JOIN unnest(c.tasks) AS t(id)
      JOIN task_runs r ON r.id = t.id AND r.status = 3 AND r.token = c.token
      JOIN task_bodies b ON b.id = r.id
    WHERE c.token = $1::bigint
    ORDER BY r.available_at, r.id
    """)
}
