// Those that wait for a task, once it has ended: each goes on, waits on or is cancelled, as its policy says. Called by everything
// that makes a task final. What is cancelled so ends too: such a cascade is worked off without recursion, and what one
// transaction has no room for is left in `settlements`.

package import MartletCore

extension SQLiteStore {
  package func settle(limit: Int) async throws(StoreError) -> Settlement {
    try await writer.write { try $0.settle(limit: limit) }
  }
}

/// How far one transaction goes, whatever number of jobs it is made of: the others wait for it. Tests go less far.
package struct CascadeBounds: Sendable {
  /// Tasks that are told of what they wait for by the call that has ended it. A hundred milliseconds' work.
  package var mostDependants: Int
  /// Tasks that are told beyond these: what they wait for was cancelled by the cascade.
  package var mostCascaded: Int

  package init(mostDependants: Int = 10_000, mostCascaded: Int = 1000) {
    self.mostDependants = mostDependants
    self.mostCascaded = mostCascaded
  }
}

/// What a transaction does to those that wait for what ends in it.
struct Cascade {
  /// A task that has ended, and the last of its dependants that was told so.
  struct Ended {
    var id: TaskID
    var status: TaskStatus
    var after: [UInt8] = []  // no bytes are before all ids
  }

  /// Dependants that may still be told of what the cascade itself has ended.
  var budget: Int
  /// Cancelled by it, with dependants of their own.
  var ended: [Ended] = []
  var cancelled = 0
  /// Where tasks became READY.
  var lanes: Set<Lane> = []
  /// When the first of those is due that wait for nothing but their time now.
  var firstDue: Timestamp?

  init(budget: Int) {
    self.budget = budget
  }
}

extension WriteTransaction {
  /// Tells those that wait for a task that it has ended; nothing if it has not.
  func settle(after id: TaskID, _ status: TaskStatus, hasChildren: Bool) throws {
    guard hasChildren, status.isFinal else { return }
    let ended = Cascade.Ended(id: id, status: status)
    guard dependantsLeft > 0 else { return try leave(ended) }
    dependantsLeft -= try tell(ended, limit: dependantsLeft)
    try workOffCascade()
  }

  func workOffCascade() throws {
    while let ended = cascade.ended.popLast() { try tellWithinBudget(ended) }
  }

  /// Cancels a task that waits, since one of those that it waits for has failed.
  func fail(_ id: TaskID) throws {
    guard let row = try waitingRow(id), row.status.isWaiting else { return }
    try cancel(row, reason: .dependencyFailed, actor: Actor.scheduler)
    cascade.cancelled += 1
    if row.hasChildren { cascade.ended.append(Cascade.Ended(id: id, status: .cancelled)) }
  }

  fileprivate func settle(limit: Int) throws -> Settlement {
    let others = cascade  // of other calls in this transaction
    cascade = Cascade(budget: bounds.mostCascaded)
    var left = limit
    while left > 0, cascade.budget > 0, let ended = try cascade.ended.popLast() ?? takeLeftOver() {
      try tellWithinBudget(ended)
      left -= 1
    }
    for ended in cascade.ended { try leave(ended) }
    let isPartial = try prepared("SELECT EXISTS (SELECT 1 FROM settlements)").row { $0.bool() } ?? false
    let settlement = Settlement(lanes: cascade.lanes, cancelled: cascade.cancelled, isPartial: isPartial)
    let firstDue = cascade.firstDue
    cascade = others
    cascade.noteDue(firstDue)
    return settlement
  }

  private func tellWithinBudget(_ ended: Cascade.Ended) throws {
    guard cascade.budget > 0 else { return try leave(ended) }
    cascade.budget -= max(1, try tell(ended, limit: cascade.budget))
  }

  /// Tells the next dependants; how many.
  private func tell(_ ended: Cascade.Ended, limit: Int) throws -> Int {
    let edges = try prepared(
      """
      SELECT child, on_failure FROM dependencies WHERE parent = ?1 AND child > ?2 AND met = 0 ORDER BY child LIMIT ?3
      """
    ).rows(ended.id, ended.after, limit + 1) { (child: try $0.id(), policy: try DependencyPolicy(code: $0.int())) }
    let told = edges.prefix(limit)
    for edge in told {
      switch edge.policy.effect(of: ended.status) {
      case .open: break
      case .met: try meet(ended.id, of: edge.child)
      case .fails: try fail(edge.child)
      }
    }
    if edges.count > limit, let last = told.last {
      try leave(Cascade.Ended(id: ended.id, status: ended.status, after: bytes(of: [last.child])))
    }
    return told.count
  }

  func meet(_ parent: TaskID, of id: TaskID) throws {
    try prepared("UPDATE dependencies SET met = 1 WHERE parent = ?1 AND child = ?2").run(parent, id)
    guard let row = try waitingRow(id) else { return }
    let waitsForTime = row.status == .pending && row.unmet == 1
    if waitsForTime, row.availableAt <= now {
      try prepared(
        """
        UPDATE task_runs SET status = 2, unmet = 0, sequence = ?2, updated_at = ?3, available_at = ?3, ready_at = ?3,
          ready_by = 1, ready_sequence = ?2
        WHERE id = ?1 AND status = 1
        """
      ).run(id, row.sequence + 1, now)
      count(row.lane, from: .pending, to: .ready)
      cascade.lanes.insert(row.lane)
    } else {
      try prepared("UPDATE task_runs SET unmet = unmet - 1 WHERE id = ?1").run(id)
      if waitsForTime { cascade.noteDue(row.availableAt) }
    }
  }

  // MARK: What is left over

  private func leave(_ ended: Cascade.Ended) throws {
    try prepared(
      "INSERT INTO settlements (task, after) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET after = excluded.after"
    ).run(ended.id, ended.after)
    isUnsettled = true
  }

  /// One that is final still: who was retried since has nothing to tell.
  private func takeLeftOver() throws -> Cascade.Ended? {
    let first = try prepared(
      "SELECT s.task, s.after, r.status FROM settlements s LEFT JOIN task_runs r ON r.id = s.task ORDER BY s.task LIMIT 1"
    )
    while let found = try first.row(
      read: { (id: try $0.id(), after: $0.blob(), status: try $0.optionalInt().map(TaskStatus.init(code:))) })
    {
      try prepared("DELETE FROM settlements WHERE task = ?1").run(found.id)
      if let status = found.status, status.isFinal {
        return Cascade.Ended(id: found.id, status: status, after: found.after)
      }
    }
    return nil
  }
}

extension Cascade {
  fileprivate mutating func noteDue(_ time: Timestamp?) {
    guard let time else { return }
    firstDue = min(firstDue ?? time, time)
  }
}
