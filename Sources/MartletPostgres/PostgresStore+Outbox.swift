// The outbox: entries that triggers of `task_runs` write as long as a sink is known (`V0009_outbox.sql`), and what relays do with
// them. A relay begins where it last found something: what it has removed since lies before that, and costs a scan until a vacuum
// has been there.

package import MartletCore
internal import Synchronization

/// Where a relay of this node begins to look, by sink.
final class OutboxPlaces: Sendable {
  private struct Place {
    var number: Int64 = 0
    var looks = 0
  }

  private let places = Mutex<[String: Place]>([:])

  /// Every so many looks all are looked at: transactions that were committed late have left entries behind the place.
  private static let fullLookEvery = 20

  /// The number after which to look.
  func next(_ sink: String) -> Int64 {
    places.withLock { places in
      var place = places[sink] ?? Place()
      defer { places[sink] = place }
      place.looks += 1
      guard place.looks % Self.fullLookEvery == 0 else { return place.number }
      return 0
    }
  }

  /// What it has found: as far as all before it was seen, the next look begins there.
  func found(_ sink: String, first: Int64?, after number: Int64) {
    places.withLock { places in
      if let first, number == 0 || first > number { places[sink, default: Place()].number = max(0, first - 1) }
    }
  }

  func forget(_ sink: String) {
    places.withLock { $0[sink] = nil }
  }
}

extension PostgresStore {
  /// Entries of forgotten sinks that one call removes.
  private static let mostForgotten = 5000

  package func attend(to sinks: Set<String>) async throws(StoreError) -> String {
    let names = sinks.sorted()
    return try await repeating { _ in
      let rows = try await pool.transaction(
        [
          Query(Self.forgetSinks, nowParameter, .int8(SinkState.patience.wholeMilliseconds), .texts(names)),
          Query(Self.noteSinks, nowParameter, .texts(names)),
          Query(Self.forgetEntries),
          Query(Self.forgetStream, .int8(Int64(Self.mostForgotten))),
          Query(Self.switchOutbox),
          Query(Self.readInstallation),
        ], .background)
      return rows[5].first { $0.text() } ?? "unnamed"
    }
  }

