// What is left of an overview for a caller who is bound to queues. Called by `TaskService` and
// `QueueService`.

internal import MartletCore

extension TaskGraph {
  /// With these members alone; nil where none is left. Edges to what cannot be seen go too.
  func only(_ ids: Set<TaskID>) -> TaskGraph? {
    var graph = self
    graph.members.removeAll { !ids.contains($0.id) }
    graph.edges.removeAll { !ids.contains($0.from) || !ids.contains($0.to) }
    return graph.members.isEmpty ? nil : graph
  }
}

extension [WorkerRecord] {
  /// Those that serve the caller's queues, without their other queues.
  func visible(to caller: Credential) -> [WorkerRecord] {
    guard caller.queues != nil else { return self }
    return compactMap { worker in
      var worker = worker
      worker.queues.removeAll { $0 != ClaimRequest.allQueues && !caller.mayUse(queue: $0) }
      return worker.queues.isEmpty ? nil : worker
    }
  }
}

extension RecentRates.Summary {
  /// Latencies are of all queues together, so they are told only to who may see all.
  func visible(to caller: Credential) -> RecentRates.Summary {
    guard caller.queues != nil else { return self }
    func sum(_ rates: [String: Double]) -> Double {
      rates.reduce(0) { $0 + (caller.mayUse(queue: $1.key) ? $1.value : 0) }
    }
    var summary = self
    summary.submittedPerSecond = sum(submittedPerSecondByQueue)
    summary.finishedPerSecond = sum(finishedPerSecondByQueue)
    summary.wait = nil
    summary.run = nil
    return summary
  }
}
