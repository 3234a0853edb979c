// Latency from the call of submit to the first line of the handler, at a steady pace; one does not wait for the other.

internal import MartletCore
internal import MartletEngine

extension Bench {
  /// With two nodes one submits and the other, a process of its own, carries out.
  func pickup(_ results: inout Results) async throws {
    for (name, rate, seconds) in [
      ("idle", 2, options.seconds * 2), ("100/s", 100, options.seconds), ("1,000/s", 1000, options.seconds),
    ] {
      let count = max(1, Int(Double(rate) * seconds))
      let latencies = try await withStore { store, place in
        guard options.nodes > 1 else {
          let meter = Meter()
          try await withEngine(store, handlers: [NoOp(meter: meter)]) { engine in
            try await submit(count, perSecond: rate, to: engine.service) { meter.ran }
          }
          return meter.latencies
        }
        return try await withNodes(1, on: place) { nodes in
          try await withEngine(store, handlers: []) { engine in
            try await submit(count, perSecond: rate, to: engine.service) { try nodes[0].ran() }
          }
          await nodes[0].stop()
          return nodes[0].latencies
        }
      }
      let sorted = latencies.sorted()
      guard sorted.count == count else {
        throw StoreError.unusable("\(sorted.count) latencies were noted of \(count) tasks")
      }
      results.add(.pickup, "\(name), p50", sorted[count / 2], "ms")
      results.add(.pickup, "\(name), p99", sorted[min(count - 1, count * 99 / 100)], "ms")
    }
  }

  /// Begins once some tasks have gone all the way, and returns when all have.
  private func submit(_ count: Int, perSecond rate: Int, to service: TaskService, ran: () throws -> Int) async throws {
    let warmUp = 20
    for _ in 0..<warmUp { _ = try await service.submit([NewTask(type: NoOp.type, payload: samplePayload)]) }
    while try ran() < warmUp { try await Task.sleep(for: .milliseconds(5)) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      let start = ContinuousClock.now
      for index in 0..<count {
        try await Task.sleep(until: start + .seconds(Double(index) / Double(rate)), tolerance: .zero)
        group.addTask { _ = try await service.submit([NewTask(type: NoOp.type, payload: Meter.stamped())]) }
      }
      try await group.waitForAll()
    }
    while try ran() < warmUp + count { try await Task.sleep(for: .milliseconds(5)) }
  }
}
