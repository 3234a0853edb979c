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
  fileprivate func rescue(limit: Int, randomness: Double) throws -> Rescue {
    let claims = try prepared("SELECT number, token, tasks FROM claims WHERE check_at <= ?1 ORDER BY check_at LIMIT 100")
      .rows(now) { columns in (number: columns.int(), token: columns.int(), tasks: taskIDs(in: columns.blob())) }
    var rescued: [Rescue.Rescued] = []
    var isPartial = claims.count == 100
    for claim in claims {
      var held: [TaskID] = []
      var nextEnd = Timestamp.latest
      for (index, id) in claim.tasks.enumerated() {
        if rescued.count == limit {
          held += claim.tasks[index...]
          nextEnd = now
          isPartial = true
          break
        }
        guard let row = try runningRow(id, token: claim.token) else { continue }
        if row.leaseUntil <= now {
          rescued.append(try rescue(row, randomness: randomness))
        } else {
          held.append(id)
          nextEnd = min(nextEnd, row.leaseUntil)
        }
      }
      if held.isEmpty {
        try prepared("DELETE FROM claims WHERE number = ?1").run(claim.number)
      } else {
        try prepared("UPDATE claims SET check_at = ?2, tasks = ?3 WHERE number = ?1")
          .run(claim.number, nextEnd, bytes(of: held))
      }
    }
    return Rescue(rescued: rescued, isPartial: isPartial)
  }

  private func rescue(_ row: RunningRow, randomness: Double) throws -> Rescue.Rescued {
    let timeout = try prepared("SELECT timeout_ms FROM task_bodies WHERE id = ?1").row(row.id) { $0.milliseconds() }
    let isTimedOut = timeout.map { row.startedAt + $0 <= now } ?? false
    let outcome = isTimedOut ? Outcome.timedOut : .lost
    let status = try end(row, outcome: outcome, logs: [], randomness: randomness, rescued: true)
    return Rescue.Rescued(id: row.id, lane: row.lane, outcome: outcome.attemptOutcome, status: status)
  }
}
