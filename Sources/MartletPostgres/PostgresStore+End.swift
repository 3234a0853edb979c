// Attempts that end other than plainly, by a report or by the rescuer: read, decided, written where nothing has moved.

internal import MartletCore

/// Why an attempt ends.
enum Ending {
  case reported(Finish)
  /// The rescuer's, which has read the row already.
  case rescued(RunningRow, isTimedOut: Bool, randomness: Double)

  var lease: LeaseID {
    switch self {
    case .reported(let finish): finish.lease
    case .rescued(let row, _, _): row.lease
    }
  }

  var outcome: Outcome {
    switch self {
    case .reported(let finish): finish.outcome
    case .rescued(_, let isTimedOut, _): isTimedOut ? .timedOut : .lost
    }
  }

  var randomness: Double {
    switch self {
    case .reported(let finish): finish.randomness
    case .rescued(_, _, let randomness): randomness
    }
  }

  var logs: [String] {
    if case .reported(let finish) = self { keptLogs(finish.logs) } else { [] }
  }

  var result: [UInt8]? {
    if case .reported(let finish) = self { finish.result } else { nil }
  }

  /// The rescuer ends a lease only as it has seen it: a renewal meanwhile keeps it.
  var leaseUntil: Timestamp? {
    if case .rescued(let row, _, _) = self { row.leaseUntil } else { nil }
  }
}

/// A RUNNING row, as far as decisions need it.
struct RunningRow {
  var lease: LeaseID
  var lane: Int32
  var sequence: Int64
  var leaseUntil: Timestamp
  var decision: Transition.Running

  /// Reads `columnList`.
  init(_ columns: inout Columns) throws {
    lease = LeaseID(task: columns.id(), attempt: Int(columns.int()), token: columns.int())
    lane = Int32(columns.int())
    sequence = columns.int()
    leaseUntil = columns.time()
    decision = Transition.Running(
      attempt: lease.attempt, maxAttempts: Int(columns.int()), retries: Int(columns.int()),
      backoff: try RetryPolicy(column: columns.text()), cancelRequested: columns.bool())
  }

  /// Of `task_runs r` and `task_bodies b`.
  static let columnList =
    "r.id, r.attempt, r.token, r.lane, r.sequence, r.lease_until, r.max_attempts, b.retries, b.backoff, r.cancel_requested"
}

extension PostgresStore {
  /// Ends attempts of distinct tasks, given in order of their ids, and with them the plain successes; what became of each that
  /// was ended. Whoever waits for one of them is settled, and `after` carried out, in the same transaction.
  func endAll(_ endings: [Ending], beside plain: [Finish] = [], after: [Query] = []) async throws -> [TaskID:
    TaskStatus]
  {
    var applied: [TaskID: TaskStatus] = [:]
    var open = endings
    for round in 0..<Self.mostRounds where round == 0 || !open.isEmpty {
      let decided = try await decide(open)
      var queries = [write(decided)]
      if round == 0, !plain.isEmpty { queries.append(succeed(plain)) }
      let final = decided.filter(\.transition.status.isFinal).map(\.ending.lease.task)
      let settling = final.isEmpty ? nil : queries.count
      if settling != nil { queries.append(settleEnded(final)) }
      if round == 0 { queries += after }
      let rows = try await pool.transaction(queries)
      let now = rows[0].first { $0.int() } ?? 0
      let rowsWritten = rows[0].map { columns in
        _ = columns.int()
        return (id: columns.id(), hasKey: columns.bool(), lane: Int32(columns.int()))
      }
      let written = Set(rowsWritten.map(\.id))
      if rowsWritten.contains(where: \.hasKey) { isUnadmitted() }
      self.ended(in: Set(rowsWritten.map(\.lane)))
      if round == 0, !plain.isEmpty { applied.merge(succeeded(rows[1])) { $1 } }
      let ended = decided.filter { written.contains($0.ending.lease.task) }
      for item in ended { applied[item.ending.lease.task] = item.transition.status }
      ring(for: ended, at: now)
      if let settling { ring(for: Settled(rows[settling])) }
      // What moved between reading and writing is looked at once more; what is nobody's lease any longer is not.
      open = decided.filter { $0.row != nil && !written.contains($0.ending.lease.task) && $0.ending.leaseUntil == nil }
        .map(\.ending)
    }
    guard open.isEmpty else { throw StoreError.unavailable("the tasks reported on keep changing") }
    return applied
  }

