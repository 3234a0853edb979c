// Steps of schedules, all of a call in one transaction: their rows are locked, then the tasks are written of those steps that
// stand, seeing what the locks keep as it is, and at last the schedules move on, by what was written. A task goes the same way
// as a submitted one (`PostgresStore+SubmitLinked.swift`).

package import MartletCore

extension PostgresStore {
  package func advanceSchedules(_ steps: [ScheduleStep]) async throws(StoreError) -> [StepVerdict] {
    guard !steps.isEmpty else { return [] }
    return try await repeating { _ in
      let made = steps.filter { $0.task != nil }
      let linked = LinkedTasks(made.compactMap { step in step.task.map { Submission([$0]) } }, replaced: [:])
      let lanes = try await lanes(of: linked.tasks.map(\.task))
      try await switchNoticesOn(for: linked.tasks.map(\.task))
      var queries = [Query(Self.lockSchedules, .texts(steps.map(\.name)))]
      if !made.isEmpty { queries += [lockDepths(of: linked), insertion(of: linked, lanes, for: made)] }
      queries.append(move(steps, lanes: lanes, of: linked))
      let moved = queries.count - 1
      queries += noteReceivers(of: linked.tasks.map(\.task))
      let rows = try await pool.transaction(queries)
      if !made.isEmpty { _ = try judged(linked, lanes, [rows[2]]) }
      let verdicts = zip(steps, rows[moved].map { Outcome(&$0) }).map { step, outcome in
        outcome.verdict(on: step)
      }
      guard verdicts.count == steps.count else { throw UnreadableRow(what: "no answer about schedules") }
      return verdicts
    }
  }

  private struct Outcome {
    /// When the step's task was accepted, by this call or an earlier one.
    var madeAt: Timestamp?
    var stands: Bool
    var isFull: Bool

    init(_ columns: inout Columns) {
      madeAt = columns.optionalTime()
      stands = columns.bool()
      isFull = columns.bool()
    }

    func verdict(on step: ScheduleStep) -> StepVerdict {
      if let madeAt { return .made(at: madeAt) }
      guard stands else { return .stale }
      guard let task = step.task else { return .moved }
      return isFull ? .queueFull(task.queue) : .passed
    }
  }

  private func insertion(of linked: LinkedTasks, _ lanes: [Int32], for steps: [ScheduleStep]) -> Query {
    Query(
      Self.insertScheduled,
      parameters: columns(of: linked, lanes) + [
        .int8s(steps.map(\.revision)), .times(steps.map { $0.move?.from }), .bools(steps.map(\.unlessUnfinished)),
      ])
  }

  private func move(_ steps: [ScheduleStep], lanes: [Int32], of linked: LinkedTasks) -> Query {
    let numbered = Dictionary(zip(lanes, linked.tasks.map { LaneKey($0.task) })) { first, _ in first }
    return Query(
      Self.moveSchedules, .texts(steps.map(\.name)), .int8s(steps.map(\.revision)),
      .bools(steps.map { $0.move == nil }), .times(steps.map { $0.move?.from }), .times(steps.map { $0.move?.to }),
      .times(steps.map { $0.move?.lookAt }), .texts(steps.map { $0.move?.error?.kind.rawValue }),
      .texts(steps.map { $0.move?.error?.message }), .times(steps.map { $0.move?.error?.at }),
      .uuids(steps.map { $0.task?.id }), .int4s(numbered.map(\.key)), .texts(numbered.map(\.value.queue)),
      .texts(numbered.map(\.value.type)), .int2s(numbered.map(\.value.urgency)), .texts(steps.map { $0.note?.actor }),
      .texts(steps.map { $0.note?.detail }),
      .int8s(steps.map { $0.note?.number }), .texts(steps.map { $0.task?.queue }),
      .bools(steps.map(\.unlessUnfinished)), .texts(steps.map { $0.move?.errorIfFull?.kind.rawValue }),
      .texts(steps.map { $0.move?.errorIfFull?.message }), .times(steps.map { $0.move?.errorIfFull?.at }))
  }

