// Work given out. Each lane is one range of the index `task_runs_ready`, already in claim order. A quick look begins where this
// node's claims have come to, past all that was claimed and is not yet vacuumed away, so its cost knows neither the backlog
// nor an old snapshot that somebody holds open; a full look at every lane from its beginning finds, about once a second, what
// came late (decision 0008).

package import MartletCore

extension PostgresStore {
  package func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    var answers: [[ClaimedTask]] = []
    for request in requests {
      do throws(StoreError) {
        answers.append(try await repeating { isRepetition in try await claim(request, again: isRepetition) })
      } catch {
        // What was claimed is told, or it would wait for its leases to end.
        guard answers.contains(where: { !$0.isEmpty }) else { throw error }
        answers.append([])
      }
    }
    return answers
  }

  private func claim(_ request: ClaimRequest, again: Bool) async throws -> [ClaimedTask] {
    var claimed: [ClaimedTask] = []
    if again { claimed = try await claimedBefore(request) }
    do {
      if let ids = request.ids {
        try await claimNamed(ids, request, &claimed)
        return claimed
      }
      try await findLimitedQueues(for: request)
      let isLimitedFirst = limits.isLimitedFirst(request.token)
      if isLimitedFirst { try await claimLimited(request, &claimed) }
      try await claimUnlimited(request, &claimed)
      if !isLimitedFirst { try await claimLimited(request, &claimed) }
    } catch let failure as PostgresFailure where !claimed.isEmpty {
      // As above; what an answer was lost of is found by the token.
      if case .lost = failure { throw failure }
    }
    return claimed
  }

  /// Looks that one claim takes, at most: each clears away expired tasks, and meanwhile the leases of what it has run.
  static let mostLooks = 32

  private func claimUnlimited(_ request: ClaimRequest, _ claimed: inout [ClaimedTask]) async throws {
    var looks = 0
    while claimed.count < request.limit {
      guard looks < Self.mostLooks else { return tellOfMore(for: request) }
      looks += 1
      let wanted = request.limit - claimed.count
      let free = max(0, request.limit - request.ahead - claimed.count)
      guard let look = try await look(for: request, wanted: wanted, free: free) else { break }
      claimed += look.claimed
      if !look.mayHaveMore { break }
    }
  }

  /// There may be more behind what was cleared away: whoever waits for it looks again.
  func tellOfMore(for request: ClaimRequest) {
    let lanes = Set(book.promising(for: request, withSuspects: true).map(\.key.lane))
    if !lanes.isEmpty { ear.tell(.work(lanes)) }
  }

  // MARK: Looks

  private struct Found {
    var claimed: [ClaimedTask] = []
    /// Places in the order of a lane were taken by tasks that could not be given out: there may be more behind them.
    var mayHaveMore = false
  }

  /// Nil: there is nowhere to look now.
  private func look(for request: ClaimRequest, wanted: Int, free: Int) async throws -> Found? {
    let limited = limits.names
    let looks = book.promising(for: request, withSuspects: free > 0).filter { !limited.contains($0.key.queue) }
    let epoch = book.epoch  // after the promises: forgotten between the two, they are looked for
    if let version = fullLooks.due(for: request, epoch: epoch) {
      let start = ContinuousClock.now
      let found = try await carryOut(fullLook(request, wanted: wanted, free: free), at: looks, for: request)
      fullLooks.done(version, for: request, epoch: epoch, took: ContinuousClock.now - start)
      return found
    }
    guard !looks.isEmpty else { return nil }
    let quickLook = lookAtPromises(Self.claimQuickly, looks, request, wanted: wanted, free: free)
    return try await carryOut(quickLook, at: looks, for: request)
  }

  func lookAtPromises(
    _ statement: Statement, _ looks: [LaneBook.Look], _ request: ClaimRequest, wanted: Int, free: Int
  ) -> Query {
    let lanes: [PostgresValue] = [
      .int4s(looks.map(\.lane)), .texts(looks.map(\.key.type)), .int8s(looks.map(\.since.availableAt)),
      .uuids(looks.map(\.since.id)),
    ]
    return Query(
      statement,
      parameters: lanes + parameters(request, wanted: wanted, free: free) + [.texts(looks.map(\.key.queue))])
  }

  private func fullLook(_ request: ClaimRequest, wanted: Int, free: Int) -> Query {
    let lanes: [PostgresValue] = [
      .texts(request.types), .texts(request.queues), .bool(request.takesAllQueues), .bool(free > 0),
    ]
    return Query(Self.claimFully, parameters: lanes + parameters(request, wanted: wanted, free: free))
  }

  private func parameters(_ request: ClaimRequest, wanted: Int, free: Int) -> [PostgresValue] {
    [nowParameter, .int8(Int64(wanted)), .int8(Int64(free)), .text(request.worker), .int8(request.token)]
  }

  private func carryOut(
    _ query: Query, at looks: [LaneBook.Look], for request: ClaimRequest
  ) async throws -> Found {
    let picks = try await read(try await pool.run(query), for: request)
    book.looked(at: looks, foundUpTo: picks.ends, restIsEmpty: picks.isExhausted)
    return Found(claimed: picks.claimed, mayHaveMore: picks.claimed.count < picks.count)
  }

  /// What a claim's statement answered.
  struct Picks {
    var claimed: [ClaimedTask] = []
    /// How far it has come in each lane; no further than a task that was passed over.
    var ends: [Int32: ClaimPosition] = [:]
    /// It found less than it wanted.
    var isExhausted = true
    /// Rows that it came upon, by lane, and in all.
    var found: [Int32: Int] = [:]
    var count = 0
  }

  func read(_ rows: Rows, for request: ClaimRequest) async throws -> Picks {
    var picks = Picks()
    var passedOver: [Int32: ClaimPosition] = [:]
    var hasFreedSlots = false
    let picked = try rows.map { columns in
      picks.isExhausted = columns.bool()
      return try Picked(&columns)
    }
    for row in picked.compactMap(\.self) {
      // In claim order, so the last of a lane is the furthest.
      let key = try await knownKey(of: row.lane)
      picks.ends[row.lane] = ClaimPosition(availableAt: row.availableAt, id: row.id)
      picks.found[row.lane, default: 0] += 1
      picks.count += 1
      switch row.kind {
      case .taken: picks.claimed.append(try row.task(in: key, token: request.token))
      case .passedOver:
        if passedOver[row.lane] == nil { passedOver[row.lane] = ClaimPosition(before: row.availableAt) }
      case .expired: hasFreedSlots = hasFreedSlots || row.hasKey
      }
    }
    picks.ends.merge(passedOver) { min($0, $1) }
    if hasFreedSlots { isUnadmitted() }
    return picks
  }

  /// What was claimed is committed: not to be told of it is as if the answer had been lost.
  private func knownKey(of lane: Int32) async throws -> LaneKey {
    do {
      return try await key(of: lane)
    } catch let failure as PostgresFailure {
      throw PostgresFailure.lost("claimed, but \(failure)")
    }
  }

  /// What an earlier try of this very request was given: its token is in the claims that it made.
  private func claimedBefore(_ request: ClaimRequest) async throws -> [ClaimedTask] {
    let rows = try await pool.run(Query(Self.claimedUnder, .int8(request.token))).map { try Picked(&$0) }
      .compactMap(\.self)
    var claimed: [ClaimedTask] = []
    for row in rows { claimed.append(try row.task(in: try await key(of: row.lane), token: request.token)) }
    return claimed
  }
}
