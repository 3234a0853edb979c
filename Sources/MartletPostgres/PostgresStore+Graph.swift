// A graph's tasks, with who waits for whom.

package import MartletCore

extension PostgresStore {
  package func graph(_ id: TaskID) async throws(StoreError) -> TaskGraph? {
    try await repeating { _ in
      var edges: [TaskGraph.Edge] = []
      let members = try await pool.run(Query(Self.readGraph, .uuid(id)), .background).map { columns in
        let member = TaskGraph.Member(
          id: columns.id(), ref: columns.optionalText(), type: columns.text(),
          status: try TaskStatus(code: columns.int()))
        edges += columns.ids().map { TaskGraph.Edge(from: $0, to: member.id) }
        return member
      }
      return members.isEmpty ? nil : TaskGraph(id: id, members: members, edges: edges)
    }
  }

  private static let readGraph = Statement(
    "read_graph",
    """
    SELECT m.task, b.ref, l.type, r.status, b.dependencies
    FROM graph_members m
      CROSS JOIN LATERAL (SELECT lane, status FROM task_runs WHERE id = m.task LIMIT 1) r
      CROSS JOIN LATERAL (SELECT ref, dependencies FROM task_bodies WHERE id = m.task LIMIT 1) b
      JOIN lanes l ON l.id = r.lane
    WHERE m.graph = $1::uuid ORDER BY m.task
    """)
}