  private static let mostRounds = 5

  private struct Decided {
    var ending: Ending
    /// Nil for a success, which nothing that is in the row could change.
    var row: RunningRow?
    /// Where a task goes that has lost a worker; nil leaves it where it is.
    var newLane: Int32?
    var transition: Transition
    var events: Int

    init(_ ending: Ending, row: RunningRow?, transition: Transition) {
      self.ending = ending
      self.row = row
      self.transition = transition
      events = transition.events(outcome: ending.outcome.attemptOutcome).count
    }
  }

  /// Only those whose leases stand, as far as that is known yet.
  private func decide(_ endings: [Ending]) async throws -> [Decided] {
    var decided = try await decideAlone(endings)
    for index in decided.indices where decided[index].ending.outcome == .lost {
      guard let row = decided[index].row else { continue }
      var key = try await key(of: row.lane)
      key.isSuspect = true
      decided[index].newLane = try await lanes(of: [key]).first
    }
    return decided
  }

  private func decideAlone(_ endings: [Ending]) async throws -> [Decided] {
    let undecided = endings.filter { $0.leaseUntil == nil && !$0.outcome.isSuccess }.map(\.lease)
    var rows: [LeaseID: RunningRow] = [:]
    if !undecided.isEmpty {
      let found = try await pool.run(
        Query(
          Self.readRunning, .uuids(undecided.map(\.task)), .int4s(undecided.map { Int32(clamping: $0.attempt) }),
          .int8s(undecided.map(\.token))))
      for row in try found.map({ try RunningRow(&$0) }) { rows[row.lease] = row }
    }
    return endings.compactMap { ending in
      if ending.outcome.isSuccess {
        return Decided(
          ending, row: nil, transition: Transition.after(ending.outcome, of: .any, randomness: ending.randomness))
      }
      let row: RunningRow? = if case .rescued(let row, _, _) = ending { row } else { rows[ending.lease] }
      return row.map {
        Decided(
          ending, row: $0, transition: Transition.after(ending.outcome, of: $0.decision, randomness: ending.randomness))
      }
    }
  }

  private func write(_ decided: [Decided]) -> Query {
    let errors = decided.map(\.ending.outcome.error)
    let delays = decided.map { item -> Int64? in
      guard case .after(let delay)? = item.transition.eligible else { return item.transition.eligible == nil ? nil : 0 }
      return min(max(0, delay.wholeMilliseconds), 1 << 50)
    }
    return Query(
      Self.endDecided,
      parameters: [
        nowParameter, .uuids(decided.map(\.ending.lease.task)),
        .int4s(decided.map { Int32(clamping: $0.ending.lease.attempt) }), .int8s(decided.map(\.ending.lease.token)),
        .int4s(decided.map { $0.row.map { Int32(clamping: $0.sequence) } }), .times(decided.map(\.ending.leaseUntil)),
        .int2s(decided.map { Int16($0.transition.status.code) }),
        .int2s(decided.map { Int16($0.ending.outcome.attemptOutcome.code) }),
        .int2s(decided.map { $0.transition.reason.map { Int16($0.code) } }), .int4s(decided.map { Int32($0.events) }),
        .int8s(delays), .int4s(decided.map { Int32($0.transition.addedAttempts) }),
        .texts(errors.map { $0?.type.escaped }), .texts(errors.map { $0?.message.escaped }),
        .texts(errors.map { $0?.stack?.escaped }),
        .texts(decided.map { JSONColumn.strings($0.ending.logs) }),
      ] + Self.results(of: decided.map(\.ending.result)) + [.int4s(decided.map(\.newLane))])
  }

  private func ring(for decided: [Decided], at now: Int64) {
    for item in decided {
      switch item.transition.status {
      case .ready: if let lane = item.newLane ?? item.row?.lane { appeared(in: lane, at: now) }
      case .pending, .retry:
        if case .after(let delay)? = item.transition.eligible { bell.due(in: delay) } else { bell.due(in: .zero) }
      case .running, .success, .dead, .cancelled: break
      }
    }
  }

