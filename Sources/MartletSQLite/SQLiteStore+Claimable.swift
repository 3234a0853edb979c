// What a claim could give out now, for lists that are kept elsewhere: the heads of the ranges that claims go through.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func claimable(in lanes: Set<Lane>?, limit: Int) async throws(StoreError) -> ClaimableTasks {
    try await read { database in
      let settings = try database.queueSettings()
      let pausedTypes = Set(try database.prepared("SELECT type FROM types WHERE paused = 1").rows { $0.text() })
      let counted = try database.prepared("SELECT queue, type FROM counts WHERE status = 2 AND count > 0")
        .rows { Lane(queue: $0.text(), type: $0.text()) }
      let first = try database.prepared(
        """
        SELECT id, available_at FROM task_runs INDEXED BY task_runs_ready
        WHERE status = 2 AND blocked = 0 AND queue = ?1 AND type = ?2 AND urgency = ?3 ORDER BY available_at, id LIMIT ?4
        """)
      var entries: [DispatchEntry] = []
      for lane in counted where lanes?.contains(lane) ?? true {
        let queue = settings[lane.queue]
        if queue?.isPaused == true || queue?.isLimited == true || pausedTypes.contains(lane.type) { continue }
        for urgency in 1...9 {
          entries += try first.rows(lane.queue, lane.type, urgency, limit) {
            DispatchEntry(id: try $0.id(), lane: lane, priority: 10 - urgency, availableAt: $0.time())
          }
        }
      }
      return ClaimableTasks(entries: entries, limit: limit)
    }
  }
}
