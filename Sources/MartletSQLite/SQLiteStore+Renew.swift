// Leases prolonged. The row of `claims` is left alone: the rescuer looks at the run rows when its time comes.

package import MartletCore

extension SQLiteStore {
  package func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    try await writer.write { transaction in
      try renewals.map { try transaction.renew($0) }
    }
  }
}

extension WriteTransaction {
  fileprivate func renew(_ renewal: Renewal) throws -> RenewalVerdict {
    let lease = renewal.lease
    let found = try prepared(
      """
      SELECT r.started_at, r.cancel_requested, b.lease_ms, b.timeout_ms
      FROM task_runs r JOIN task_bodies b ON b.id = r.id
      WHERE r.id = ?1 AND r.status = 3 AND r.attempt = ?2 AND r.token = ?3
      """
    ).row(lease.task, lease.attempt, lease.token) { columns in
      (
        startedAt: columns.time(), isCancelled: columns.bool(), lease: columns.milliseconds(),
        timeout: columns.milliseconds()
      )
    }
    guard let found else { return .lost }
    let until = min(now + found.lease, found.startedAt + found.timeout)
    try prepared(
      """
      UPDATE task_runs SET lease_until = ?4, progress_percent = coalesce(?5, progress_percent),
        progress_message = CASE WHEN ?5 IS NULL THEN progress_message ELSE ?6 END
      WHERE id = ?1 AND status = 3 AND attempt = ?2 AND token = ?3
      """
    ).run(lease.task, lease.attempt, lease.token, until, renewal.progress?.percent, renewal.progress?.message)
    try keep(renewal.logs, of: lease)
    let left = max(.zero, until - now)
    return found.isCancelled
      ? .cancelRequested(expiresAt: until, expiresIn: left) : .renewed(expiresAt: until, expiresIn: left)
  }

  private func keep(_ logs: [String], of lease: LeaseID) throws {
    guard !logs.isEmpty else { return }
    let earlier = try prepared("SELECT lines FROM attempt_lines WHERE task = ?1 AND attempt = ?2")
      .row(lease.task, lease.attempt) { try JSONColumn.strings($0.text()) }
    try prepared("INSERT OR REPLACE INTO attempt_lines (task, attempt, lines) VALUES (?1, ?2, ?3)")
      .run(lease.task, lease.attempt, JSONColumn.strings(keptLogs((earlier ?? []) + logs)))
  }
}
