// The dependencies among the tasks of one submission: who names whom, and whether somebody waits for himself. `TaskService` asks
// before it writes anything.

/// Who waits for whom, by position in the batch.
package struct BatchGraph: Sendable, Hashable {
  /// What a task waits for.
  package enum Parent: Sendable, Hashable {
    /// One of the same batch, by its position.
    case own(Int)
    /// One that must be stored already.
    case stored(TaskID)
  }

  /// For each task, in the order in which it names them.
  package private(set) var parents: [[Parent]]

  /// What a task of a batch says of itself and of others.
  package struct Node: Sendable, Hashable {
    package var ref: String?
    package var dependencies: [String]

    package init(ref: String?, dependencies: [String]) {
      self.ref = ref
      self.dependencies = dependencies
    }
  }

  /// At most this many dependencies of one task.
  package static let mostDependencies = 1000

  /// A name is looked for among the batch's refs first, then read as an id.
  /// - Parameter place: the JSON Pointer of a task.
  /// - Returns: nil where there is a problem: refs that are malformed or given twice, names that are neither, a task named
  ///   twice by the same one. Cycles are another question, see `cycle`.
  package init?(_ nodes: [Node], at place: (Int) -> String, problems: inout Problems) {
    let before = problems.all.count
    var positions: [String: Int] = [:]
    for (index, node) in nodes.enumerated() {
      guard let ref = node.ref else { continue }
      problems.checkName(ref, at: place(index) + "/ref")
      if TaskID(ref) != nil { problems.add(place(index) + "/ref", "must not look like a task's id") }
      if let first = positions.updateValue(index, forKey: ref) {
        problems.add(place(index) + "/ref", "is the ref of \(place(first)) too")
      }
    }
    parents = []
    for (index, node) in nodes.enumerated() {
      var found: [Parent] = []
      var seen: Set<String> = []
      if node.dependencies.count > Self.mostDependencies {
        problems.add(
          place(index) + "/dependencies",
          "has \(node.dependencies.count) entries; at most \(Self.mostDependencies) are taken")
      }
      for (number, name) in node.dependencies.prefix(Self.mostDependencies).enumerated() {
        let pointer = place(index) + "/dependencies/\(number)"
        guard seen.insert(name).inserted else {
          problems.add(pointer, "is named twice")
          continue
        }
        if let position = positions[name] {
          found.append(.own(position))
        } else if let id = TaskID(name) {
          found.append(.stored(id))
        } else {
          problems.add(pointer, nodes.count == 1 ? "must be the id of a task" : "is no ref of this batch and no id")
        }
      }
      parents.append(found)
    }
    if problems.all.count > before { return nil }
  }

  package var hasEdges: Bool { parents.contains { !$0.isEmpty } }

  /// Tasks that wait for each other in a ring, each for the next and the last for the first; nil where there is none. Linear
  /// in tasks and edges, and without recursion: a chain may be as long as the batch.
  package var cycle: [Int]? {
    enum Mark { case unseen, open, done }
    var marks = [Mark](repeating: .unseen, count: parents.count)
    for start in parents.indices where marks[start] == .unseen {
      var path: [(node: Int, next: Int)] = [(start, 0)]
      marks[start] = .open
      while let (node, next) = path.last {
        guard next < parents[node].count else {
          marks[node] = .done
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        guard case .own(let parent) = parents[node][next] else { continue }
        switch marks[parent] {
        case .unseen:
          marks[parent] = .open
          path.append((parent, 0))
        case .open:
          return path[path.firstIndex { $0.node == parent }!...].map(\.node)
        case .done: break
        }
      }
    }
    return nil
  }
}
