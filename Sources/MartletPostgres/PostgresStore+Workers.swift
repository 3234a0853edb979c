// Who is at work: a row per worker, refreshed by its heartbeat.

package import MartletCore

extension PostgresStore {
  package func register(_ worker: WorkerRecord) async throws(StoreError) {
    try await repeating { _ in
      // What is gone keeps no name.
      _ = try await pool.transaction([
        Query(Self.forgetWorkers, nowParameter, Self.lifetime),
        Query(
          Self.refreshWorker, nowParameter, .text(worker.id), .text(worker.host), .text(worker.kind.rawValue),
          .text(JSONColumn.strings(worker.types) ?? "[]"), .text(JSONColumn.strings(worker.queues) ?? "[]"),
          .int4(Int32(clamping: worker.running))),
      ])
    }
  }

  package func unregister(worker id: String) async throws(StoreError) {
    try await repeating { _ in _ = try await pool.run(Query(Self.removeWorker, .text(id))) }
  }

  package func workers() async throws(StoreError) -> [WorkerRecord] {
    try await repeating { _ in
      try await pool.run(Query(Self.readWorkers, nowParameter, Self.lifetime), .background).map { columns in
        WorkerRecord(
          id: columns.text(), host: columns.text(), kind: .init(rawValue: columns.text()) ?? .remote,
          types: try JSONColumn.strings(columns.text()), queues: try JSONColumn.strings(columns.text()),
          running: Int(columns.int()), lastSeenAt: columns.time())
      }
    }
  }

  private static let lifetime = PostgresValue.int8(WorkerRecord.lifetime.wholeMilliseconds)

  private static let refreshWorker = Statement(
    "refresh_worker",
    """
    WITH \(clock)
    INSERT INTO workers (id, host, kind, types, queues, running, last_seen_at)
    SELECT $2::text, $3::text, $4::text, $5::text, $6::text, $7::integer, now FROM clock
    ON CONFLICT (id) DO UPDATE SET host = excluded.host, kind = excluded.kind, types = excluded.types,
      queues = excluded.queues, running = excluded.running, last_seen_at = excluded.last_seen_at
    WHERE workers.kind <> 'node' OR excluded.kind = 'node'
    """)

  private static let forgetWorkers = Statement(
    "forget_workers",
    "WITH \(clock) DELETE FROM workers w USING clock WHERE w.last_seen_at <= now - $2::bigint")

  private static let removeWorker = Statement("remove_worker", "DELETE FROM workers WHERE id = $1::text")

  private static let readWorkers = Statement(
    "read_workers",
    """
    WITH \(clock)
    SELECT id, host, kind, types, queues, running, last_seen_at FROM workers, clock WHERE last_seen_at > now - $2::bigint
    ORDER BY id
    """)
}
