// Notices: rows that a trigger of `task_runs` writes for tasks with `notify` (`V0011_notices.sql`), and what the notifier and people do
// with them.

package import MartletCore
internal import Synchronization

/// Whether the trigger is known to be on.
final class NoticeSwitch: Sendable {
  private let isOn = Atomic(false)

  var isKnownToBeOn: Bool { isOn.load(ordering: .acquiring) }

  func isOnNow() { isOn.store(true, ordering: .releasing) }

  /// The database may be another than it was.
  func forget() { isOn.store(false, ordering: .releasing) }
}

extension PostgresStore {
  /// Rows that one page looks at, at most.
  private static let noticeScan = 20_000

  // MARK: Writing

  /// To be called before tasks are written: those without `notify` pay for no trigger. In a transaction of its own, since it waits for
  /// all who are writing.
  func switchNoticesOn(for tasks: some Sequence<AcceptedTask>) async throws {
    guard !noticeSwitch.isKnownToBeOn, tasks.contains(where: { !$0.notify.isEmpty }) else { return }
    _ = try await pool.run(Query(Self.switchOn), .background)
    noticeSwitch.isOnNow()
  }

  /// Tells tasks of their receivers, as the queries after those of the same transaction that write them; none where there are none.
  func noteReceivers(of tasks: some Sequence<AcceptedTask>) -> [Query] {
    let told = tasks.filter { !$0.notify.isEmpty }.sorted { $0.id < $1.id }
    guard !told.isEmpty else { return [] }
    let (ids, masks) = (PostgresValue.uuids(told.map(\.id)), PostgresValue.int2s(told.map { Int16($0.notify.mask) }))
    return [
      Query(Self.noteReceivers, ids, .texts(told.map(\.notify.column))), Query(Self.noteEndings, ids, masks),
    ]
  }

  private static let switchOn = Statement("switch_notices_on", "SELECT switch_notices_on()")

  /// What was there before has them already.
  private static let noteReceivers = Statement(
    "note_receivers",
    """
    UPDATE task_bodies b SET notify = i.notify
    FROM unnest($1::uuid[], $2::text[]) AS i(id, notify) WHERE b.id = i.id AND b.notify IS NULL
    """)

  private static let noteEndings = Statement(
    "note_endings",
    """
    UPDATE task_runs r SET notifies = i.mask
    FROM unnest($1::uuid[], $2::smallint[]) AS i(id, mask) WHERE r.id = i.id AND r.notifies = 0
    """)

  // MARK: Delivering

  package func takeNotices(_ request: NoticeRequest) async throws(StoreError) -> NoticeTurn {
    try await repeating { _ in
      let rows = try await pool.run(
        Query(
          Self.take, nowParameter, .text(request.after ?? ""), .texts(request.without.sorted()),
          .texts(request.channels.map(\.rawValue).sorted()), .int8(Int64(request.perDestination)),
          .int8(Int64(request.limit)), .int8(request.hold.wholeMilliseconds)), .background)
      var last: (destination: String?, isCut: Bool) = (nil, false)
      let notices = try rows.map { columns -> NoticeRecord? in
        last = (columns.optionalText(), columns.bool())
        return try columns.optionalInt().map { try NoticeRecord(number: $0, &columns) }
      }.compactMap(\.self)
      // Where the limit was reached there may be more for any destination behind that of the last one.
      let next = notices.count == request.limit ? notices.map(\.destination).max() : last.isCut ? last.destination : nil
      return NoticeTurn(notices: notices, next: next)
    }
  }

  package func settleNotices(_ reports: [NoticeReport]) async throws(StoreError) {
    guard !reports.isEmpty else { return }
    let reports = reports.sorted {
      ($0.id.task, $0.id.sequence, $0.id.place) < ($1.id.task, $1.id.sequence, $1.id.place)
    }
    let outcomes = reports.map(\.outcome.columns)
    try await repeating { _ in
      _ = try await pool.run(
        Query(
          Self.settle, nowParameter, .uuids(reports.map(\.id.task)), .int4s(reports.map { Int32($0.id.sequence) }),
          .int4s(reports.map { Int32($0.id.place) }), .int4s(reports.map { Int32($0.attempt) }),
          .int2s(outcomes.map { Int16($0.status.code) }), .int8s(outcomes.map { $0.pause.wholeMilliseconds }),
          .texts(outcomes.map { $0.error?.escaped })), .background)
    }
  }

  package func abandonNotices(limit: Int) async throws(StoreError) -> Int {
    try await repeating { _ in
      try await pool.run(
        Query(
          Self.abandon, nowParameter, .int8(NoticePatience.longest.wholeMilliseconds), .int8(Int64(limit)),
          .text(NoticePatience.nobody)), .background
      ).affected
    }
  }

