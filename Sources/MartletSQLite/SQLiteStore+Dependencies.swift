// What a new task waits for: the states of those that it names, the edges, and the graph that it joins. Called by `submit`; what
// comes of the edges later stands in `SQLiteStore+Settle.swift`.

internal import MartletCore

/// The tasks that a submission's tasks depend on.
struct Parents {
  /// Those that are stored already.
  var statuses: [TaskID: TaskStatus] = [:]
  /// All that are named, in the order in which they are.
  var named: [TaskID] = []
  /// Neither stored nor of the submission.
  var unknown: [TaskID] = []
}

extension WriteTransaction {
  func parents(of tasks: [AcceptedTask]) throws -> Parents {
    let own = Set(tasks.map(\.id))
    var parents = Parents()
    parents.named = tasks.flatMap(\.dependencies).withoutRepetitions()
    for id in parents.named {
      let status = try prepared("SELECT status FROM task_runs WHERE id = ?1")
        .row(id) { try TaskStatus(code: $0.int()) }
      if let status {
        parents.statuses[id] = status
      } else if !own.contains(id) {
        parents.unknown.append(id)
      }
    }
    return parents
  }

  /// Writes tasks that may depend on each other, in any order.
  func insert(_ tasks: [AcceptedTask], among parents: Parents) throws {
    let named = Set(parents.named)
    var failed: [TaskID] = []
    for task in tasks {
      let edges = task.dependencies.withoutRepetitions().map { parent in
        let effect = parents.statuses[parent].map { task.onDependencyFailure.effect(of: $0) }
        return (parent: parent, effect: effect ?? .open)
      }
      let unmet = edges.count { $0.effect != .met }
      guard try insert(task, unmet: unmet, hasChildren: named.contains(task.id)) else { continue }
      for edge in edges {
        try insertEdge(from: edge.parent, to: task, isMet: edge.effect == .met)
        if parents.statuses[edge.parent] != nil { try markParent(edge.parent) }
      }
      if edges.contains(where: { $0.effect == .fails }) { failed.append(task.id) }
    }
    for id in failed { try fail(id) }
    try workOffCascade()
  }

  private func insertEdge(from parent: TaskID, to child: AcceptedTask, isMet: Bool) throws {
    try prepared("INSERT INTO dependencies (parent, child, on_failure, met) VALUES (?1, ?2, ?3, ?4)")
      .run(parent, child.id, child.onDependencyFailure.code, isMet)
  }

  private func markParent(_ id: TaskID) throws {
    try prepared("UPDATE task_runs SET has_children = 1 WHERE id = ?1 AND has_children = 0").run(id)
  }

  /// The graph that a new task is of. Its first dependency may become a member with it.
  func graph(of task: AcceptedTask) throws -> TaskID? {
    switch task.graph {
    case .none: return nil
    case .member(let graph): return graph
    case .joinsFirstDependency(let new):
      guard let first = task.dependencies.first else { return nil }
      let found = try prepared(
        "SELECT l.graph FROM task_runs r LEFT JOIN task_links l ON l.id = r.id WHERE r.id = ?1"
      ).row(first) { try $0.optionalID() }
      guard let graph = found else { return new }  // comes later in this submission
      if let graph { return graph }
      try prepared(
        """
        INSERT INTO task_links (id, on_failure, graph) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET graph = excluded.graph
        """
      ).run(first, DependencyPolicy.hold.code, new)
      return new
    }
  }

  /// Takes a deleted task out of what binds others. Of those that wait for it none is anything but final.
  func deleteEdges(of task: WaitingRow) throws {
    let links = try prepared("DELETE FROM task_links WHERE id = ?1 RETURNING dependencies")
      .row(task.id) { taskIDs(in: $0.blob()) }
    for parent in Set(links ?? []) {
      try prepared("DELETE FROM dependencies WHERE parent = ?1 AND child = ?2").run(parent, task.id)
    }
    guard task.hasChildren else { return }
    // What will never come is not waited for, should they be retried.
    try prepared(
      """
      UPDATE task_runs SET unmet = unmet - 1
      WHERE id IN (SELECT child FROM dependencies WHERE parent = ?1 AND met = 0)
      """
    ).run(task.id)
    try prepared("DELETE FROM dependencies WHERE parent = ?1").run(task.id)
  }
}

extension [TaskID] {
  fileprivate func withoutRepetitions() -> [TaskID] {
    var seen: Set<TaskID> = []
    return filter { seen.insert($0).inserted }
  }
}
