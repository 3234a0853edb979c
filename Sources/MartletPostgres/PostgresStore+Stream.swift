// The event stream: what the relay appends, and what those who listen read. The sink's row is locked while positions are given, so
// that they come in the order of commits, and a relay that has lost the sink cannot write behind one that has it.

package import MartletCore

extension PostgresStore {
  package func appendToStream(_ events: [OutgoingEvent], relay: String) async throws(StoreError) -> Bool {
    let appended = Query(
      Self.appendEvents, nowParameter, .text(relay), .uuids(events.map(\.task)),
      .int8s(events.map { Int64($0.sequence) }), .int8s(events.map(\.type.code)), .texts(events.map(\.lane.queue)),
      .texts(events.map(\.lane.type)), .bytesArray(events.map { $0.json(data: $0.data) }))
    return try await repeating { _ in
      // The second statement sees what was committed while the first has waited for the lock.
      try await pool.transaction([Query(Self.lockStream), appended], .background)[1].count > 0
    }
  }

  package func streamPage(after position: Int64, limit: Int) async throws(StoreError) -> StreamPage {
    try await repeating { _ in
      let rows = try await pool.run(Query(Self.readStream, .int8(position), .int8(Int64(limit))), .background)
      var page = StreamPage(events: [], first: 1, last: 0)
      page.events = try rows.map { columns -> StreamedEvent? in
        page.first = columns.int()
        page.last = columns.int()
        guard let position = columns.optionalInt() else { return nil }
        return StreamedEvent(
          position: position, task: columns.id(), type: try TaskEventType(code: columns.int()),
          lane: Lane(queue: columns.text(), type: columns.text()), json: columns.blob())
      }.compactMap(\.self)
      return page
    }
  }

  package func pruneStream(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await repeating { _ in
      try await pool.run(
        Query(Self.pruneStream, nowParameter, .int8(age.wholeMilliseconds), .int8(Int64(limit))), .background
      ).affected
    }
  }

  /// Without the sink nobody prunes.
  static let forgetStream = Statement(
    "forget_stream",
    """
    DELETE FROM stream WHERE NOT EXISTS (SELECT 1 FROM sinks WHERE name = '\(StreamPage.sink)')
      AND position <= (SELECT max(o.position) FROM (SELECT position FROM stream ORDER BY position LIMIT $1::bigint) o)
    """)

  private static let lockStream = Statement(
    "lock_stream", "SELECT 1 FROM sinks WHERE name = '\(StreamPage.sink)' FOR UPDATE")

  /// A row where the sink is the relay's.
  private static let appendEvents = Statement(
    "append_to_stream",
    """
    WITH \(clock),
    held AS MATERIALIZED (
      SELECT now FROM clock, sinks s WHERE s.name = '\(StreamPage.sink)' AND s.relay = $2::text AND s.held_until > now
    ),
    fresh AS MATERIALIZED (
      SELECT i.*, held.now, row_number() OVER (ORDER BY i.number) AS place
      FROM held CROSS JOIN unnest($3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bytea[])
        WITH ORDINALITY AS i(task, sequence, type, queue, task_type, event, number)
      WHERE NOT EXISTS (SELECT 1 FROM stream e WHERE e.task = i.task AND e.sequence = i.sequence)
    ),
    moved AS (
      UPDATE stream_place p SET last = p.last + f.count FROM (SELECT count(*) AS count FROM fresh) f WHERE f.count > 0
      RETURNING p.last - f.count AS before
    ),
    written AS (
      INSERT INTO stream (position, task, sequence, type, queue, task_type, at, event)
      SELECT moved.before + f.place, f.task, f.sequence, f.type, f.queue, f.task_type, f.now, f.event
      FROM moved CROSS JOIN fresh f
    )
    SELECT 1 FROM held
    """)

  private static let readStream = Statement(
    "read_stream",
    """
    SELECT coalesce((SELECT min(position) FROM stream), p.last + 1), p.last,
      e.position, e.task, e.type, e.queue, e.task_type, e.event
    FROM stream_place p LEFT JOIN LATERAL (
      SELECT position, task, type, queue, task_type, event FROM stream
      WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint
    ) e ON true
    ORDER BY e.position
    """)

  /// From the beginning up to the first that is to stay: no hole comes into being. By one bound, so that no plan can compare each event
  /// that is kept with each that may go.
  private static let pruneStream = Statement(
    "prune_stream",
    """
    WITH \(clock),
    oldest AS MATERIALIZED (SELECT position, at FROM stream ORDER BY position LIMIT $3::bigint)
    DELETE FROM stream WHERE position <= (
      SELECT max(o.position) FROM oldest o WHERE o.position < coalesce(
        (SELECT min(y.position) FROM clock, oldest y WHERE y.at > now - $2::bigint), 9223372036854775807))
    """)
}
