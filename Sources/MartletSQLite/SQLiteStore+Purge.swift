// Deletion by hand: unlike retention it does not wait for those that still depend on the task.

internal import MartletCore

extension WriteTransaction {
  enum Purge {
    case deleted
    /// For its idempotency key, or for a sink or a receiver of notices that has not heard of it.
    case kept
    /// More wait for it than this transaction may still tell: some of them were told perhaps, and it is still there.
    case unfinished
  }

  func purge(_ row: WaitingRow, keys: Duration) throws -> Purge {
    let isKept =
      try prepared(
        """
        SELECT EXISTS (SELECT 1 FROM idempotency_keys WHERE task = ?1 AND created_at > ?2)
          OR EXISTS (SELECT 1 FROM outbox WHERE task = ?1)
          OR EXISTS (SELECT 1 FROM notices WHERE task = ?1 AND status = 1)
        """
      ).row(row.id, now + (.zero - keys)) { $0.bool() } ?? false
    if isKept { return .kept }
    guard try release(row) else { return .unfinished }
    try prepared("DELETE FROM task_runs WHERE id = ?1").run(row.id)
    try forget(row)
    return .deleted
  }

  /// Tells those that wait for it that it will not be there any more. False where more are left.
  private func release(_ row: WaitingRow) throws -> Bool {
    guard row.hasChildren else { return true }
    let most = dependantsLeft
    let waiting = try prepared(
      """
      SELECT d.child, d.on_failure FROM dependencies d CROSS JOIN task_runs c ON c.id = d.child
      WHERE d.parent = ?1 AND d.met = 0 AND c.status NOT IN (5, 6, 7) ORDER BY d.child LIMIT ?2
      """
    ).rows(row.id, most + 1) { (child: try $0.id(), policy: try DependencyPolicy(code: $0.int())) }
    for edge in waiting.prefix(most) {
      switch edge.policy.effectOfDeletion {
      case .open: break
      case .met: try meet(row.id, of: edge.child)
      case .fails: try fail(edge.child)
      }
    }
    dependantsLeft -= min(waiting.count, most)
    try workOffCascade()
    return waiting.count <= most
  }
}
