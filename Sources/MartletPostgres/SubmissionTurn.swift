// Which submissions of a call are written in one transaction. Those that have nothing to do with each other nearly always are
// all of them.

internal import MartletCore

struct SubmissionTurn {
  /// Indices of submissions of which all tasks are plain.
  private(set) var plain: [Int] = []
  /// The others.
  private(set) var linked: [Int] = []

  /// - Parameters:
  ///   - open: indices of those not judged yet, in order. One that names a task of an earlier one has its turn later.
  ///   - deep: queues with a `maxDepth`: what goes there is judged as well.
  init(of open: [Int], _ submissions: [Submission], deep: DeepQueues) {
    for index in open {
      let isPlain = submissions[index].isPlain && !submissions[index].isJudged(by: deep)
      if isPlain { plain.append(index) } else { linked.append(index) }
    }
    guard !linked.isEmpty, open.count > 1 else { return }
    var earlier: Set<TaskID> = []
    var later: Set<Int> = []
    for index in open {
      let tasks = submissions[index].tasks
      if tasks.contains(where: { earlier.contains($0.id) || $0.dependencies.contains(where: earlier.contains) }) {
        later.insert(index)
      }
      earlier.formUnion(tasks.map(\.id))
    }
    plain.removeAll(where: later.contains)
    linked.removeAll(where: later.contains)
  }
}

extension Submission {
  // Tasks are looked at where they stand: a copy of one is dear.

  fileprivate var isPlain: Bool { keys.isEmpty && tasks.indices.allSatisfy { tasks[$0].isPlain } }

  fileprivate func isJudged(by deep: DeepQueues) -> Bool {
    !deep.isEmpty && tasks.indices.contains { deep.contains(tasks[$0].queue) }
  }
}

extension AcceptedTask {
  /// Nothing about it but what the first release knew.
  fileprivate var isPlain: Bool {
    dependencies.isEmpty && graph == .none && onDependencyFailure == .hold && ref == nil && idempotencyKey == nil
      && concurrencyKey == nil && scheduleName == nil
  }
}
