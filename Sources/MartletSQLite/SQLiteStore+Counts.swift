// How many tasks there are, from the table that every transaction keeps.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func counts() async throws(StoreError) -> [TaskCount] {
    try await read { database in
      try database.prepared("SELECT queue, type, status, count FROM counts WHERE count <> 0").rows { columns in
        TaskCount(
          lane: Lane(queue: columns.text(), type: columns.text()), status: try TaskStatus(code: columns.int()),
          count: Int(columns.int()))
      }
    }
  }

  package func oldestReady() async throws(StoreError) -> [String: Timestamp] {
    try await read { database in
      let lanes = try database.prepared("SELECT queue, type FROM counts WHERE status = 2 AND count > 0")
        .rows { Lane(queue: $0.text(), type: $0.text()) }
      // The oldest of the next urgency: most lanes have one or two.
      let next = try database.prepared(
        """
        SELECT urgency, available_at FROM task_runs INDEXED BY task_runs_ready
        WHERE status = 2 AND blocked = 0 AND queue = ?1 AND type = ?2 AND urgency > ?3
        ORDER BY urgency, available_at LIMIT 1
        """)
      let waiting = try database.prepared(
        """
        SELECT available_at FROM key_line INDEXED BY key_line_oldest
        WHERE admitted_at IS NULL AND queue = ?1 ORDER BY available_at LIMIT 1
        """)
      var oldest: [String: Timestamp] = [:]
      for queue in Set(lanes.map(\.queue)) { oldest[queue] = try waiting.row(queue) { $0.time() } }
      for lane in lanes {
        var urgency = 0
        while let (found, time) = try next.row(lane.queue, lane.type, urgency, read: { (Int($0.int()), $0.time()) }) {
          oldest[lane.queue] = min(oldest[lane.queue] ?? .latest, time)
          urgency = found
        }
      }
      return oldest
    }
  }
}
