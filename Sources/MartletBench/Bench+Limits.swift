// What limits cost: a backlog drained in a queue with limits that it never reaches, and by keys, beside one without, over one
// engine in this process.

internal import MartletCore

extension Bench {
  func limits(_ results: inout Results) async throws {
    let total = options.drainTasks
    var unlimited = QueuePatch()
    unlimited.isPaused = false
    var concurrency = QueuePatch()
    concurrency.concurrency = .value(100_000)
    var rate = QueuePatch()
    rate.ratePerSecond = .value(1_000_000)
    let free = try await drained(total, under: unlimited)
    results.add(.limits, "without limits", free, "tasks/s")
    for (name, patch) in [("concurrency", concurrency), ("rate", rate)] {
      let limited = try await drained(total, under: patch)
      results.add(.limits, name, limited, "tasks/s")
      results.add(.limits, name + ", of without", limited / free, "ratio")
    }
    let keyed = try await drained(total / 10, under: unlimited, keys: 1000)
    results.add(.limits, "1,000 keys, one of each at once", keyed, "tasks/s")
    results.add(.limits, "1,000 keys, of without", keyed / free, "ratio")
  }

  private func drained(_ count: Int, under patch: QueuePatch, keys: Int? = nil) async throws -> Double {
    try await withStore { store, _ in
      _ = try await store.change(queue: "default", patch, actor: "bench")
      if let keys {
        for start in stride(from: 0, to: count, by: 1000) {
          var tasks = try noOps(min(1000, count - start), priorities: 5...5)
          for index in tasks.indices { tasks[index].concurrencyKey = "key-\((start + index) % keys)" }
          _ = try await store.submit([Submission(tasks)])
        }
      } else {
        try await fill(store, count)
      }
      return try await drained(count, of: store)
    }
  }
}