  private static let readRunning = Statement(
    "read_running",
    """
    SELECT \(RunningRow.columnList)
    FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS i(id, attempt, token)
      JOIN task_runs r ON r.id = i.id AND r.status = 3 AND r.attempt = i.attempt AND r.token = i.token
      JOIN task_bodies b ON b.id = r.id
    """)

  /// `o` is the row as it was read when the statement began: the update forgets what the attempt's own row shall tell.
  private static let endDecided = Statement(
    "end_decided",
    """
    WITH \(clock),
    input AS MATERIALIZED (
      SELECT * FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::integer[], $6::bigint[], $7::smallint[],
        $8::smallint[], $9::smallint[], $10::integer[], $11::bigint[], $12::integer[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::bytea[], $18::boolean[], $19::integer[])
        AS i(id, attempt, token, sequence, lease_until, status, outcome, reason, events, delay, added, error_type,
          error_message, error_stack, logs, result, truncated, lane)
    ),
    ended AS (
      UPDATE task_runs r SET status = i.status, claimable = i.status = 2 AND r.blocked = 0, is_dead = i.status = 6,
        lane = coalesce(i.lane, r.lane),
        sequence = r.sequence + i.events, updated_at = now, outcome = i.outcome, reason = i.reason,
        finished_at = CASE WHEN i.status >= 5 THEN now END,
        available_at = CASE WHEN i.delay IS NULL THEN r.available_at ELSE least(now + i.delay, 253402300799999) END,
        due_at = CASE WHEN i.status IN (1, 4) AND r.unmet = 0 THEN least(now + i.delay, 253402300799999) END,
        max_attempts = r.max_attempts + i.added, lost = r.lost + CASE WHEN i.outcome = 4 THEN 1 ELSE 0 END,
        ready_at = CASE WHEN i.status = 2 THEN now ELSE r.ready_at END, ready_sequence = 0, started_sequence = 0,
        lease_until = NULL
      FROM clock, input i JOIN task_runs o ON o.id = i.id
      WHERE r.id = i.id AND r.status = 3 AND r.attempt = i.attempt AND r.token = i.token
        AND (i.sequence IS NULL OR r.sequence = i.sequence)
        AND (i.lease_until IS NULL OR (r.lease_until = i.lease_until AND r.lease_until <= now))
      RETURNING r.id, r.lane, r.blocked, o.lane AS old_lane, r.status, i.attempt, i.token, i.outcome, i.reason, i.lease_until IS NOT NULL AS rescued,
        i.error_type, i.error_message, i.error_stack, i.logs, i.result, i.truncated, r.sequence - i.events + 1 AS told,
        now, o.ready_by, o.ready_at, o.ready_sequence, o.started_at, o.started_sequence, o.worker
    ),
    written AS (
      INSERT INTO attempts (task, number, token, ready_by, ready_at, ready_sequence, started_at, started_sequence, finished_at,
        finished_sequence, outcome, status_after, reason, rescued, worker, error_type, error_message, error_stack, logs)
      SELECT id, attempt, token, ready_by, ready_at, ready_sequence, started_at, started_sequence, now, told, outcome, status,
        reason, rescued, worker, error_type, error_message, error_stack, logs
      FROM ended
    ),
    kept AS (
      INSERT INTO results (task, result, truncated) SELECT id, result, truncated FROM ended WHERE truncated IS NOT NULL
      ON CONFLICT (task) DO UPDATE SET result = excluded.result, truncated = excluded.truncated
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count)
      SELECT lane, 3, status, count(*) FROM ended WHERE lane = old_lane GROUP BY lane, status
      UNION ALL SELECT old_lane, 3, 0, count(*) FROM ended WHERE lane <> old_lane GROUP BY old_lane
      UNION ALL SELECT lane, 0, status, count(*) FROM ended WHERE lane <> old_lane GROUP BY lane, status
    )
    SELECT now, id, blocked = 1, lane FROM ended
    """)
}

extension Outcome {
  fileprivate var isSuccess: Bool {
    if case .success = self { true } else { false }
  }
}

extension Transition.Running {
  /// For outcomes that decide alone.
  fileprivate static let any = Transition.Running(
    attempt: 1, maxAttempts: 1, retries: 0, backoff: RetryPolicy(), cancelRequested: false)
}
