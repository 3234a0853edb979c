// Time's doing: what is due becomes READY, what is past its `expiresAt` without a first attempt becomes CANCELLED.

package import MartletCore

extension SQLiteStore {
  package func promote(limit: Int) async throws(StoreError) -> Promotion {
    try await writer.write { transaction in
      let expired = try transaction.expireOverdue(limit: limit)
      let lanes = try transaction.promoteDue(limit: limit)
      return Promotion(
        promoted: lanes.count, expired: expired, lanes: Set(lanes),
        nextIn: try transaction.nextDue().map { max(.zero, $0 - transaction.now) })
    }
  }
}

extension WriteTransaction {
  fileprivate func expireOverdue(limit: Int) throws -> Int {
    let overdue = try prepared(
      """
      SELECT id FROM task_runs INDEXED BY task_runs_expiring
      WHERE expires_at IS NOT NULL AND attempt = 0 AND status IN (1, 2) AND expires_at <= ?1
      ORDER BY expires_at, id LIMIT ?2
      """
    ).rows(now, limit) { try $0.id() }
    // All of them have expired before any is told that another has.
    let expired = try overdue.compactMap { try expire($0) }
    for row in expired { try settle(after: row.id, .cancelled, hasChildren: row.hasChildren) }
    return expired.count
  }

  /// Cancels a waiting task that was never started. Whoever waits for it is not told yet.
  func expire(_ id: TaskID) throws -> WaitingRow? {
    guard let row = try waitingRow(id), row.attempt == 0 else { return nil }
    try cancel(row, reason: .expired, actor: Actor.scheduler)
    return row
  }

  /// The lane of each promoted task.
  fileprivate func promoteDue(limit: Int) throws -> [Lane] {
    let due = try prepared(
      """
      SELECT id, queue, type, status FROM task_runs INDEXED BY task_runs_due
      WHERE status IN (1, 4) AND unmet = 0 AND available_at <= ?1
        AND (expires_at IS NULL OR attempt > 0 OR expires_at > ?1)
      ORDER BY available_at, id LIMIT ?2
      """
    ).rows(now, limit) { columns in
      (
        id: try columns.id(), lane: Lane(queue: columns.text(), type: columns.text()),
        status: try TaskStatus(code: columns.int())
      )
    }
    let promote = try prepared(
      """
      UPDATE task_runs SET status = 2, sequence = sequence + 1, updated_at = ?2, ready_at = ?2, ready_by = 1,
        ready_sequence = sequence + 1
      WHERE id = ?1 AND status IN (1, 4)
      """)
    for task in due {
      try promote.run(task.id, now)
      count(task.lane, from: task.status, to: .ready)
    }
    return due.map(\.lane)
  }

  fileprivate func nextDue() throws -> Timestamp? {
    let due = try prepared(
      """
      SELECT available_at FROM task_runs INDEXED BY task_runs_due WHERE status IN (1, 4) AND unmet = 0
      ORDER BY available_at LIMIT 1
      """
    ).row { $0.time() }
    let expiring = try prepared(
      """
      SELECT expires_at FROM task_runs INDEXED BY task_runs_expiring
      WHERE expires_at IS NOT NULL AND attempt = 0 AND status IN (1, 2) ORDER BY expires_at LIMIT 1
      """
    ).row { $0.time() }
    return [due, expiring].compactMap(\.self).min()
  }
}
