// Attempts whose workers fell silent. `claims` says when to look; the run rows say what is true.

package import MartletCore

extension SQLiteStore {
  package func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue {
    try await writer.write { transaction in
      try transaction.rescue(limit: limit, randomness: randomness)
    }
  }
}

extension WriteTransaction {
  /// Claims looked at in one call.
  private static let mostClaims = 100

  fileprivate func rescue(limit: Int, randomness: Double) throws -> Rescue {
    let claims = try prepared("SELECT number, token, tasks FROM claims WHERE check_at <= ?1 ORDER BY check_at LIMIT ?2")
      .rows(now, Self.mostClaims) { columns in
        (number: columns.int(), token: columns.int(), tasks: taskIDs(in: columns.blob()))
      }
    let running = try claims.map { claim in try claim.tasks.compactMap { try runningRow($0, token: claim.token) } }
    let over = running.joined().filter { $0.leaseUntil <= now }
      .sorted { ($0.leaseUntil, $0.id) < ($1.leaseUntil, $1.id) }
    let rescued = try over.prefix(limit).map { try rescue($0, randomness: randomness) }
    let ids = Set(rescued.map(\.id))
    for (claim, rows) in zip(claims, running) {
      try keep(rows.filter { !ids.contains($0.id) }, of: claim.number)
    }
    return Rescue(rescued: rescued, isPartial: over.count > limit || claims.count == Self.mostClaims)
  }

  /// What a claim still has to be looked at for.
  private func keep(_ rows: [RunningRow], of claim: Int64) throws {
    if let nextEnd = rows.map(\.leaseUntil).min() {
      try prepared("UPDATE claims SET check_at = ?2, tasks = ?3 WHERE number = ?1")
        .run(claim, nextEnd, bytes(of: rows.map(\.id)))
    } else {
      try prepared("DELETE FROM claims WHERE number = ?1").run(claim)
    }
  }

  private func rescue(_ row: RunningRow, randomness: Double) throws -> Rescue.Rescued {
    let timeout = try prepared("SELECT timeout_ms FROM task_bodies WHERE id = ?1").row(row.id) { $0.milliseconds() }
    let isTimedOut = timeout.map { row.startedAt + $0 <= now } ?? false
    let outcome = isTimedOut ? Outcome.timedOut : .lost
    let status = try end(row, outcome: outcome, logs: [], randomness: randomness, rescued: true)
    return Rescue.Rescued(id: row.id, lane: row.lane, outcome: outcome.attemptOutcome, status: status)
  }
}
