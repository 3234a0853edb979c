// Commands from outside: cancel, retry, patch. These are the transitions that no other row tells, so each writes its events, with
// a number of its own in them: a command that is repeated because its answer was lost finds that it was carried out.

package import MartletCore

extension PostgresStore {
  package func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] {
    let numbered = commands.map { Command(steering: $0, number: Int64.random(in: .min ... .max)) }
    return try await repeating { isRepetition in
      var verdicts: [Int: SteeringVerdict] = [:]
      var open = Array(numbered.indices)
      while !open.isEmpty {
        // The second command on a task is decided by what the first has made of it.
        var seen: Set<TaskID> = []
        let turn = open.filter { seen.insert(numbered[$0].task).inserted }
        for index in turn { verdicts[index] = try await carryOut(numbered[index], again: isRepetition) }
        open.removeAll { verdicts[$0] != nil }
      }
      return numbered.indices.map { verdicts[$0] ?? .notFound }
    }
  }

  private func carryOut(_ command: Command, again: Bool) async throws -> SteeringVerdict {
    if again, try await pool.run(Query(Self.findCommand, .uuid(command.task), .int8(command.number))).count > 0 {
      return try await done(command.task)
    }
    for _ in 0..<Self.mostRounds {
      guard let row = try await waitingRow(command.task) else { return .notFound }
      let (decision, query) = try await decide(command, row)
      guard decision != .illegal else { return .illegal(row.status) }
      guard let query else { return try await done(command.task) }
      let rows = try await pool.transaction([
        query, Query(Self.readRecords, .bool(true), .bool(true), .uuids([command.task])),
      ])
      // Nothing written: it has moved since it was read, and is looked at once more.
      guard rows[0].count > 0 else { continue }
      guard let record = try rows[1].first({ try TaskRecord(&$0) }) else { return .notFound }
      try await ring(for: record, decision)
      return .done(record)
    }
    throw StoreError.unavailable("the task keeps changing")
  }

  private static let mostRounds = 20

  private func done(_ id: TaskID) async throws -> SteeringVerdict {
    try await records([id]).first.map { .done($0) } ?? .notFound
  }

  private func decide(
    _ command: Command, _ row: WaitingRow
  ) async throws -> (SteeringDecision, Query?) {
    switch command.steering.action {
    case .cancel:
      let decision = SteeringDecision.cancel(row.status)
      switch decision {
      case .move: return (decision, Query(Self.cancelWaiting, parameters: fence(command, row)))
      case .requestCancel where !row.cancelRequested:
        return (decision, Query(Self.requestCancel, parameters: fence(command, row)))
      default: return (decision, nil)
      }
    case .retry:
      let decision = SteeringDecision.retry(row.status)
      guard case .move = decision else { return (decision, nil) }
      return (decision, Query(Self.retryTask, parameters: fence(command, row)))
    case .patch(let patch):
      let due = patch.available.map { $0.resolved(now: row.now) <= row.now }
      let decision = SteeringDecision.patch(row.status, due: due)
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
        .text(patch.metadata.flatMap { JSONColumn.map($0) }),
      ])
  }

  /// Parameters 1 to 6 of each command's statement: the row must be as it was read.
  private func fence(_ command: Command, _ row: WaitingRow) -> [PostgresValue] {
    [
      nowParameter, .uuid(command.task), .int2(Int16(row.status.code)), .int4(Int32(clamping: row.sequence)),
      .text(command.steering.actor), .int8(command.number),
    ]
  }

  private func ring(for record: TaskRecord, _ decision: SteeringDecision) async throws {
    switch record.status {
    case .ready:
      let lane = try await pool.run(Query(Self.readLane, .uuid(record.id))).first { Int32($0.int()) }
      if let lane { appeared(in: lane, at: record.availableAt.milliseconds) }
    case .pending, .retry: bell.due(in: max(.zero, record.availableAt - record.updatedAt))
    case .running: if decision == .requestCancel { bell.cancelled(record.id) }
    case .success, .dead, .cancelled: break
    }
  }
}

private struct Command: Sendable {
  var steering: Steering
  var number: Int64
  var task: TaskID { steering.task }
}

/// A row as far as a command's decision needs it.
private struct WaitingRow {
  var now: Timestamp
  var lane: Int32
  var status: TaskStatus
  var sequence: Int64
  var cancelRequested: Bool
}

extension PostgresStore {
  private func waitingRow(_ id: TaskID) async throws -> WaitingRow? {
    try await pool.run(Query(Self.readWaiting, nowParameter, .uuid(id))).first { columns in
      WaitingRow(
        now: columns.time(), lane: Int32(columns.int()), status: try TaskStatus(code: columns.int()),
        sequence: columns.int(), cancelRequested: columns.bool())
    }
  }

  private static let readWaiting = Statement(
    "read_waiting",
    "WITH \(clock) SELECT now, lane, status, sequence, cancel_requested FROM clock, task_runs WHERE id = $2::uuid")

