// Ended attempts, fenced by their leases. A success needs no decision and is one statement for any number of them, but for those
// that others wait for. What needs one is read, decided by Core and written only where nothing has moved meanwhile: no
// transaction ever waits for this process, so a node that stands still holds no lock (decision 0009).

package import MartletCore

extension PostgresStore {
  package func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    try await repeating { isRepetition in
      if isRepetition { mayHaveEnded() }
      var verdicts: [Int: FinishVerdict] = [:]
      var open = Array(finishes.indices)
      // A report named twice in one call is its own repetition: it has its turn when the first has had its.
      while !open.isEmpty {
        var seen: Set<TaskID> = []
        let turn = open.filter { seen.insert(finishes[$0].lease.task).inserted }
          .sorted { finishes[$0].lease.task < finishes[$1].lease.task }
        let told = try await carryOut(turn.map { finishes[$0] })
        for (index, verdict) in zip(turn, told) { verdicts[index] = verdict }
        open.removeAll { verdicts[$0] != nil }
      }
      return finishes.indices.map { verdicts[$0] ?? .lost }
    }
  }

  /// For distinct tasks, in order of their ids.
  private func carryOut(_ finishes: [Finish]) async throws -> [FinishVerdict] {
    let plain = finishes.filter(\.isPlainSuccess)
    let others = finishes.filter { !$0.isPlainSuccess }
    var applied: [TaskID: TaskStatus] = [:]
    if others.isEmpty {
      applied = succeeded(try await pool.run(succeed(plain)))
    } else {
      applied = try await endAll(others.map { .reported($0) }, beside: plain)
    }
    // Others wait for these, or they are over.
    let parents = plain.filter { applied[$0.lease.task] == nil }
    if !parents.isEmpty { applied.merge(try await endAll(parents.map { .reported($0) })) { $1 } }
    let late = finishes.filter { applied[$0.lease.task] == nil }
    let earlier = late.isEmpty ? [:] : try await reportedBefore(late)
    return finishes.map { finish in
      if let status = applied[finish.lease.task] { return .applied(status) }
      return earlier[finish.lease].map { .applied($0) } ?? .lost
    }
  }

  // MARK: Plain successes

  func succeed(_ finishes: [Finish]) -> Query {
    var parameters: [PostgresValue] = [
      nowParameter, .uuids(finishes.map(\.lease.task)), .int4s(finishes.map { Int32(clamping: $0.lease.attempt) }),
      .int8s(finishes.map(\.lease.token)),
    ]
    guard finishes.contains(where: { $0.result != nil }) else {
      return Query(Self.endWithoutResults, parameters: parameters)
    }
    parameters += Self.results(of: finishes.map(\.result))
    return Query(Self.endWithResults, parameters: parameters)
  }

  func succeeded(_ rows: Rows) -> [TaskID: TaskStatus] {
    let wantsLanes = !limits.isEmpty
    var hasKeys = false
    var lanes: Set<Int32> = []
    let ended = rows.map { columns in
      let id = columns.id()
      if columns.bool() { hasKeys = true }
      if wantsLanes { lanes.insert(Int32(columns.int())) }
      return (id, TaskStatus.success)
    }
    if hasKeys { isUnadmitted() }
    self.ended(in: lanes)
    return Dictionary(ended, uniquingKeysWith: { first, _ in first })
  }

  /// The bytes kept of each result, and whether they are too many to be kept.
  static func results(of results: [[UInt8]?]) -> [PostgresValue] {
    let isTooLong = results.map { $0.map { $0.count > Limits.resultBytes } }
    return [.bytesArray(zip(results, isTooLong).map { $1 == true ? nil : $0 }), .bools(isTooLong)]
  }

  private static let endWithoutResults = Statement(
    "end_without_results",
    """
    WITH \(clock),
    ended AS (
      UPDATE task_runs r SET status = 5, sequence = r.sequence + 1, updated_at = now, finished_at = now, outcome = 1,
        reason = NULL, lease_until = NULL
      FROM clock, unnest($2::uuid[], $3::integer[], $4::bigint[]) AS i(id, attempt, token)
      WHERE r.id = i.id AND r.status = 3 AND r.attempt = i.attempt AND r.token = i.token
        AND NOT r.has_children
      RETURNING r.id, r.lane, r.blocked
    ),
    counted AS (INSERT INTO count_changes (lane, old, new, count) SELECT lane, 3, 5, count(*) FROM ended GROUP BY lane)
    SELECT id, blocked = 1, lane FROM ended
    """)

  private static let endWithResults = Statement(
    "end_with_results",
    """
    WITH \(clock),
    input AS MATERIALIZED (
      SELECT * FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bytea[], $6::boolean[])
        AS i(id, attempt, token, result, truncated)
    ),
    ended AS (
      UPDATE task_runs r SET status = 5, sequence = r.sequence + 1, updated_at = now, finished_at = now, outcome = 1,
        reason = NULL, lease_until = NULL
      FROM clock, input i
      WHERE r.id = i.id AND r.status = 3 AND r.attempt = i.attempt AND r.token = i.token
        AND NOT r.has_children
      RETURNING r.id, r.lane, r.blocked, i.result, i.truncated
    ),
    kept AS (
      INSERT INTO results (task, result, truncated) SELECT id, result, truncated FROM ended WHERE truncated IS NOT NULL
      ON CONFLICT (task) DO UPDATE SET result = excluded.result, truncated = excluded.truncated
    ),
    counted AS (INSERT INTO count_changes (lane, old, new, count) SELECT lane, 3, 5, count(*) FROM ended GROUP BY lane)
    SELECT id, blocked = 1, lane FROM ended
    """)

  // MARK: Late reports

  /// Reports of attempts that are over: those that were told the same before. What the rescuer said is nobody's report.
  private func reportedBefore(_ finishes: [Finish]) async throws -> [LeaseID: TaskStatus] {
    let rows = try await pool.run(
      Query(
        Self.findReports, .uuids(finishes.map(\.lease.task)),
        .int4s(finishes.map { Int32(clamping: $0.lease.attempt) }),
        .int8s(finishes.map(\.lease.token)), .int2s(finishes.map { Int16($0.outcome.attemptOutcome.code) })))
    return Dictionary(
      try rows.map { columns in
        (
          LeaseID(task: columns.id(), attempt: Int(columns.int()), token: columns.int()),
          try TaskStatus(code: columns.int())
        )
      }, uniquingKeysWith: { first, _ in first })
  }

  private static let findReports = Statement(
    "find_reports",
    """
    SELECT i.id, i.attempt, i.token, r.status
    FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::smallint[]) AS i(id, attempt, token, outcome)
      JOIN task_runs r ON r.id = i.id
      LEFT JOIN attempts a ON a.task = i.id AND a.number = i.attempt AND a.token = i.token AND NOT a.rescued
    WHERE CASE WHEN r.started_sequence > 0 AND r.attempt = i.attempt AND r.token = i.token THEN r.outcome ELSE a.outcome END
      = i.outcome
    """)
}

extension Finish {
  /// Nothing to decide, nothing to tell but that it went well.
  fileprivate var isPlainSuccess: Bool {
    if case .success = outcome { logs.isEmpty } else { false }
  }

  var result: [UInt8]? {
    if case .success(let result) = outcome { result } else { nil }
  }
}