  package func takeEntries(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> [OutboxEntry]? {
    try await repeating { _ in
      let start = outboxPlaces.next(sink)
      let rows = try await pool.transaction(
        [
          Query(Self.takeSink, nowParameter, .text(sink), .text(relay), .int8(hold.wholeMilliseconds)),
          Query(Self.readEntries, nowParameter, .text(sink), .text(relay), .int8(start), .int8(Int64(limit))),
        ], .background)
      var isHeld = false
      let entries = rows[1].map { columns -> OutboxEntry? in
        isHeld = true
        return columns.optionalInt().map { number in
          OutboxEntry(
            number: number, task: columns.id(), sequences: Int(columns.int())...Int(columns.int()), at: columns.time(),
            tries: Int(columns.int()))
        }
      }.compactMap(\.self)
      guard isHeld else {
        outboxPlaces.forget(sink)
        return nil
      }
      outboxPlaces.found(sink, first: entries.first?.number, after: start)
      if entries.isEmpty, start > 0 { outboxPlaces.forget(sink) }
      return entries
    }
  }

  package func stories(of entries: [OutboxEntry]) async throws(StoreError) -> [TaskID: TaskStory] {
    guard !entries.isEmpty else { return [:] }
    return try await repeating { _ in try await readStories(of: entries) }
  }

  package func settleEntries(
    delivered: [Int64], putOff: [Int64: Duration], for sink: String
  ) async throws(StoreError) {
    let late = putOff.sorted { $0.key < $1.key }
    try await repeating { isRepetition in
      var queries = [Query(Self.removeEntries, .text(sink), .int8s(delivered))]
      if !late.isEmpty {
        queries.append(
          Query(
            Self.putOffEntries, nowParameter, .text(sink), .int8s(late.map(\.key)),
            .int8s(late.map { $0.value.wholeMilliseconds })))
      }
      try await pool.transaction(queries, .background)
    }
  }

  package func release(sink: String, relay: String) async throws(StoreError) {
    try await repeating { _ in _ = try await pool.run(Query(Self.releaseSink, .text(sink), .text(relay)), .background) }
  }

  package func sinks() async throws(StoreError) -> [SinkState] {
    try await repeating { _ in
      try await pool.run(Query(Self.readSinks, nowParameter), .background).map { columns in
        SinkState(
          name: columns.text(), relay: columns.optionalText(), attendedAt: columns.time(), waiting: Int(columns.int()),
          oldest: columns.optionalTime())
      }
    }
  }

  // MARK: Sinks

  private static let forgetSinks = Statement(
    "forget_sinks",
    "WITH \(clock) DELETE FROM sinks s USING clock WHERE s.attended_at <= now - $2::bigint AND s.name <> ALL ($3::text[])"
  )

  /// In order of their names, so that two nodes that start at once do not wait for each other in a ring.
  private static let noteSinks = Statement(
    "note_sinks",
    """
    WITH \(clock)
    INSERT INTO sinks (name, attended_at) SELECT i.name, now FROM clock, unnest($2::text[]) AS i(name) ORDER BY i.name
    ON CONFLICT (name) DO UPDATE SET attended_at = excluded.attended_at
    """)

  /// From sink to sink, past what waits for those that are known.
  private static let forgetEntries = Statement(
    "forget_entries",
    """
    WITH RECURSIVE named(sink) AS (
      (SELECT o.sink FROM outbox o ORDER BY o.sink LIMIT 1)
      UNION ALL
      SELECT (SELECT o.sink FROM outbox o WHERE o.sink > n.sink ORDER BY o.sink LIMIT 1) FROM named n WHERE n.sink IS NOT NULL
    )
    DELETE FROM outbox o USING (
      SELECT t.place FROM named n CROSS JOIN LATERAL (
        SELECT ctid AS place FROM outbox o WHERE o.sink = n.sink ORDER BY o.sink, o.number LIMIT \(mostForgotten)
      ) t
      WHERE NOT EXISTS (SELECT 1 FROM sinks s WHERE s.number = n.sink)
    ) x WHERE o.ctid = x.place
    """)

  private static let readInstallation = Statement(
    "read_installation", "SELECT encode(value, 'hex') FROM secrets WHERE name = 'installation'")

  private static let switchOutbox = Statement("switch_outbox", "SELECT switch_outbox(EXISTS (SELECT 1 FROM sinks))")

  /// Writes only where half of the hold has passed.
  private static let takeSink = Statement(
    "take_sink",
    """
    WITH \(clock)
    UPDATE sinks s SET relay = $3::text, held_until = now + $4::bigint FROM clock
    WHERE s.name = $2::text AND (s.held_until <= now OR s.relay IS NULL OR s.relay = $3 AND s.held_until < now + $4 / 2)
    """)

  private static let releaseSink = Statement(
    "release_sink", "UPDATE sinks SET relay = NULL, held_until = 0 WHERE name = $1::text AND relay = $2::text")

  private static let readSinks = Statement(
    "read_sinks",
    """
    WITH \(clock)
    SELECT s.name, CASE WHEN s.held_until > now THEN s.relay END, s.attended_at, w.count, f.at
    FROM clock CROSS JOIN sinks s
      CROSS JOIN LATERAL (
        SELECT count(*) AS count FROM (SELECT 1 FROM outbox o WHERE o.sink = s.number LIMIT \(SinkState.mostCounted)) c
      ) w
      LEFT JOIN LATERAL (SELECT o.at FROM outbox o WHERE o.sink = s.number ORDER BY o.number LIMIT 1) f ON true
    ORDER BY s.name
    """)

  // MARK: Entries

  /// A row of NULLs where the sink is this relay's and has nothing; none where it is another's. Before an entry none of its task may
  /// wait: neither put off, nor behind the place, where one was committed late. The sums keep the planner from looking for it by its
  /// number, in all that lies before.
  private static let readEntries = Statement(
    "read_entries",
    """
    WITH \(clock),
    held AS MATERIALIZED (
      SELECT s.number FROM clock, sinks s WHERE s.name = $2::text AND s.relay = $3::text AND s.held_until > now
    )
    SELECT e.number, e.task, e.first, e.last, e.at, e.tries
    FROM clock CROSS JOIN held LEFT JOIN LATERAL (
      SELECT o.number, o.task, o.first, o.last, o.at, o.tries FROM outbox o
      WHERE o.sink = held.number AND o.number > $4::bigint AND o.next_at <= now AND NOT EXISTS (
        SELECT 1 FROM outbox p
        WHERE p.task = o.task AND p.sink + 0 = held.number AND p.number + 0 < o.number
          AND (p.number <= $4 OR p.next_at > now))
      ORDER BY o.sink, o.number LIMIT $5::bigint
    ) e ON true
    ORDER BY e.number
    """)

  private static let removeEntries = Statement(
    "remove_entries",
    """
    DELETE FROM outbox o USING (
      SELECT t.place FROM (SELECT number FROM sinks WHERE name = $1::text) s CROSS JOIN unnest($2::bigint[]) AS i(number)
      CROSS JOIN LATERAL (SELECT ctid AS place FROM outbox WHERE sink = s.number AND number = i.number LIMIT 1) t
    ) x WHERE o.ctid = x.place
    """)

  private static let putOffEntries = Statement(
    "put_off_entries",
    """
    WITH \(clock)
    UPDATE outbox o SET tries = o.tries + 1, next_at = now + i.wait
    FROM clock, (SELECT number FROM sinks WHERE name = $2::text) s, unnest($3::bigint[], $4::bigint[]) AS i(number, wait)
    WHERE o.sink = s.number AND o.number = i.number
    """)

  // MARK: What the entries tell

  private func readStories(of entries: [OutboxEntry]) async throws -> [TaskID: TaskStory] {
    let ranges = entries.ranges
    let ids = Array(ranges.keys)
    let parameters: [PostgresValue] = [
      .uuids(ids), .int8s(ids.map { Int64(ranges[$0]?.after ?? 0) }),
      .int8s(ids.map { Int64(ranges[$0]?.through ?? 0) }),
    ]
    let rows = try await pool.transaction(
      [
        Query(Self.readRecords, .bool(false), .bool(false), .uuids(ids)), Query(Self.readRuns, .uuids(ids)),
        Query(Self.readEndedOf, parameters: parameters), Query(Self.readToldOf, parameters: parameters),
      ], .background)
    let records = try rows[0].map { try TaskRecord(&$0) }
    let runs = Dictionary(try rows[1].map { ($0.id(), try StoredRun(&$0)) }, uniquingKeysWith: { first, _ in first })
    let ended = Dictionary(grouping: try rows[2].map { ($0.id(), try StoredAttempt(&$0)) }) { $0.0 }
    let told = Dictionary(grouping: try rows[3].map { ($0.id(), try TaskEvent(&$0)) }) { $0.0 }
    var stories: [TaskID: TaskStory] = [:]
    for record in records {
      guard let run = runs[record.id], let range = ranges[record.id] else { continue }
      stories[record.id] = run.story(
        of: record, range, ended: ended[record.id, default: []].map(\.1), told: told[record.id, default: []].map(\.1))
    }
    return stories
  }

  private static let readRuns = Statement(
    "read_runs",
    """
    SELECT i.id, x.* FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL (
      SELECT \(runColumns) FROM task_runs r JOIN task_bodies b ON b.id = r.id WHERE r.id = i.id LIMIT 1
    ) x
    """)

  private static let ranges = "unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS i(id, after, through)"

  /// Without log lines.
  private static let readEndedOf = Statement(
    "read_ended_of",
    """
    SELECT i.id, x.* FROM \(ranges) CROSS JOIN LATERAL (
      SELECT number, worker, started_at, finished_at, outcome, error_type, error_message, error_stack, NULL::text, ready_by,
        ready_at, ready_sequence, started_sequence, finished_sequence, status_after, reason, rescued
      FROM attempts
      WHERE task = i.id AND finished_sequence + \(StoredAttempt.mostEnds) > i.after
        AND (CASE WHEN ready_sequence > 0 THEN ready_sequence ELSE started_sequence END) <= i.through
      ORDER BY number OFFSET 0
    ) x
    """)

  private static let readToldOf = Statement(
    "read_told_of",
    """
    SELECT i.id, x.* FROM \(ranges) CROSS JOIN LATERAL (
      SELECT sequence, type, at, actor, cause FROM events
      WHERE task = i.id AND sequence > i.after AND sequence <= i.through ORDER BY sequence OFFSET 0
    ) x
    """)
}
