// The event stream: what the relay appends, and what those who listen read. There is one writer, so positions come in the order of
// commits.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func appendToStream(_ events: [OutgoingEvent], relay: String) async throws(StoreError) -> Bool {
    try await writer.write { transaction in
      let isHeld = try transaction.prepared(
        "SELECT 1 FROM sinks WHERE name = ?1 AND relay = ?2 AND held_until > ?3"
      ).row(StreamPage.sink, relay, transaction.now) { $0.bool() }
      guard isHeld != nil else { return false }
      let before = try transaction.prepared("SELECT last FROM stream_place").row { $0.int() } ?? 0
      var last = before
      let append = try transaction.prepared(
        """
        INSERT INTO stream (position, task, sequence, type, queue, task_type, at, event)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (task, sequence) DO NOTHING
        """)
      for event in events {
        last += Int64(
          try append.run(
            last + 1, event.task, event.sequence, event.type.code, event.lane.queue, event.lane.type, transaction.now,
            event.json(data: event.data)))
      }
      if last > before { try transaction.prepared("UPDATE stream_place SET last = ?1").run(last) }
      return true
    }
  }

  package func streamPage(after position: Int64, limit: Int) async throws(StoreError) -> StreamPage {
    try await read { database in
      let last = try database.prepared("SELECT last FROM stream_place").row { $0.int() } ?? 0
      let first = try database.prepared("SELECT position FROM stream ORDER BY position LIMIT 1").row { $0.int() }
      let events = try database.prepared(
        """
        SELECT position, task, type, queue, task_type, event FROM stream WHERE position > ?1 ORDER BY position LIMIT ?2
        """
      ).rows(position, limit) { columns in
        StreamedEvent(
          position: columns.int(), task: try columns.id(), type: try TaskEventType(code: columns.int()),
          lane: Lane(queue: columns.text(), type: columns.text()), json: columns.blob())
      }
      return StreamPage(events: events, first: first ?? last + 1, last: last)
    }
  }

  package func pruneStream(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await writer.write { transaction in
      // From the beginning up to the first that is to stay: no hole comes into being.
      try transaction.prepared(
        """
        WITH oldest AS MATERIALIZED (SELECT position, at FROM stream ORDER BY position LIMIT ?2)
        DELETE FROM stream WHERE position IN (SELECT position FROM oldest)
          AND position < coalesce((SELECT min(position) FROM oldest WHERE at > ?1), 9223372036854775807)
        """
      ).run(transaction.now + (.zero - age), limit)
    }
  }
}

extension WriteTransaction {
  /// Without the sink nobody prunes.
  func forgetStream(limit: Int) throws {
    try prepared(
      """
      DELETE FROM stream WHERE NOT EXISTS (SELECT 1 FROM sinks WHERE name = ?1)
        AND position IN (SELECT position FROM stream ORDER BY position LIMIT ?2)
      """
    ).run(StreamPage.sink, limit)
  }
}
