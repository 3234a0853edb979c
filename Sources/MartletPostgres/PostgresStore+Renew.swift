// Leases prolonged. The row of `claims` is left alone: the rescuer looks at the run rows when its time comes.

package import MartletCore

extension PostgresStore {
  package func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    guard !renewals.isEmpty else { return [] }
    // In order of ids, as all writers lock rows; one lease named twice is renewed once, with the last progress told.
    let wanted = Dictionary(renewals.map { ($0.lease, $0) }) { earlier, later in
      Renewal(lease: later.lease, progress: later.progress ?? earlier.progress)
    }.values.sorted { $0.lease.task < $1.lease.task }
    return try await repeating { _ in
      let rows = try await pool.run(Query(Self.prolong, parameters: parameters(wanted)))
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

  private static let prolong = Statement(
    "prolong",
    """
    WITH \(clock)
    UPDATE task_runs r SET lease_until = least(now + r.lease_ms, r.started_at + r.timeout_ms),
      progress_percent = coalesce(i.percent, r.progress_percent),
      progress_message = CASE WHEN i.percent IS NULL THEN r.progress_message ELSE i.message END
    FROM clock, unnest($2::uuid[], $3::integer[], $4::bigint[], $5::double precision[], $6::text[])
      AS i(id, attempt, token, percent, message)
    WHERE r.id = i.id AND r.status = 3 AND r.attempt = i.attempt AND r.token = i.token
    RETURNING r.id, r.attempt, r.token, now, r.lease_until, r.cancel_requested
    """)
}
