// Who is at work: a row per worker, refreshed by its heartbeat.

package import MartletCore

extension SQLiteStore {
  package func register(_ worker: WorkerRecord) async throws(StoreError) {
    try await writer.write { transaction in
      // First, so that one that is gone keeps no name.
      try transaction.prepared("DELETE FROM workers WHERE last_seen_at <= ?1")
        .run(transaction.now + (.zero - WorkerRecord.lifetime))
      try transaction.prepared(
        """
        INSERT INTO workers (id, host, kind, types, queues, running, last_seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT DO UPDATE SET host = ?2, kind = ?3, types = ?4, queues = ?5, running = ?6, last_seen_at = ?7
        WHERE kind <> 'node' OR excluded.kind = 'node'
        """
      ).run(
        worker.id, worker.host, worker.kind.rawValue, JSONColumn.strings(worker.types) ?? "[]",
        JSONColumn.strings(worker.queues) ?? "[]", worker.running, transaction.now)
    }
  }

  package func unregister(worker id: String) async throws(StoreError) {
    try await writer.write { transaction in
      _ = try transaction.prepared("DELETE FROM workers WHERE id = ?1").run(id)
    }
  }

  package func workers() async throws(StoreError) -> [WorkerRecord] {
    let oldest = clock() + (.zero - WorkerRecord.lifetime)
    return try await read { database in
      try database.prepared(
        "SELECT id, host, kind, types, queues, running, last_seen_at FROM workers WHERE last_seen_at > ?1 ORDER BY id"
      ).rows(oldest) { columns in
        WorkerRecord(
          id: columns.text(), host: columns.text(), kind: .init(rawValue: columns.text()) ?? .remote,
          types: try JSONColumn.strings(columns.text()), queues: try JSONColumn.strings(columns.text()),
          running: Int(columns.int()), lastSeenAt: columns.time())
      }
    }
  }
}