  /// From destination to destination, by the index: however much waits for one of them, the others are found at once.
  private static let take = Statement(
    "take_notices",
    """
    WITH RECURSIVE \(clock),
    destinations(name, number) AS (
      (SELECT n.destination, 1 FROM notices n WHERE n.status = 1 AND n.destination > $2::text COLLATE "C"
        ORDER BY n.destination LIMIT 1)
      UNION ALL
      SELECT (SELECT n.destination FROM notices n WHERE n.status = 1 AND n.destination > d.name ORDER BY n.destination LIMIT 1),
        d.number + 1
      FROM destinations d WHERE d.name IS NOT NULL AND d.number <= \(NoticeRequest.mostDestinations)
    ),
    seen AS MATERIALIZED (SELECT name FROM destinations WHERE name IS NOT NULL AND number <= \(NoticeRequest.mostDestinations)),
    due AS MATERIALIZED (
      SELECT n.place FROM clock CROSS JOIN (SELECT name FROM seen WHERE name <> ALL ($3::text[]) ORDER BY name) d
      CROSS JOIN LATERAL (
        SELECT t.ctid AS place FROM notices t
        WHERE t.status = 1 AND t.destination = d.name AND t.next_at <= now AND t.channel = ANY ($4::text[])
        ORDER BY t.next_at, t.number LIMIT $5::bigint FOR UPDATE SKIP LOCKED
      ) n
      LIMIT $6::bigint
    ),
    taken AS (
      UPDATE notices n SET attempts = n.attempts + 1, next_at = now + $7::bigint, is_held = true, updated_at = now
      FROM due, clock WHERE n.ctid = due.place AND n.status = 1 AND n.next_at <= now
      RETURNING \(columns)
    ),
    edge AS MATERIALIZED (
      SELECT max(name COLLATE "C") AS name, count(*) = \(NoticeRequest.mostDestinations) AS is_cut FROM seen
    )
    SELECT edge.name, edge.is_cut, taken.* FROM edge LEFT JOIN taken ON true ORDER BY taken.destination, taken.number
    """)

  private static let settle = Statement(
    "settle_notices",
    """
    WITH \(clock),
    told AS MATERIALIZED (
      SELECT t.row, i.* FROM (
        SELECT * FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::integer[], $6::smallint[], $7::bigint[], $8::text[])
          AS i(task, sequence, place, attempt, status, pause, error)
        ORDER BY task, sequence, place
      ) i CROSS JOIN LATERAL (
        SELECT ctid AS row FROM notices
        WHERE task = i.task AND sequence = i.sequence AND place = i.place LIMIT 1 FOR UPDATE
      ) t
    )
    UPDATE notices n SET status = CASE WHEN t.status = 1 AND n.attempts >= n.most_attempts THEN 3 ELSE t.status END,
      next_at = now + t.pause, is_held = false, error = coalesce(t.error, n.error), updated_at = now
    FROM clock, told t WHERE n.ctid = t.row AND n.attempts = t.attempt AND n.is_held
    """)

  private static let abandon = Statement(
    "abandon_notices",
    """
    WITH \(clock),
    old AS MATERIALIZED (
      SELECT t.ctid AS place FROM notices t, clock
      WHERE t.status = 1 AND t.pending_since <= now - $2::bigint AND NOT (t.is_held AND t.next_at > now)
      LIMIT $3::bigint FOR UPDATE OF t SKIP LOCKED
    )
    UPDATE notices n SET status = 3, updated_at = now, error = coalesce(n.error, $4::text)
    FROM old, clock WHERE n.ctid = old.place
    """)

  // MARK: Reading, sending again

  package func notices(_ query: NoticeQuery) async throws(StoreError) -> NoticeList {
    try await repeating { _ in
      let rows = try await pool.run(
        Query(
          query.task == nil ? Self.readNotices : Self.readNoticesOf, .int8(query.before ?? .max), .uuid(query.task),
          query.statuses.isEmpty
            ? PostgresValue(type: TypeID.int2s, bytes: nil) : .int2s(query.statuses.map { Int16($0.code) }),
          query.scope.map { .texts($0.map(\.likePattern)) } ?? PostgresValue(type: TypeID.texts, bytes: nil),
          .int8(Int64(query.limit + 1))), .background)
      var cut: Int64?
      var page = try rows.map { columns -> NoticeRecord? in
        cut = columns.optionalInt()
        return try columns.optionalInt().map { try NoticeRecord(number: $0, &columns) }
      }.compactMap(\.self)
      if page.count > query.limit {
        page.removeLast()
        return NoticeList(notices: page, next: page.last?.number)
      }
      return NoticeList(notices: page, next: cut)
    }
  }

  package func notice(_ id: NoticeID) async throws(StoreError) -> NoticeRecord? {
    try await repeating { _ in try await read(id) }
  }

  package func resend(notice id: NoticeID, actor: String) async throws(StoreError) -> NoticeRecord? {
    let note = AuditNote(.resendNotice, of: id.description, by: actor)
    return try await repeating { _ in
      _ = try await pool.run(
        Query(
          Self.resend,
          parameters: [
            nowParameter, .uuid(id.task), .int4(Int32(id.sequence)), .int4(Int32(id.place)),
            .int4(Int32(NoticePatience.attempts)), .text(note.actor), .text(note.target), .int8(note.number),
          ]), .background)
      return try await read(id)
    }
  }

