// New tasks: one body row, one run row each, of any number in one statement. What has keys, dependencies and the like is written
// by statements of its own in the same round trip (`PostgresStore+SubmitLinked.swift`).

package import MartletCore

extension PostgresStore {
  package func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    guard submissions.contains(where: { !$0.tasks.isEmpty }) else {
      let now = try await now()
      return submissions.map { _ in .accepted(at: now) }
    }
    return try await repeating { isRepetition in
      var verdicts: [Int: SubmissionVerdict] = [:]
      var open = Array(submissions.indices)
      var conflicts = 0
      while !open.isEmpty {
        do {
          let turn = SubmissionTurn(of: open, submissions, deep: deepQueues)
          verdicts.merge(try await carryOut(turn, of: submissions, again: isRepetition)) { $1 }
        } catch let error where !verdicts.isEmpty {
          // Nothing was changed by this turn, but by the ones before.
          guard let failure = error as? PostgresFailure else {
            throw StoreError.unknownOutcome(String(describing: error))
          }
          guard failure.isConflict, conflicts < Self.mostConflicts else { throw failure.asPartOfMore }
          conflicts += 1
        }
        open.removeAll { verdicts[$0] != nil }
      }
      return submissions.indices.compactMap { verdicts[$0] }
    }
  }

  /// The verdicts that could be reached.
  private func carryOut(
    _ turn: SubmissionTurn, of submissions: [Submission], again: Bool
  ) async throws -> [Int: SubmissionVerdict] {
    // Nearly always one, or very many: no task of the one is copied.
    let plain =
      turn.plain.count == 1 ? submissions[turn.plain[0]].tasks : turn.plain.flatMap { submissions[$0].tasks }
    let others = turn.linked.map { submissions[$0] }
    let linked = LinkedTasks(others, replaced: try await replaced(in: others))
    let plainLanes = try await lanes(of: plain)
    let linkedLanes = try await lanes(of: linked.tasks.map(\.task))
    let told =
      plain.indices.filter { !plain[$0].notify.isEmpty }.map { plain[$0] }
      + linked.tasks.map(\.task).filter { !$0.notify.isEmpty }
    try await switchNoticesOn(for: told)
    let notes = noteReceivers(of: told) + notes(of: (turn.plain + turn.linked).map { submissions[$0] })
    let rows = try await insert(again: again) { again in
      (plain.isEmpty ? [] : [insertion(of: plain, plainLanes, again: again)])
        + (linked.tasks.isEmpty ? [] : insertion(of: linked, linkedLanes, again: again)) + notes
    }.dropLast(notes.count)
    var verdicts: [Int: SubmissionVerdict] = [:]
    if !plain.isEmpty {
      let told = try await accepted(turn.plain.map { submissions[$0] }, plain.count, plainLanes, rows[0])
      for (index, verdict) in zip(turn.plain, told) { verdicts[index] = verdict }
    }
    if !linked.tasks.isEmpty {
      let told = try judged(linked, linkedLanes, Array(rows.dropFirst(plain.isEmpty ? 0 : 1)))
      for (index, verdict) in zip(turn.linked, told) { verdicts[index] = verdict }
    }
    return verdicts
  }

  private func notes(of submissions: [Submission]) -> [Query] {
    submissions.compactMap { submission in
      guard let note = submission.note, let task = submission.tasks.first else { return nil }
      return writeAudit(note, ifStored: task.id)
    }
  }

  /// Ids are fresh, so nearly always none is there already. To insert without asking costs a third less; where one was there,
  /// nothing has been done, and it is done once more with asking.
  private func insert(
    again: Bool, _ queries: (_ again: Bool) -> [Query]
  ) async throws(PostgresFailure) -> [Rows] {
    if !again {
      do throws(PostgresFailure) {
        return try await pool.transaction(queries(false))
      } catch {
        guard case .refused(let state, _) = error, state == "23505" else { throw error }
      }
    }
    return try await pool.transaction(queries(true))
  }

  // MARK: Plain tasks

  private func insertion(of tasks: [AcceptedTask], _ lanes: [Int32], again: Bool) -> Query {
    Query(again ? Self.insertNewTasks : Self.insertTasks, parameters: parameters(tasks, lanes))
  }

  private func accepted(
    _ submissions: [Submission], _ count: Int, _ lanes: [Int32], _ rows: Rows
  ) async throws -> [SubmissionVerdict?] {
    let stored = rows.first { columns in
      (
        now: columns.int(), inserted: columns.int(), ready: columns.int(), due: columns.optionalInt(),
        knowsLanes: columns.bool(), deep: columns.texts()
      )
    }
    guard let stored else { throw UnreadableRow(what: "no answer to a submission") }
    guard stored.knowsLanes else { throw hasLostLanes() }
    guard stored.deep.isEmpty else {
      // Nothing was written: they have their turn among those that are judged.
      deepQueues.learn(stored.deep)
      return submissions.map { _ in nil }
    }
    if stored.ready > 0 {
      for lane in Set(lanes) { appeared(in: lane, at: stored.now) }
    }
    if let due = stored.due { bell.due(in: .milliseconds(max(0, due - stored.now))) }
    if stored.inserted == count { return submissions.map { _ in .accepted(at: Timestamp(milliseconds: stored.now)) } }
    return try await acceptances(of: submissions, now: Timestamp(milliseconds: stored.now))
  }

  /// The database is not the one that gave out these numbers: nothing was written.
  func hasLostLanes() -> PostgresFailure {
    book.forget()
    return .lost("the database has lost its lanes")
  }

  private static let insertTasks = Statement("insert_tasks", insertSQL(onConflict: ""))
  /// What is there already is left as it is.
  private static let insertNewTasks = Statement("insert_new_tasks", insertSQL(onConflict: "ON CONFLICT DO NOTHING"))

  /// The moment is one for all, and told to the caller.
  private static func insertSQL(onConflict: String) -> String {
    """
    WITH \(clock),
    lanes_known AS MATERIALIZED (\(lanesKnown)),
    input AS MATERIALIZED (
      SELECT i.*, now, greatest(now, least(coalesce(i.eligible_at, now + coalesce(i.delay, 0)), 253402300799999)) AS available_at
      FROM clock, lanes_known, unnest($2::uuid[], $3::integer[], $4::bytea[], $5::bigint[], $6::bigint[], $7::integer[], $8::integer[],
        $9::integer[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[],
        $17::uuid[], $18::text[])
        AS i(id, lane, payload, eligible_at, delay, retries, timeout_ms, lease_ms, backoff, delay_ms, run_at, expires_at,
          tags, metadata, traceparent, replay_of, submitted_by)
      WHERE lanes_known.are_all AND lanes_known.deep IS NULL
    ),
    bodies AS (
      INSERT INTO task_bodies (id, created_at, payload, retries, backoff, delay_ms, run_at, expires_at, tags, metadata,
        traceparent, replay_of, submitted_by)
      SELECT id, now, payload, retries, backoff, delay_ms, run_at, expires_at, tags, metadata, traceparent, replay_of,
        submitted_by
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
      are_all, deep
    FROM clock, lanes_known
    """
  }

  /// Whether the lanes are those that their numbers were given to; which of their queues have a `maxDepth`.
  static let lanesKnown = """
    SELECT count(*) = cardinality($19::integer[]) AS are_all, array_agg(d.queue) FILTER (WHERE d.queue IS NOT NULL) AS deep
    FROM unnest($19, $20::text[], $21::text[], $22::smallint[]) AS w(id, queue, type, urgency)
      JOIN lanes l ON l.id = w.id AND l.queue = w.queue AND l.type = w.type AND l.urgency = w.urgency
      LEFT JOIN LATERAL (
        SELECT s.queue::text FROM queue_settings s WHERE s.queue = l.queue AND s.max_depth IS NOT NULL LIMIT 1
      ) d ON true
    """

  /// Parameters 1 to 22 of each statement that inserts tasks. Column by column, each field read where it stands: a copy of a task
  /// is dear, and there are many columns.
  func parameters(_ tasks: [AcceptedTask], _ lanes: [Int32]) -> [PostgresValue] {
    let all = tasks.indices
    func sparse<Element>(_ value: (Int) -> Element?, _ array: ([Element?]) -> PostgresValue) -> PostgresValue {
      Self.sparse(all.map(value), array)
    }
    func absolute(_ index: Int) -> Int64? {
      if case .at(let time) = tasks[index].eligible { time.milliseconds } else { nil }
    }
    func relative(_ index: Int) -> Int64? {
      if case .after(let delay) = tasks[index].eligible { delay.wholeMilliseconds } else { nil }
    }
    let numbered = Dictionary(zip(lanes, all.map { LaneKey(tasks[$0]) })) { first, _ in first }
    return [
      nowParameter, .uuids(all.map { tasks[$0].id }), .int4s(lanes), .bytesArray(all.map { tasks[$0].payload }),
      sparse(absolute) { .int8s($0) }, sparse({ relative($0).map { min(max($0, 0), 1 << 50) } }) { .int8s($0) },
      .int4s(all.map { Int32(tasks[$0].retries) }),
      .int4s(all.map { Int32(clamping: tasks[$0].timeout.wholeMilliseconds) }),
      .int4s(all.map { Int32(clamping: tasks[$0].lease.wholeMilliseconds) }), .texts(backoffs(of: tasks)),
      sparse(relative) { .int8s($0) }, sparse({ tasks[$0].runAt }) { .times($0) },
      sparse({ tasks[$0].expiresAt }) { .times($0) }, sparse({ JSONColumn.strings(tasks[$0].tags) }) { .texts($0) },
      sparse({ JSONColumn.map(tasks[$0].metadata) }) { .texts($0) }, sparse({ tasks[$0].traceparent }) { .texts($0) },
      sparse({ tasks[$0].replayOf }) { .uuids($0) },
      sparse({ tasks[$0].submittedBy == Actor.api ? nil : tasks[$0].submittedBy.escaped }) { .texts($0) },
      .int4s(numbered.map(\.key)), .texts(numbered.map(\.value.queue)), .texts(numbered.map(\.value.type)),
      .int2s(numbered.map(\.value.urgency)),
    ]
  }

  /// A column that is NULL throughout is sent empty: unnest fills it up.
  static func sparse<Element>(_ values: [Element?], _ array: ([Element?]) -> PostgresValue) -> PostgresValue {
    array(values.contains { $0 != nil } ? values : [])
  }

  /// Nearly always the same policy: written as text once.
  private func backoffs(of tasks: [AcceptedTask]) -> [String] {
    var last: (policy: RetryPolicy, column: String)?
    return tasks.indices.map { index in
      if let last, last.policy == tasks[index].backoff { return last.column }
      let policy = tasks[index].backoff
      let column = policy.column
      last = (policy, column)
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

extension PostgresFailure {
  /// What it means for a call of which a part was committed.
  fileprivate var asPartOfMore: any Error {
    switch self {
    case .lost: return self
    case .unavailable(let reason): return PostgresFailure.lost(reason)
    case .refused: return StoreError.unknownOutcome(StoreError(self).message)
    }
  }
}
