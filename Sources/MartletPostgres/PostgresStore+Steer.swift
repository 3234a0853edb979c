// Commands from outside: cancel, retry, patch. These are the transitions that no other row tells, so each writes its events, with
// a number of its own in them: a command that is repeated because its answer was lost finds that it was carried out.

package import MartletCore

extension PostgresStore {
  package func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] {
    let numbered = commands.map { Command(steering: $0, number: Int64.random(in: .min ... .max)) }
    // Those that were carried out are so whatever becomes of the others.
    var verdicts: [Int: SteeringVerdict] = [:]
    do throws(StoreError) {
      try await repeating { isRepetition in
        var open = numbered.indices.filter { verdicts[$0] == nil }
        while !open.isEmpty {
          // The second command on a task is decided by what the first has made of it.
          var seen: Set<TaskID> = []
          let turn = open.filter { seen.insert(numbered[$0].task).inserted }
          for index in turn { verdicts[index] = try await carryOut(numbered[index], again: isRepetition) }
          open.removeAll { verdicts[$0] != nil }
        }
      }
    } catch {
      let isAnyDone = verdicts.values.contains { if case .done = $0 { true } else { false } }
      guard case .unavailable(let reason) = error, isAnyDone else { throw error }
      throw .unknownOutcome(reason)
    }
    return numbered.indices.map { verdicts[$0] ?? .notFound }
  }

  /// - Parameter again: an earlier try may have been committed, or be at it still.
  func carryOut(_ command: Command, again: Bool) async throws -> SteeringVerdict {
    for _ in 0..<Self.mostRounds {
      guard let row = try await waitingRow(command.task) else { return .notFound }
      // Behind the row: if that is what the earlier try has made of it, its event is there too.
      if again, try await isCarriedOut(command) { return try await done(command.task) }
      let (decision, query) = try await decide(command, row)
      guard decision != .illegal else { return .illegal(row.status) }
      guard let query else {
        guard let record = try await records([command.task]).first else { return .notFound }
        // Answered with the task that this was decided on: by now it may be another's work, even one that forbids the command.
        if Int64(record.sequence) == row.sequence { return .done(record) }
        continue
      }
      let read = Query(Self.readRecords, .bool(true), .bool(true), .uuids([command.task]))
      let rows = try await pool.transaction([query, settleEnded([command.task]), read])
      // Nothing written: it has moved since it was read, and is looked at once more.
      guard let lane = rows[0].first({ Int32($0.int()) }) else { continue }
      // It is committed: from here on nothing is asked of the database, which may fail.
      guard let record = try rows[2].first({ try TaskRecord(&$0) }) else { return .notFound }
      ring(for: Settled(rows[1]))
      if row.hasKey { isUnadmitted() }
      ring(for: record, in: lane, decision)
      return .done(record)
    }
    throw StoreError.unavailable("the task keeps changing")
  }

  private func isCarriedOut(_ command: Command) async throws(PostgresFailure) -> Bool {
    try await pool.run(Query(Self.findCommand, .uuid(command.task), .int8(command.number))).count > 0
  }

  private static let mostRounds = 20

  private func done(_ id: TaskID) async throws -> SteeringVerdict {
    try await records([id]).first.map { .done($0) } ?? .notFound
  }

  func decide(
    _ command: Command, _ row: WaitingRow
  ) async throws -> (SteeringDecision, Query?) {
    switch command.steering.action {
    case .cancel:
      let decision = SteeringDecision.cancel(row.status)
      switch decision {
      case .move: return (decision, Query(Self.cancelWaiting, parameters: fence(command, row) + [.uuid(command.bulk)]))
      case .requestCancel where !row.cancelRequested:
        return (decision, Query(Self.requestCancel, parameters: fence(command, row) + [.uuid(command.bulk)]))
      default: return (decision, nil)
      }
    case .retry:
      let decision = SteeringDecision.retry(row.status, waitsForOthers: row.unmet > 0)
      guard case .move(let status) = decision else { return (decision, nil) }
      return (
        decision,
        Query(
          Self.retryTask,
          parameters: fence(command, row) + [.int4(row.unmet), .int2(Int16(status.code)), .uuid(command.bulk)])
      )
    case .patch(let patch):
      let due = patch.available.map { $0.resolved(now: row.now) <= row.now }
      let decision = SteeringDecision.patch(row.status, due: due, waitsForOthers: row.unmet > 0)
      guard decision != .illegal, !patch.fields.isEmpty else { return (decision, nil) }
      return (decision, try await self.patch(patch, command, row, decision))
    }
  }

  private func patch(
    _ patch: TaskPatch, _ command: Command, _ row: WaitingRow, _ decision: SteeringDecision
  ) async throws -> Query {
    var status = row.status
    if case .move(let new) = decision { status = new }
    var lane: Int32?
    if let priority = patch.priority {
      var key = try await key(of: row.lane)
      key.urgency = Int16(10 - priority)
      lane = try await lanes(of: [key]).first
    }
    let available = patch.available?.resolved(now: row.now)
    return Query(
      Self.patchTask,
      parameters: fence(command, row) + [
        .int2(Int16(status.code)), .int4(lane), .time(available), .text(patch.fields.joined(separator: ",")),
        .bool(patch.tags != nil), .text(patch.tags.flatMap { JSONColumn.strings($0) }), .bool(patch.metadata != nil),
        .text(patch.metadata.flatMap { JSONColumn.map($0) }), .int4(row.unmet), .text(command.steering.note().detail),
      ])
  }

  /// Parameters 1 to 6 of each command's statement: the row must be as it was read.
  private func fence(_ command: Command, _ row: WaitingRow) -> [PostgresValue] {
    [
      nowParameter, .uuid(command.task), .int2(Int16(row.status.code)), .int4(Int32(clamping: row.sequence)),
      .text(command.steering.actor), .int8(command.number),
    ]
  }

  private func ring(for record: TaskRecord, in lane: Int32, _ decision: SteeringDecision) {
    switch record.status {
    case .ready: appeared(in: lane, at: record.availableAt.milliseconds)
    case .pending, .retry: bell.due(in: max(.zero, record.availableAt - record.updatedAt))
    case .running: if decision == .requestCancel { bell.cancelled(record.id) }
    case .success, .dead, .cancelled: break
    }
  }
}

