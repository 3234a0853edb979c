// What a claim costs beside a backlog of one task, of many and of very many, and beside very many that have ended. Eight
// claimers over two stores, as two nodes have them, take tasks of mixed priorities.

internal import MartletCore

extension Bench {
  func backlog(_ results: inout Results) async throws {
    guard options.database != nil else { return }
    let (small, large) = (options.drainTasks / 10, options.drainTasks * 10)
    var measured: [(String, Claims)] = []
    try await withStore { first, place in
      let second = try await place.open()
      let stores = [first, second]
      for store in stores { store.listen { _ in } }  // only who listens learns where tasks appear
      do {
        try await fill(first, 1, priorities: 1...9)
        measured.append(("one READY", try await claims(of: stores, at: place)))
        try await fill(first, small - 1, priorities: 1...9)
        measured.append(("some READY", try await claims(of: stores, at: place)))
        try await fill(first, large - small, priorities: 1...9)
        measured.append(("many READY", try await claims(of: stores, at: place)))
        try await end(large - small, in: stores)
        measured.append(("some READY beside many ended", try await claims(of: stores, at: place)))
      } catch {
        await second.close()
        throw error
      }
      await second.close()
    }
    for (name, claims) in measured {
      let sorted = claims.times.sorted()
      guard !sorted.isEmpty else { throw StoreError.unusable("\(name): no claim got anything") }
      results.add(.backlog, "\(name), p50", sorted[sorted.count / 2], "ms")
      results.add(.backlog, "\(name), p99", sorted[min(sorted.count - 1, sorted.count * 99 / 100)], "ms")
      results.add(.backlog, "\(name), rate", Double(claims.tasks) / options.seconds, "tasks/s")
    }
  }

  private struct Claims {
    /// Milliseconds of each claim that got something.
    var times: [Double] = []
    var tasks = 0
  }

  /// Claims of up to 32. What was taken is ended and submitted anew, so that the backlog stays as it is.
  private func claims(of stores: [any TaskStore], at place: Place) async throws -> Claims {
    try place.settle()
    let end = ContinuousClock.now + .seconds(options.seconds)
    return try await withThrowingTaskGroup(of: Claims.self) { group in
      for claimer in 0..<8 {
        let store = stores[claimer % stores.count]
        group.addTask {
          var claims = Claims()
          while ContinuousClock.now < end {
            let start = ContinuousClock.now
            let claimed = try await claim(32, from: store, by: claimer)
            guard !claimed.isEmpty else {
              try await Task.sleep(for: .milliseconds(1))
              continue
            }
            claims.times.append(milliseconds(ContinuousClock.now - start))
            claims.tasks += claimed.count
            try await finish(claimed, in: store)
            _ = try await store.submit([Submission(try noOps(claimed.count, priorities: 1...9))])
          }
          return claims
        }
      }
      return try await group.reduce(into: Claims()) { all, claims in
        all.times += claims.times
        all.tasks += claims.tasks
      }
    }
  }

  private func end(_ count: Int, in stores: [any TaskStore]) async throws {
    let claimers = 4
    try await withThrowingTaskGroup(of: Void.self) { group in
      for claimer in 0..<claimers {
        let store = stores[claimer % stores.count]
        group.addTask {
          var left = count / claimers
          while left > 0 {
            let claimed = try await claim(min(left, 500), from: store, by: claimer)
            guard !claimed.isEmpty else {
              try await Task.sleep(for: .milliseconds(1))
              continue
            }
            try await finish(claimed, in: store)
            left -= claimed.count
          }
        }
      }
      try await group.waitForAll()
    }
  }

  private func claim(_ limit: Int, from store: any TaskStore, by claimer: Int) async throws -> [ClaimedTask] {
    let request = ClaimRequest(
      worker: "bench-\(claimer)", queues: [ClaimRequest.allQueues], types: [NoOp.type], limit: limit,
      token: .random(in: 1...Int64.max))
    return try await store.claim([request])[0]
  }

  private func finish(_ claimed: [ClaimedTask], in store: any TaskStore) async throws {
    _ = try await store.finish(claimed.map { Finish(lease: $0.lease, outcome: .success(result: nil), randomness: 0.5) })
  }
}
