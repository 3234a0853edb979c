// Submissions with keys and dependencies laid out in columns, one entry per task, key or edge: what `submit` hands to the
// statements that judge and write them.

internal import MartletCore

struct LinkedTasks {
  struct Entry {
    var task: AcceptedTask
    /// Which submission it is of.
    var group: Int
    /// The key that covers it.
    var key: IdempotencyKey?
    /// Its place among the key's tasks; the first is 1.
    var place: Int32 = 0
    /// Others of its submission wait for it.
    var isParent = false
    /// Its edges in `edges`: `first...last`, the first of all is 1; empty where last < first.
    var edges: (first: Int32, last: Int32) = (1, 0)
    /// The graph it joins, or that it makes with its first dependency where that has none.
    var graph: TaskID?
    /// The stored task whose graph it joins.
    var anchor: TaskID?
  }

  /// A task's dependency, as it named it.
  struct Edge {
    var parent: TaskID
    /// A task of the same submission.
    var isOwn: Bool
    /// The key of that one, as a place in `keys` that begins at 1, and its place among the key's tasks; 0 without one. The key
    /// may stand for earlier tasks: then one of these is meant.
    var key: Int32 = 0
    var place: Int32 = 0
  }

  let submissions: [Submission]
  private(set) var tasks: [Entry] = []
  private(set) var edges: [Edge] = []
  /// Each once, as the first submission gives it that has it.
  private(set) var keys: [(key: IdempotencyKey, tasks: [TaskID])] = []
  private let replaced: [TaskID: TaskID]

  /// - Parameter replaced: tasks that will not be written, for those that their keys stand for, as far as graphs need it.
  init(_ submissions: [Submission], replaced: [TaskID: TaskID]) {
    self.submissions = submissions
    self.replaced = replaced
    var numbers: [String: Int32] = [:]
    var graphs: [TaskID: TaskID] = [:]
    for (group, submission) in submissions.enumerated() {
      for key in submission.keys where numbers[key.text] == nil {
        keys.append((key, key.tasks.map { submission.tasks[$0].id }))
        numbers[key.text] = Int32(keys.count)
      }
      add(submission, group: group, numbers, &graphs)
    }
  }

  private mutating func add(
    _ submission: Submission, group: Int, _ numbers: [String: Int32], _ graphs: inout [TaskID: TaskID]
  ) {
    let start = tasks.count
    var positions: [TaskID: Int] = [:]
    for (position, task) in submission.tasks.enumerated() {
      tasks.append(Entry(task: task, group: group))
      positions[task.id] = positions[task.id] ?? start + position
    }
    for key in submission.keys {
      for (place, position) in key.tasks.enumerated() {
        tasks[start + position].key = key
        tasks[start + position].place = Int32(place + 1)
      }
    }
    for number in tasks.indices[start...] {
      let first = edges.count
      for parent in tasks[number].task.dependencies {
        let own = positions[parent]
        if let own { tasks[own].isParent = true }
        let entry = own.map { tasks[$0] }
        edges.append(
          Edge(
            parent: parent, isOwn: own != nil, key: entry?.key.flatMap { numbers[$0.text] } ?? 0,
            place: entry?.place ?? 0))
      }
      tasks[number].edges = (Int32(first + 1), Int32(edges.count))
      joinGraph(number, positions, &graphs)
    }
  }

  /// - Parameter graphs: those that stored tasks are given if they have none: two children of one join the same.
  private mutating func joinGraph(_ number: Int, _ positions: [TaskID: Int], _ graphs: inout [TaskID: TaskID]) {
    switch tasks[number].task.graph {
    case .none: return
    case .member(let graph): tasks[number].graph = graph
    case .joinsFirstDependency(let new):
      guard let first = tasks[number].task.dependencies.first else { return }
      guard replaced[first] == nil, let own = positions[first] else {
        let stored = replaced[first] ?? first
        graphs[stored] = graphs[stored] ?? new
        tasks[number].graph = graphs[stored]
        tasks[number].anchor = stored
        return
      }
      guard own < number else {
        tasks[number].graph = new
        return
      }
      tasks[own].graph = tasks[own].graph ?? new
      tasks[number].graph = tasks[own].graph
      tasks[number].anchor = tasks[own].anchor
    }
  }
}
