// A graph as people look at it: its tasks, and who waits for whom.

package import MartletCore

extension SQLiteStore {
  package func graph(_ id: TaskID) async throws(StoreError) -> TaskGraph? {
    try await read { database in
      var edges: [TaskGraph.Edge] = []
      let members = try database.prepared(
        """
        SELECT l.id, l.ref, l.dependencies, r.type, r.status
        FROM task_links l INDEXED BY task_links_graph CROSS JOIN task_runs r ON r.id = l.id
        WHERE l.graph = ?1 ORDER BY l.id
        """
      ).rows(id) { columns in
        let id = try columns.id()
        let ref = columns.optionalText()
        edges += taskIDs(in: columns.blob()).map { TaskGraph.Edge(from: $0, to: id) }
        return TaskGraph.Member(
          id: id, ref: ref, type: columns.text(), status: try TaskStatus(code: columns.int()))
      }
      return members.isEmpty ? nil : TaskGraph(id: id, members: members, edges: edges)
    }
  }
}
