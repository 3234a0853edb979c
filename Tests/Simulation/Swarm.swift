// Many worlds on all cores: those that fail, and how often what is hard has happened.

package import MartletTestKit
internal import Synchronization

package struct Swarm: Sendable {
  package var failures: [Trial]
  package var worlds: Int
  package var counters: Counters

  /// What must have happened: a run in which it did not has proved nothing.
  package static let sometimes = [
    "crash", "pause", "restart", "outage", "reload", "poison", "steered", "overlap", "snoozed", "released",
    "crash elsewhere", "pause elsewhere", "lease request", "lease request delivered twice", "answer of a node lost",
    "answer lost after commit", "call delivered twice", "call arrived late", "stale finish refused",
    "stale renewal refused", "report repeated", "submit of unknown outcome", "unknown submission that had been stored",
    "unknown submission that had not been stored", "command of unknown outcome", "repeated by its key", "batch refused",
    "rescued LOST", "rescued TIMED_OUT", "lost its last attempt", "dead RETRIES_EXHAUSTED", "dead NON_RETRYABLE",
    "cancelled REQUESTED", "cancelled EXPIRED", "cancelled DEPENDENCY_FAILED", "fan-out", "last parents ended at once",
    "held by a dead one", "all slots of a key taken", "tick", "pruned", "everything forgotten", "hint heard",
    "hint lost",
    "what stands beside forgot", "history told", "event delivered twice", "notice delivered", "notice delivered twice",
    "history in the stream", "action in bulk done", "action in bulk of unknown outcome", "acted at a rate", "purged",
    "act in the audit", "overlapped attempt stopped", "answer held against its submission",
    "task held against what was wanted", "cancel acknowledged and done",
  ]

  package var neverHappened: [String] {
    let all = counters.all
    return Self.sometimes.filter { all[$0, default: 0] == 0 }
  }

  /// Lives through these worlds, and stops after a few failures.
  package static func run(_ seeds: [UInt64], jobs: Int = 1, sabotage: Sabotage? = nil) async -> Swarm {
    let work = Work(seeds: seeds, sabotage: sabotage)
    // Threads of their own: a world computes without a pause.
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<jobs { group.addTask { await onThread { while work.next() {} } } }
    }
    return work.result
  }

  /// What the threads share.
  private final class Work: Sendable {
    private let seeds: [UInt64]
    private let sabotage: Sabotage?
    private let counters = Counters()
    private let state = Mutex((begun: 0, failures: [Trial]()))

    init(seeds: [UInt64], sabotage: Sabotage?) {
      self.seeds = seeds
      self.sabotage = sabotage
    }

    var result: Swarm {
      state.withLock { Swarm(failures: $0.failures, worlds: $0.begun, counters: counters) }
    }

    /// Lives through the next world; false when there is none.
    func next() -> Bool {
      let seed = state.withLock { state -> UInt64? in
        guard state.begun < seeds.count, state.failures.count < 3 else { return nil }
        defer { state.begun += 1 }
        return seeds[state.begun]
      }
      guard let seed else { return false }
      let trial = Trial.run(Plan(seed: seed), counters: counters, sabotage: sabotage)
      if !trial.verdict.isWell { state.withLock { $0.failures.append(trial) } }
      return true
    }
  }

  /// The first of these seeds that finds a bug put in on purpose, as the breach that it is; nil if none does.
  package static func find(
    _ sabotage: Sabotage, as promises: Set<String>? = nil, in seeds: ClosedRange<UInt64>
  ) -> (tried: Int, trial: Trial)? {
    let promises = promises ?? sabotage.promises
    for (index, seed) in seeds.enumerated() {
      let trial = Trial.run(Plan(seed: seed), sabotage: sabotage)
      if case .broken(let violation) = trial.verdict, promises.contains(violation.promise) { return (index + 1, trial) }
    }
    return nil
  }
}
