// The outbox: entries that triggers of `task_runs` write as long as a sink is known, and what relays do with them.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  /// Entries of forgotten sinks that one call removes.
  private static let mostForgotten = 5000

  package func attend(to sinks: Set<String>) async throws(StoreError) -> String {
    try await writer.write { transaction in
      let note = try transaction.prepared(
        "INSERT INTO sinks (name, attended_at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET attended_at = excluded.attended_at"
      )
      for sink in sinks.sorted() { try note.run(sink, transaction.now) }
      try transaction.prepared("DELETE FROM sinks WHERE attended_at <= ?1")
        .run(transaction.now + (.zero - SinkState.patience))
      try transaction.prepared(
        "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox WHERE sink NOT IN (SELECT number FROM sinks) LIMIT ?1)"
      ).run(Self.mostForgotten)
      try transaction.forgetStream(limit: Self.mostForgotten)
      let isWanted = try transaction.prepared("SELECT EXISTS (SELECT 1 FROM sinks)").row { $0.bool() } ?? false
      try transaction.database.execute(sql: isWanted ? makeTriggers : removeTriggers)
      let name = try transaction.prepared("SELECT hex(value) FROM secrets WHERE name = 'installation'").row {
        $0.text()
      }
      return name?.lowercased() ?? "unnamed"
    }
  }

  package func takeEntries(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> [OutboxEntry]? {
    guard let (number, now) = try await take(sink, for: relay, hold) else { return nil }
    return try await read { try $0.entries(of: number, limit: limit, now: now) }
  }

  package func stories(of entries: [OutboxEntry]) async throws(StoreError) -> [TaskID: TaskStory] {
    try await read { try $0.stories(of: entries) }
  }

  /// The sink's number. Writes only where half of the hold has passed.
  private func take(
    _ sink: String, for relay: String, _ hold: Duration
  ) async throws(StoreError) -> (number: Int64, now: Timestamp)? {
    let now = clock()
    let held = try await read { database in
      try database.prepared("SELECT number FROM sinks WHERE name = ?1 AND relay = ?2 AND held_until > ?3")
        .row(sink, relay, now + hold / 2) { $0.int() }
    }
    if let held { return (held, now) }
    return try await writer.write { transaction in
      try transaction.prepared(
        """
        UPDATE sinks SET relay = ?2, held_until = ?4
        WHERE name = ?1 AND (relay IS NULL OR relay = ?2 OR held_until <= ?3) RETURNING number
        """
      ).row(sink, relay, transaction.now, transaction.now + hold) { ($0.int(), transaction.now) }
    }
  }

  package func settleEntries(
    delivered: [Int64], putOff: [Int64: Duration], for sink: String
  ) async throws(StoreError) {
    try await writer.write { transaction in
      let remove = try transaction.prepared("DELETE FROM outbox WHERE number = ?1")
      for number in delivered { try remove.run(number) }
      let wait = try transaction.prepared("UPDATE outbox SET tries = tries + 1, next_at = ?2 WHERE number = ?1")
      for (number, duration) in putOff.sorted(by: { $0.key < $1.key }) {
        try wait.run(number, transaction.now + duration)
      }
    }
  }

  package func release(sink: String, relay: String) async throws(StoreError) {
    try await writer.write { transaction in
      _ = try transaction.prepared("UPDATE sinks SET relay = NULL, held_until = 0 WHERE name = ?1 AND relay = ?2")
        .run(sink, relay)
    }
  }

  package func sinks() async throws(StoreError) -> [SinkState] {
    let now = clock()
    return try await read { database in
      try database.prepared(
        """
        SELECT s.name, CASE WHEN s.held_until > ?1 THEN s.relay END, s.attended_at,
          (SELECT count(*) FROM (SELECT 1 FROM outbox o WHERE o.sink = s.number LIMIT ?2)),
          (SELECT o.at FROM outbox o WHERE o.sink = s.number ORDER BY o.number LIMIT 1)
        FROM sinks s ORDER BY s.name
        """
      ).rows(now, SinkState.mostCounted) { columns in
        SinkState(
          name: columns.text(), relay: columns.optionalText(), attendedAt: columns.time(), waiting: Int(columns.int()),
          oldest: columns.optionalTime())
      }
    }
  }
}

/// A task without sinks pays for none of these.
private let makeTriggers = """
  CREATE TRIGGER IF NOT EXISTS task_runs_outbox_new AFTER INSERT ON task_runs
  BEGIN
    INSERT INTO outbox (sink, task, first, last, at) SELECT number, NEW.id, 1, NEW.sequence, NEW.updated_at FROM sinks;
  END;
  CREATE TRIGGER IF NOT EXISTS task_runs_outbox_moved AFTER UPDATE OF sequence ON task_runs
    WHEN NEW.sequence > OLD.sequence
  BEGIN
    INSERT INTO outbox (sink, task, first, last, at)
    SELECT number, NEW.id, OLD.sequence + 1, NEW.sequence, NEW.updated_at FROM sinks;
  END;
  """

private let removeTriggers = """
  DROP TRIGGER IF EXISTS task_runs_outbox_new;
  DROP TRIGGER IF EXISTS task_runs_outbox_moved;
  """

extension Database {
  fileprivate func entries(of sink: Int64, limit: Int, now: Timestamp) throws -> [OutboxEntry] {
    try prepared(
      """
      SELECT o.number, o.task, o.first, o.last, o.at, o.tries FROM outbox o INDEXED BY outbox_sink
      WHERE o.sink = ?1 AND o.next_at <= ?2 AND NOT EXISTS (
        SELECT 1 FROM outbox p INDEXED BY outbox_task
        WHERE p.task = o.task AND p.sink = o.sink AND p.number < o.number AND p.next_at > ?2)
      ORDER BY o.number LIMIT ?3
      """
    ).rows(sink, now, limit) { columns in
      OutboxEntry(
        number: columns.int(), task: try columns.id(), sequences: Int(columns.int())...Int(columns.int()),
        at: columns.time(), tries: Int(columns.int()))
    }
  }

  fileprivate func stories(of entries: [OutboxEntry]) throws -> [TaskID: TaskStory] {
    var stories: [TaskID: TaskStory] = [:]
    for (task, range) in entries.ranges {
      stories[task] = try story(of: task, range)
    }
    return stories
  }
}