  private func read(_ id: NoticeID) async throws -> NoticeRecord? {
    let key: [PostgresValue] = [.uuid(id.task), .int4(Int32(id.sequence)), .int4(Int32(id.place))]
    return try await pool.run(Query(Self.readNotice, parameters: key), .background)
      .first { try NoticeRecord(number: $0.int(), &$0) }
  }

  package func waitingNotices() async throws(StoreError) -> WaitingNotices {
    try await repeating { _ in
      try await pool.run(Query(Self.countWaiting), .background)
        .first { WaitingNotices(count: Int($0.int()), oldest: $0.optionalTime()) }
        ?? WaitingNotices(count: 0, oldest: nil)
    }
  }

  private static let resend = Statement(
    "resend_notice",
    """
    WITH \(clock),
    changed AS (
      UPDATE notices n SET status = 1, most_attempts = n.attempts + $5::integer, next_at = now, is_held = false,
        pending_since = now, updated_at = now
      FROM clock WHERE n.task = $2::uuid AND n.sequence = $3::integer AND n.place = $4::integer
        AND NOT (n.status = 1 AND n.is_held AND n.next_at > now)
      RETURNING n.updated_at AS now
    )
    \(auditSQL(.resendNotice, of: "$7::text", by: "$6::text", number: "$8::bigint", from: "changed"))
    """)

  private static let readNotice = Statement(
    "read_notice",
    "SELECT \(columns) FROM notices n WHERE n.task = $1::uuid AND n.sequence = $2::integer AND n.place = $3::integer")

  private static let countWaiting = Statement(
    "count_waiting_notices",
    """
    SELECT count(*), min(created_at) FROM (
      SELECT created_at FROM notices WHERE status = 1 LIMIT \(NoticePatience.mostCounted)) n
    """)

  private static let readNotices = Statement("read_notices", listSQL("$2::uuid IS NULL"))
  private static let readNoticesOf = Statement("read_notices_of", listSQL("task = $2::uuid"))

  /// One more than the limit, to know whether there are more. Before each the last one that was looked at, where more than these may
  /// match and the page is not full.
  private static func listSQL(_ condition: String) -> String {
    let rows = "SELECT * FROM notices WHERE \(condition) AND number < $1::bigint ORDER BY number DESC"
    return """
      WITH page AS MATERIALIZED (
        SELECT \(columns) FROM (\(rows) LIMIT \(noticeScan)) n
        WHERE ($3::smallint[] IS NULL OR n.status = ANY ($3)) AND ($4::text[] IS NULL OR n.queue LIKE ANY ($4))
        ORDER BY n.number DESC LIMIT $5::bigint
      )
      SELECT cut.number, p.*
      FROM (SELECT count(*) AS count FROM page) counted
        LEFT JOIN LATERAL (
          SELECT number FROM (\(rows) LIMIT 1 OFFSET \(noticeScan - 1)) n WHERE counted.count < $5
        ) cut ON true
        LEFT JOIN page p ON true
      ORDER BY p.number DESC
      """
  }

  /// Of a `NoticeRecord`, of `notices n`.
  private static let columns = """
    n.number, n.task, n.sequence, n.place, n.type, n.queue, n.channel, n.target, n.destination, n.task_status, n.reason,
    n.attempt, n.max_attempts, n.started_at, n.status, n.attempts, n.most_attempts, n.created_at, n.updated_at, n.next_at,
    n.error
    """
}

extension NoticeRecord {
  /// Reads the columns behind the number.
  fileprivate init(number: Int64, _ columns: inout Columns) throws {
    let id = NoticeID(task: columns.id(), sequence: Int(columns.int()), place: Int(columns.int()))
    let (type, queue, channel) = (columns.text(), columns.text(), columns.text())
    let (target, destination) = (columns.text(), columns.text())
    let taskStatus = try TaskStatus(code: columns.int())
    let reason = try columns.optionalInt().map(FinalReason.init(code:))
    let (attempt, maxAttempts) = (Int(columns.int()), Int(columns.int()))
    let startedAt = columns.optionalTime()
    let status = try Status(code: columns.int())
    let (attempts, mostAttempts) = (Int(columns.int()), Int(columns.int()))
    let (createdAt, updatedAt, nextAt) = (columns.time(), columns.time(), columns.time())
    guard let channel = NoticeChannel(rawValue: channel) else { throw UnreadableRow(what: "channel \(channel)") }
    self.init(
      id: id, number: number, type: type, queue: queue, channel: channel, target: target, destination: destination,
      taskStatus: taskStatus, reason: reason, attempt: attempt, maxAttempts: maxAttempts, startedAt: startedAt,
      status: status, attempts: attempts, mostAttempts: mostAttempts, createdAt: createdAt, updatedAt: updatedAt,
      nextAttemptAt: status == .pending ? nextAt : nil, lastError: columns.optionalText()?.unescaped)
  }
}
