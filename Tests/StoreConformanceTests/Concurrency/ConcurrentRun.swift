// Several clients at once, on one node or two, do whatever can be done with a few tasks that they share; what they are told is
// written down and checked task by task. The clients draw what they do from a seed; how their calls fall together is up to the
// machine.

import Foundation
import MartletCore
import MartletTestKit
import Synchronization

struct ConcurrentRun: Sendable {
  let seed: UInt64
  let time: ManualTime
  /// One for each node: the clients are spread over them.
  let nodes: [StoreCalls]
  let recorder = HistoryRecorder()
  let board = LeaseBoard()
  var clients = 6
  var steps = 24
  let tasks = (1...3).map { TaskID.stub($0) }
  /// Calls fail in the stores themselves, and commands are repeated there.
  var isCut = false

  init(seed: UInt64, time: ManualTime, nodes: [StoreCalls]) {
    self.seed = seed
    self.time = time
    self.nodes = nodes
  }

  /// All clients to their end, and then a look at what has become of the tasks.
  /// - Parameter last: reads without faults.
  func play(last: StoreCalls) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 1...clients {
        group.addTask {
          var client = ConcurrentClient(number: number, of: self)
          for _ in 1...steps { try await client.step() }
        }
      }
      try await group.waitForAll()
    }
    var reader = ConcurrentClient(number: 0, of: self, calls: last)
    for id in tasks { try await reader.readAll(id) }
  }

  // MARK: What came of it

  /// What nobody can explain, for people; empty where all is well.
  func problems(sometimes: inout Sometimes) -> [String] {
    var specification = TaskSpecification()
    specification.commandsShowTheirWork = !isCut
    let checker = LinearisationChecker(specification)
    return recorder.histories.sorted { $0.key < $1.key }.compactMap { id, history in
      switch checker.check(history) {
      case .found(let order, let end):
        sometimes.note(history, order: order, end: end)
        return nil
      case .none:
        let short = checker.shortened(history)
        guard case .none(let longest, let state, let candidates) = checker.check(short) else { return "no proof" }
        return """
          seed \(seed), task \(id): \(history.count) operations, of which these fit no order:
          \(short.map { "    \($0)" }.joined(separator: "\n"))
          the longest order that fits:
          \(longest.map { "    \(short[$0])" }.joined(separator: "\n"))
          leaves the task so:
              \(state.words)
          and then none of these can come next:
          \(candidates.map { "    \(short[$0])" }.joined(separator: "\n"))
          """
      case .undecided(let count): return "seed \(seed), task \(id): no end after \(count) configurations"
      }
    }
  }
}

/// The leases that anybody knows of, his own or not, and what is known of the tasks.
final class LeaseBoard: Sendable {
  private struct State {
    var leases: [LeaseID] = []
    var attempts: [TaskID: Int] = [:]
  }
  private let state = Mutex(State())

  /// - Parameter most: those that came last.
  func leases(_ most: Int) -> [LeaseID] { state.withLock { Array($0.leases.suffix(most)) } }

  func put(_ lease: LeaseID) {
    state.withLock { state in
      state.leases.append(lease)
      state.attempts[lease.task] = max(state.attempts[lease.task] ?? 0, lease.attempt)
    }
  }

  func saw(_ task: TaskRecord) {
    state.withLock { $0.attempts[task.id] = max($0.attempts[task.id] ?? 0, task.attempt) }
  }

  /// A claim of which the answer was lost may have been given the next attempt: its lease can be guessed.
  func guess(_ id: TaskID, token: Int64) {
    state.withLock { state in
      state.leases.append(LeaseID(task: id, attempt: (state.attempts[id] ?? 0) + 1, token: token))
    }
  }
}
