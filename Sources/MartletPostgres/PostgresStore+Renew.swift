// Leases prolonged. The row of `claims` is left alone: the rescuer looks at the run rows when its time comes.

package import MartletCore

extension PostgresStore {
  package func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    guard !renewals.isEmpty else { return [] }
    // In order of ids, as all writers lock rows; one lease named twice is renewed once, with the last progress told.
    let wanted = Dictionary(renewals.map { ($0.lease, $0) }) { earlier, later in
      Renewal(lease: later.lease, progress: later.progress ?? earlier.progress, logs: earlier.logs + later.logs)
    }.values.sorted { $0.lease.task < $1.lease.task }
    let parameters = parameters(wanted)
    let call = wanted.contains { !$0.logs.isEmpty } ? Int64.random(in: .min ... .max) : nil
    return try await repeating { _ in
      let rows = try await pool.run(
        call.map { Query(Self.prolongAndTell, parameters: parameters + lines(wanted, call: $0)) }
          ?? Query(Self.prolong, parameters: parameters))
      let renewed = Dictionary(
        rows.map { columns in
          let lease = LeaseID(task: columns.id(), attempt: Int(columns.int()), token: columns.int())
          let (now, until, isCancelled) = (columns.time(), columns.time(), columns.bool())
          let left = max(.zero, until - now)
          return (
            lease,
            isCancelled
              ? RenewalVerdict.cancelRequested(expiresAt: until, expiresIn: left)
              : .renewed(expiresAt: until, expiresIn: left)
          )
        }, uniquingKeysWith: { first, _ in first })
      return renewals.map { renewed[$0.lease] ?? .lost }
    }
  }

  private func parameters(_ renewals: [Renewal]) -> [PostgresValue] {
    let tellsProgress = renewals.contains { $0.progress != nil }
    return [
      nowParameter, .uuids(renewals.map(\.lease.task)), .int4s(renewals.map { Int32(clamping: $0.lease.attempt) }),
      .int8s(renewals.map(\.lease.token)), .doubles(tellsProgress ? renewals.map(\.progress?.percent) : []),
      .texts(tellsProgress ? renewals.map(\.progress?.message?.escaped) : []),
    ]
  }

  private func lines(_ renewals: [Renewal], call: Int64) -> [PostgresValue] {
    let kept = renewals.map { keptLogs($0.logs) }
    return [
      .int8(call), .texts(kept.map { JSONColumn.strings($0) }), .int4s(kept.map { Int32($0.count) }),
      .int4s(kept.map { lines in Int32(lines.reduce(0) { $0 + $1.utf8.count + 1 }) }),
    ]
  }

  /// - Parameters: arrays and names of further columns of each renewal, to be passed on.
  private static func prolongSQL(arrays: String = "", columns: String = "", answered: String = "") -> String {
    """
    UPDATE task_runs r SET lease_until = least(now + r.lease_ms, r.started_at + r.timeout_ms),
      progress_percent = coalesce(i.percent, r.progress_percent),
      progress_message = CASE WHEN i.percent IS NULL THEN r.progress_message ELSE i.message END
    FROM clock, unnest($2::uuid[], $3::integer[], $4::bigint[], $5::double precision[], $6::text[]\(arrays))
      AS i(id, attempt, token, percent, message\(columns))
    WHERE r.id = i.id AND r.status = 3 AND r.attempt = i.attempt AND r.token = i.token
    RETURNING r.id, r.attempt, r.token, now, r.lease_until, r.cancel_requested\(answered)
    """
  }

  private static let prolong = Statement("prolong", "WITH \(clock) \(prolongSQL())")

  /// With log lines. Of those that are there already go the ones that have enough after them.
  private static let prolongAndTell = Statement(
    "prolong_and_tell",
    """
    WITH \(clock), renewed AS (
      \(prolongSQL(
        arrays: ", $8::text[], $9::integer[], $10::integer[]", columns: ", lines, count, bytes",
        answered: ", i.lines, i.count, i.bytes"))
    ),
    told AS (
      INSERT INTO attempt_lines (task, attempt, call, lines, count, bytes)
      SELECT id, attempt, $7::bigint, lines, count, bytes FROM renewed WHERE lines IS NOT NULL
      ON CONFLICT DO NOTHING
      RETURNING task, attempt
    ),
    cut AS (
      DELETE FROM attempt_lines l USING (
        SELECT a.place FROM told t CROSS JOIN LATERAL (
          SELECT ctid AS place, sum(count) OVER newer - count AS lines, sum(bytes) OVER newer - bytes AS bytes
          FROM attempt_lines WHERE task = t.task AND attempt = t.attempt WINDOW newer AS (ORDER BY number DESC)
        ) a WHERE a.lines >= \(Limits.logLines) OR a.bytes >= \(Limits.logBytes)
      ) old WHERE l.ctid = old.place
    )
    SELECT id, attempt, token, now, lease_until, cancel_requested FROM renewed
    """)
}