struct Command: Sendable {
  var steering: Steering
  var number: Int64
  /// The job that it is a part of, claimed under `number`: it changes nothing unless that is so still, and the job has the audit.
  var bulk: TaskID?
  var task: TaskID { steering.task }
}

/// A row as far as a command's decision needs it.
struct WaitingRow: Sendable {
  var id: TaskID
  var now: Timestamp
  var lane: Int32
  var status: TaskStatus
  var sequence: Int64
  var cancelRequested: Bool
  /// Changes without an event, so that decisions which depend on it are fenced by it too.
  var unmet: Int32
  /// It waits for slots of its concurrency key, or has one.
  var hasKey: Bool

  init(_ columns: inout Columns) throws {
    id = columns.id()
    now = columns.time()
    lane = Int32(columns.int())
    status = try TaskStatus(code: columns.int())
    sequence = columns.int()
    cancelRequested = columns.bool()
    unmet = Int32(columns.int())
    hasKey = columns.bool()
  }
}

extension PostgresStore {
  private func waitingRow(_ id: TaskID) async throws -> WaitingRow? {
    try await pool.run(Query(Self.readWaiting, nowParameter, .uuid(id))).first { try WaitingRow(&$0) }
  }

  private static let readWaiting = Statement(
    "read_waiting",
    "WITH \(clock) SELECT id, now, lane, status, sequence, cancel_requested, unmet, blocked = 1 FROM clock, task_runs WHERE id = $2::uuid"
  )

  private static let findCommand = Statement(
    "find_command", "SELECT 1 FROM events WHERE task = $1::uuid AND command = $2::bigint LIMIT 1")

  // Each of the following answers the task's lane, or nothing where it has written nothing.

  private static let cancelWaiting = Statement(
    "cancel_waiting",
    """
    WITH \(clock),
    cancelled AS (
      UPDATE task_runs r SET status = 7, claimable = false, due_at = NULL, expiry_at = NULL, sequence = r.sequence + 1,
        updated_at = now, finished_at = now, reason = 4
      FROM clock WHERE r.id = $2::uuid AND r.status = $3::smallint AND r.sequence = $4::integer
        AND \(isHeld("$7", claim: "$6::bigint"))
      RETURNING r.id, r.lane, r.sequence, now
    ),
    audited AS (\(auditSQL(.cancelTask, of: "id::text", by: "$5::text", number: "$6::bigint", from: "cancelled WHERE $7::uuid IS NULL"))),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause, command)
      SELECT id, sequence, 8, now, $5::text, 'REQUESTED', $6::bigint FROM cancelled
    ),
    counted AS (INSERT INTO count_changes (lane, old, new, count) SELECT lane, $3, 7, 1 FROM cancelled)
    SELECT lane FROM cancelled
    """)

  private static let requestCancel = Statement(
    "request_cancel",
    """
    WITH \(clock),
    requested AS (
      UPDATE task_runs r SET cancel_requested = true, sequence = r.sequence + 1, updated_at = now
      FROM clock WHERE r.id = $2::uuid AND r.status = $3::smallint AND r.sequence = $4::integer
        AND \(isHeld("$7", claim: "$6::bigint"))
      RETURNING r.id, r.lane, r.sequence, now
    ),
    audited AS (\(auditSQL(.cancelTask, of: "id::text", by: "$5::text", number: "$6::bigint", from: "requested WHERE $7::uuid IS NULL"))),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause, command)
      SELECT id, sequence, 12, now, $5::text, 'cancel requested', $6::bigint FROM requested
    )
    SELECT lane FROM requested
    """)