  /// In one order, so that no two calls wait for each other.
  private static let lockSchedules = Statement(
    "lock_schedules", "SELECT 1 FROM schedules WHERE name = ANY ($1::text[]) ORDER BY name FOR NO KEY UPDATE")

  /// By what the statement before has written: a step that stands and whose task was not, was kept from it by another task of the
  /// schedule, or else by its queue's `maxDepth`.
  private static let moveSchedules = Statement(
    "move_schedules",
    """
    WITH lanes_known AS MATERIALIZED (
      SELECT count(*) = cardinality($11::integer[]) AS are_all
      FROM unnest($11, $12::text[], $13::text[], $14::smallint[]) AS w(id, queue, type, urgency)
        JOIN lanes l ON l.id = w.id AND l.queue = w.queue AND l.type = w.type AND l.urgency = w.urgency
    ),
    judged AS MATERIALIZED (
      SELECT i.*, b.created_at AS made_at, coalesce(b.is_new, false) AS is_new,
        s.place IS NOT NULL AND (b.is_new IS NULL OR b.is_new) AND (i.task IS NULL OR are_all) AS stands, s.place,
        i.task IS NOT NULL AND b.is_new IS NULL AND NOT coalesce(s.is_passed, true) AND EXISTS (
          SELECT FROM (
            SELECT q.queue, q.max_depth FROM queue_settings q WHERE q.queue = i.queue AND q.max_depth IS NOT NULL LIMIT 1
          ) q CROSS JOIN LATERAL (\(countSQL([.pending, .ready, .retry], in: "q.queue", if: "true"))) c
          WHERE c.count >= q.max_depth
        ) AS is_full
      FROM lanes_known, unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
        $8::text[], $9::bigint[], $10::uuid[], $15::text[], $16::text[], $17::bigint[], $18::text[], $19::boolean[],
        $20::text[], $21::text[], $22::bigint[]) WITH ORDINALITY
        AS i(name, revision, is_by_hand, handled, new_handled, new_look_at, kind, message, error_at, task, actor, detail, note,
          queue, unless_unfinished, full_kind, full_message, full_at, number)
      LEFT JOIN LATERAL (
        SELECT t.created_at, t.xmin = pg_current_xact_id_if_assigned()::xid AS is_new FROM task_bodies t WHERE t.id = i.task
        LIMIT 1
      ) b ON true
      LEFT JOIN LATERAL (
        SELECT t.ctid AS place, \(isPassed(tick: "i.new_handled")) AS is_passed FROM schedules t
        WHERE t.name = i.name AND t.revision = i.revision AND (i.is_by_hand OR t.handled = i.handled) LIMIT 1
      ) s ON true
    ),
    moved AS (
      UPDATE schedules s SET handled = CASE WHEN is_by_hand THEN s.handled ELSE new_handled END,
        look_at = CASE WHEN is_by_hand THEN s.look_at ELSE new_look_at END,
        error_kind = CASE WHEN is_by_hand THEN s.error_kind WHEN is_full THEN j.full_kind ELSE j.kind END,
        error_message = CASE WHEN is_by_hand THEN s.error_message WHEN is_full THEN j.full_message ELSE j.message END,
        error_at = CASE WHEN is_by_hand THEN s.error_at WHEN is_full THEN j.full_at ELSE j.error_at END,
        latest_tick = CASE WHEN is_new AND NOT is_by_hand THEN greatest(s.latest_tick, new_handled) ELSE s.latest_tick END,
        last_run_at = CASE WHEN is_new THEN made_at ELSE s.last_run_at END,
        last_task = CASE WHEN is_new THEN j.task ELSE s.last_task END
      FROM judged j WHERE s.ctid = j.place AND j.stands
    ),
    triggered AS (SELECT *, made_at AS now FROM judged WHERE note IS NOT NULL AND stands AND is_new),
    audited AS (
      \(auditSQL(.triggerSchedule, of: "name", by: "actor", detail: "detail", number: "note", from: "triggered"))
    )
    SELECT made_at, stands, is_full FROM judged ORDER BY number
    """)
}
