// New tasks: one body row, one run row each, of any number in one statement.

package import MartletCore

extension PostgresStore {
  package func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    let tasks = submissions.flatMap(\.tasks)
    guard !tasks.isEmpty else {
      let now = try await now()
      return submissions.map { _ in .accepted(at: now) }
    }
    return try await repeating { isRepetition in
      let lanes = try await lanes(of: tasks)
      let rows = try await insert(parameters(tasks, lanes), again: isRepetition)
      let stored = rows.map { columns in
        (
          now: columns.int(), inserted: columns.int(), ready: columns.int(), due: columns.optionalInt(),
          knowsLanes: columns.bool()
        )
      }
      guard let stored = stored.first else { throw UnreadableRow(what: "no answer to a submission") }
      guard stored.knowsLanes else {
        // The database is not the one that gave out these numbers: nothing was written.
        book.forget()
        throw PostgresFailure.lost("the database has lost its lanes")
      }
      if stored.ready > 0 {
        for lane in Set(lanes) { appeared(in: lane, at: stored.now) }
      }
      if let due = stored.due { bell.due(in: .milliseconds(max(0, due - stored.now))) }
      if stored.inserted == tasks.count {
        return submissions.map { _ in .accepted(at: Timestamp(milliseconds: stored.now)) }
      }
      return try await acceptances(of: submissions, now: Timestamp(milliseconds: stored.now))
    }
  }

  /// Ids are fresh, so nearly always none is there already. To insert without asking costs a third less; where one was there,
  /// nothing has been done, and it is done once more with asking.
  private func insert(_ parameters: [PostgresValue], again: Bool) async throws(PostgresFailure) -> Rows {
    if !again {
      do throws(PostgresFailure) {
        return try await pool.run(Query(Self.insertTasks, parameters: parameters))
      } catch {
        guard case .refused(let state, _) = error, state == "23505" else { throw error }
      }
    }
    return try await pool.run(Query(Self.insertNewTasks, parameters: parameters))
  }

  private static let insertTasks = Statement("insert_tasks", insertSQL(onConflict: ""))
  /// What is there already is left as it is.
  private static let insertNewTasks = Statement("insert_new_tasks", insertSQL(onConflict: "ON CONFLICT DO NOTHING"))

  /// The moment is one for all, and told to the caller.
  private static func insertSQL(onConflict: String) -> String {
    """
    WITH \(clock),
    lanes_known AS MATERIALIZED (
      SELECT count(*) = cardinality($18::integer[]) AS are_all
      FROM unnest($18, $19::text[], $20::text[], $21::smallint[]) AS w(id, queue, type, urgency)
        JOIN lanes l ON l.id = w.id AND l.queue = w.queue AND l.type = w.type AND l.urgency = w.urgency
    ),
    input AS MATERIALIZED (
      SELECT i.*, now, greatest(now, least(coalesce(i.eligible_at, now + coalesce(i.delay, 0)), 253402300799999)) AS available_at
      FROM clock, lanes_known, unnest($2::uuid[], $3::integer[], $4::bytea[], $5::bigint[], $6::bigint[], $7::integer[], $8::integer[],
        $9::integer[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[],
        $17::uuid[])
        AS i(id, lane, payload, eligible_at, delay, retries, timeout_ms, lease_ms, backoff, delay_ms, run_at, expires_at,
          tags, metadata, traceparent, replay_of)
      WHERE lanes_known.are_all
    ),
    bodies AS (
      INSERT INTO task_bodies (id, created_at, payload, retries, backoff, delay_ms, run_at, expires_at, tags, metadata,
        traceparent, replay_of)
      SELECT id, now, payload, retries, backoff, delay_ms, run_at, expires_at, tags, metadata, traceparent, replay_of
      FROM input \(onConflict)
    ),
    runs AS (
      INSERT INTO task_runs (id, lane, status, claimable, available_at, due_at, expiry_at, updated_at, ready_at, max_attempts,
        sequence, ready_sequence, timeout_ms, lease_ms)
      SELECT id, lane, CASE WHEN available_at > now THEN 1 ELSE 2 END, available_at <= now, available_at,
        CASE WHEN available_at > now THEN available_at END, expires_at, now, CASE WHEN available_at <= now THEN now END,
        retries + 1, CASE WHEN available_at > now THEN 1 ELSE 2 END, CASE WHEN available_at > now THEN 0 ELSE 2 END,
        timeout_ms, lease_ms
      FROM input \(onConflict)
      RETURNING lane, status, due_at
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count) SELECT lane, 0, status, count(*) FROM runs GROUP BY lane, status
    )
    SELECT now, (SELECT count(*) FROM runs), (SELECT count(*) FROM runs WHERE status = 2), (SELECT min(due_at) FROM runs),
      are_all
    FROM clock, lanes_known
    """
  }

  private func parameters(_ tasks: [AcceptedTask], _ lanes: [Int32]) -> [PostgresValue] {
    // A column that is NULL throughout is sent empty: unnest fills it up.
    func sparse<Element>(
      _ value: (AcceptedTask) -> Element?, _ array: ([Element?]) -> PostgresValue
    ) -> PostgresValue {
      let values = tasks.map(value)
      return array(values.contains { $0 != nil } ? values : [])
    }
    func absolute(_ task: AcceptedTask) -> Int64? {
      if case .at(let time) = task.eligible { time.milliseconds } else { nil }
    }
    func relative(_ task: AcceptedTask) -> Int64? {
      if case .after(let delay) = task.eligible { delay.wholeMilliseconds } else { nil }
    }
    let numbered = Dictionary(zip(lanes, tasks.map { LaneKey($0) })) { first, _ in first }
    return [
      nowParameter, .uuids(tasks.map(\.id)), .int4s(lanes), .bytesArray(tasks.map(\.payload)),
      sparse(absolute) { .int8s($0) }, sparse({ relative($0).map { min(max($0, 0), 1 << 50) } }) { .int8s($0) },
      .int4s(tasks.map { Int32($0.retries) }), .int4s(tasks.map { Int32(clamping: $0.timeout.wholeMilliseconds) }),
      .int4s(tasks.map { Int32(clamping: $0.lease.wholeMilliseconds) }), .texts(backoffs(of: tasks)),
      sparse(relative) { .int8s($0) }, sparse(\.runAt) { .times($0) }, sparse(\.expiresAt) { .times($0) },
      sparse({ JSONColumn.strings($0.tags) }) { .texts($0) }, sparse({ JSONColumn.map($0.metadata) }) { .texts($0) },
      sparse(\.traceparent) { .texts($0) }, sparse(\.replayOf) { .uuids($0) },
      .int4s(numbered.map(\.key)), .texts(numbered.map(\.value.queue)), .texts(numbered.map(\.value.type)),
      .int2s(numbered.map(\.value.urgency)),
    ]
  }

  /// Nearly always the same policy: written as text once.
  private func backoffs(of tasks: [AcceptedTask]) -> [String] {
    var last: (policy: RetryPolicy, column: String)?
    return tasks.map { task in
      if let last, last.policy == task.backoff { return last.column }
      let column = task.backoff.column
      last = (task.backoff, column)
      return column
    }
  }

  /// Some were there: each submission is answered with the time at which its tasks were accepted.
  private func acceptances(of submissions: [Submission], now: Timestamp) async throws -> [SubmissionVerdict] {
    let firsts = submissions.compactMap(\.tasks.first?.id)
    let rows = try await pool.run(Query(Self.acceptedAt, .uuids(firsts)))
    let times = Dictionary(rows.map { ($0.id(), $0.time()) }, uniquingKeysWith: { first, _ in first })
    return submissions.map { submission in
      .accepted(at: submission.tasks.first.flatMap { times[$0.id] } ?? now)
    }
  }

  private static let acceptedAt = Statement(
    "accepted_at", "SELECT id, created_at FROM task_bodies WHERE id = ANY($1::uuid[])")
}