  private static let readLane = Statement("read_lane", "SELECT lane FROM task_runs WHERE id = $1::uuid")

  private static let findCommand = Statement(
    "find_command", "SELECT 1 FROM events WHERE task = $1::uuid AND command = $2::bigint LIMIT 1")

  private static let cancelWaiting = Statement(
    "cancel_waiting",
    """
    WITH \(clock),
    cancelled AS (
      UPDATE task_runs r SET status = 7, claimable = false, due_at = NULL, expiry_at = NULL, sequence = r.sequence + 1,
        updated_at = now, finished_at = now, reason = 4
      FROM clock WHERE r.id = $2::uuid AND r.status = $3::smallint AND r.sequence = $4::integer
      RETURNING r.id, r.lane, r.sequence, now
    ),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause, command)
      SELECT id, sequence, 8, now, $5::text, 'REQUESTED', $6::bigint FROM cancelled
    ),
    counted AS (INSERT INTO count_changes (lane, old, new, count) SELECT lane, $3, 7, 1 FROM cancelled)
    SELECT id FROM cancelled
    """)

  private static let requestCancel = Statement(
    "request_cancel",
    """
    WITH \(clock),
    requested AS (
      UPDATE task_runs r SET cancel_requested = true, sequence = r.sequence + 1, updated_at = now
      FROM clock WHERE r.id = $2::uuid AND r.status = $3::smallint AND r.sequence = $4::integer
      RETURNING r.id, r.sequence, now
    ),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause, command)
      SELECT id, sequence, 12, now, $5::text, 'cancel requested', $6::bigint FROM requested
    )
    SELECT id FROM requested
    """)

  /// The `ready` event that the run row tells is written down before something new takes its place there.
  private static let retryTask = Statement(
    "retry_task",
    """
    WITH \(clock),
    retried AS (
      UPDATE task_runs r SET status = 2, claimable = r.blocked = 0, is_dead = false, due_at = NULL, expiry_at = NULL,
        sequence = r.sequence + 2, updated_at = now, available_at = now, ready_at = now, ready_sequence = 0,
        max_attempts = r.attempt + 1 + b.retries, cancel_requested = false, reason = NULL, finished_at = NULL
      FROM clock, task_runs o JOIN task_bodies b ON b.id = o.id
      WHERE o.id = $2::uuid AND r.id = o.id AND r.status = $3::smallint AND r.sequence = $4::integer
      RETURNING r.id, r.lane, r.sequence, now, o.ready_sequence, o.ready_at, o.ready_by
    ),
    unlimited AS (UPDATE task_bodies b SET expires_at = NULL FROM retried WHERE b.id = retried.id AND b.expires_at IS NOT NULL),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, command)
      SELECT id, ready_sequence, 2, ready_at, (ARRAY['api', 'scheduler'])[ready_by + 1], NULL FROM retried
        WHERE ready_sequence > 0
      UNION ALL SELECT id, sequence - 1, 11, now, $5::text, $6::bigint FROM retried
      UNION ALL SELECT id, sequence, 2, now, $5, $6 FROM retried
    ),
    counted AS (INSERT INTO count_changes (lane, old, new, count) SELECT lane, $3, 2, 1 FROM retried)
    SELECT id FROM retried
    """)

  private static let patchTask = Statement(
    "patch_task",
    """
    WITH \(clock),
    patched AS (
      UPDATE task_runs r SET status = $7::smallint, claimable = $7 = 2 AND r.blocked = 0,
        sequence = r.sequence + CASE WHEN $7 = 2 AND $3 <> 2 THEN 2 ELSE 1 END, updated_at = now,
        lane = coalesce($8::integer, r.lane), available_at = coalesce($9::bigint, r.available_at),
        due_at = CASE WHEN $7 IN (1, 4) AND r.unmet = 0 THEN coalesce($9, r.available_at) END,
        ready_at = CASE WHEN $7 = 2 AND $3 <> 2 THEN now ELSE r.ready_at END, ready_sequence = 0
      FROM clock, task_runs o
      WHERE o.id = $2::uuid AND r.id = o.id AND r.status = $3::smallint AND r.sequence = $4::integer
      RETURNING r.id, r.lane, r.sequence, now, o.lane AS old_lane, o.ready_sequence, o.ready_at, o.ready_by,
        CASE WHEN $7 = 2 AND $3 <> 2 THEN 1 ELSE 0 END AS becomes_ready
    ),
    described AS (
      UPDATE task_bodies b SET tags = CASE WHEN $11::boolean THEN $12::text ELSE b.tags END,
        metadata = CASE WHEN $13::boolean THEN $14::text ELSE b.metadata END
      FROM patched WHERE b.id = patched.id AND ($11 OR $13)
    ),
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
    SELECT id FROM patched
    """)
}