  /// READY, or PENDING where it waits for others. The `ready` event that the run row tells is written down before something new takes its place there.
  private static let retryTask = Statement(
    "retry_task",
    """
    WITH \(clock),
    retried AS (
      UPDATE task_runs r SET status = $8::smallint, claimable = $8 = 2 AND r.blocked = 0, is_dead = false, due_at = NULL,
        expiry_at = NULL, sequence = r.sequence + CASE WHEN $8 = 2 THEN 2 ELSE 1 END, updated_at = now, available_at = now,
        ready_at = CASE WHEN $8 = 2 THEN now ELSE r.ready_at END, ready_sequence = 0,
        max_attempts = r.attempt + 1 + b.retries, cancel_requested = false, reason = NULL, finished_at = NULL
      FROM clock, task_runs o JOIN task_bodies b ON b.id = o.id
      WHERE o.id = $2::uuid AND r.id = o.id AND r.status = $3::smallint AND r.sequence = $4::integer AND r.unmet = $7::integer
        AND \(isHeld("$9", claim: "$6::bigint"))
      RETURNING r.id, r.lane, r.sequence, now, o.ready_sequence, o.ready_at, o.ready_by
    ),
    unlimited AS (UPDATE task_bodies b SET expires_at = NULL FROM retried WHERE b.id = retried.id AND b.expires_at IS NOT NULL),
    audited AS (\(auditSQL(.retryTask, of: "id::text", by: "$5::text", number: "$6::bigint", from: "retried WHERE $9::uuid IS NULL"))),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, command)
      SELECT id, ready_sequence, 2, ready_at, (ARRAY['api', 'scheduler'])[ready_by + 1], NULL FROM retried
        WHERE ready_sequence > 0
      UNION ALL SELECT id, sequence - CASE WHEN $8 = 2 THEN 1 ELSE 0 END, 11, now, $5::text, $6::bigint FROM retried
      UNION ALL SELECT id, sequence, 2, now, $5, $6 FROM retried WHERE $8 = 2
    ),
    counted AS (INSERT INTO count_changes (lane, old, new, count) SELECT lane, $3, $8, 1 FROM retried)
    SELECT lane FROM retried
    """)

  private static let patchTask = Statement(
    "patch_task",
    """
    WITH \(clock),
    patched AS (
      UPDATE task_runs r SET status = $7::smallint, claimable = $7 = 2 AND (r.blocked = 0 OR r.claimable),
        sequence = r.sequence + CASE WHEN $7 = 2 AND $3 <> 2 THEN 2 ELSE 1 END, updated_at = now,
        lane = coalesce($8::integer, r.lane), available_at = coalesce($9::bigint, r.available_at),
        due_at = CASE WHEN $7 IN (1, 4) AND r.unmet = 0 THEN coalesce($9, r.available_at) END,
        ready_at = CASE WHEN $7 = 2 AND $3 <> 2 THEN now ELSE r.ready_at END, ready_sequence = 0
      FROM clock, task_runs o
      WHERE o.id = $2::uuid AND r.id = o.id AND r.status = $3::smallint AND r.sequence = $4::integer AND r.unmet = $15::integer
      RETURNING r.id, r.lane, r.sequence, now, o.lane AS old_lane, o.ready_sequence, o.ready_at, o.ready_by,
        CASE WHEN $7 = 2 AND $3 <> 2 THEN 1 ELSE 0 END AS becomes_ready
    ),
    described AS (
      UPDATE task_bodies b SET tags = CASE WHEN $11::boolean THEN $12::text ELSE b.tags END,
        metadata = CASE WHEN $13::boolean THEN $14::text ELSE b.metadata END
      FROM patched WHERE b.id = patched.id AND ($11 OR $13)
    ),
    audited AS (\(auditSQL(.patchTask, of: "id::text", by: "$5::text", detail: "$16::text", number: "$6::bigint", from: "patched"))),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause, command)
      SELECT id, ready_sequence, 2, ready_at, (ARRAY['api', 'scheduler'])[ready_by + 1], NULL, NULL FROM patched
        WHERE ready_sequence > 0
      UNION ALL SELECT id, sequence - becomes_ready, 12, now, $5::text, $10::text, $6::bigint FROM patched
      UNION ALL SELECT id, sequence, 2, now, $5, NULL, $6 FROM patched WHERE becomes_ready = 1
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count)
      SELECT lane, $3, $7, 1 FROM patched WHERE lane = old_lane AND $3 <> $7
      UNION ALL SELECT old_lane, $3, 0, 1 FROM patched WHERE lane <> old_lane
      UNION ALL SELECT lane, 0, $7, 1 FROM patched WHERE lane <> old_lane
    )
    SELECT lane FROM patched
    """)
}
