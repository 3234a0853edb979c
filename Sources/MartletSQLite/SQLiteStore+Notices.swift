// Notices: rows that triggers of `task_runs` write for tasks with `notify`, and what the notifier and people do with them.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  /// Rows that one page looks at, at most.
  private static let noticeScan = 20_000

  package func takeNotices(_ request: NoticeRequest) async throws(StoreError) -> NoticeTurn {
    let now = clock()
    // A look costs the writer nothing, and mostly finds nothing.
    let due = try await read { database in try database.dueNotices(request, now: now) }
    guard !due.numbers.isEmpty else { return NoticeTurn(notices: [], next: due.next) }
    let notices = try await writer.write { transaction in
      let take = try transaction.prepared(
        """
        UPDATE notices SET attempts = attempts + 1, next_at = ?2, is_held = 1, updated_at = ?3
        WHERE number = ?1 AND status = 1 AND next_at <= ?3
        """)
      return try due.numbers.compactMap { number -> NoticeRecord? in
        guard try take.run(number, transaction.now + request.hold, transaction.now) == 1 else { return nil }
        return try transaction.database.notice("number = ?1", number)
      }
    }
    return NoticeTurn(notices: notices, next: due.next)
  }

  package func settleNotices(_ reports: [NoticeReport]) async throws(StoreError) {
    try await writer.write { transaction in
      let settle = try transaction.prepared(
        """
        UPDATE notices SET status = CASE WHEN ?6 = 1 AND attempts >= most_attempts THEN 3 ELSE ?6 END, next_at = ?7,
          is_held = 0, error = coalesce(?8, error), updated_at = ?5
        WHERE task = ?1 AND sequence = ?2 AND place = ?3 AND attempts = ?4 AND is_held
        """)
      for report in reports {
        let (status, pause, error) = report.outcome.columns
        try settle.run(
          report.id.task, report.id.sequence, report.id.place, report.attempt, transaction.now, status.code,
          transaction.now + pause, error)
      }
    }
  }

  package func notices(_ query: NoticeQuery) async throws(StoreError) -> NoticeList {
    try await read { database in
      let source =
        query.task == nil ? "notices WHERE true" : "notices INDEXED BY notices_task WHERE task = ?1"
      let rows = "SELECT * FROM \(source) AND number < ?2 ORDER BY number DESC"
      let before = query.before ?? .max
      let statuses = query.statuses.map { String($0.code) }.sorted().joined(separator: ",")
      var page = try database.prepared(
        """
        SELECT \(noticeColumns) FROM (\(rows) LIMIT ?3)
        WHERE (?4 IS NULL OR status IN (SELECT value FROM json_each(?4)))
          AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(?5) wanted WHERE queue GLOB wanted.value))
        ORDER BY number DESC LIMIT ?6
        """
      ).rows(
        query.task, before, Self.noticeScan, statuses.isEmpty ? nil : "[\(statuses)]",
        query.scope.map { JSONColumn.strings($0.map(\.description)) ?? "[]" }, query.limit + 1
      ) { try NoticeRecord(&$0) }
      if page.count > query.limit {
        page.removeLast()
        return NoticeList(notices: page, next: page.last?.number)
      }
      let cut = try database.prepared("SELECT number FROM (\(rows) LIMIT 1 OFFSET ?3)")
        .row(query.task, before, Self.noticeScan - 1) { $0.int() }
      return NoticeList(notices: page, next: cut)
    }
  }

  package func notice(_ id: NoticeID) async throws(StoreError) -> NoticeRecord? {
    try await read { database in
      try database.notice("task = ?1 AND sequence = ?2 AND place = ?3", id.task, id.sequence, id.place)
    }
  }

  package func resend(notice id: NoticeID, actor: String) async throws(StoreError) -> NoticeRecord? {
    let note = AuditNote(.resendNotice, of: id.description, by: actor)
    return try await writer.write { transaction in
      let changed = try transaction.prepared(
        """
        UPDATE notices SET status = 1, most_attempts = attempts + ?5, next_at = ?4, is_held = 0, pending_since = ?4,
          updated_at = ?4
        WHERE task = ?1 AND sequence = ?2 AND place = ?3 AND NOT (status = 1 AND is_held AND next_at > ?4)
        """
      ).run(id.task, id.sequence, id.place, transaction.now, NoticePatience.attempts)
      if changed > 0 { try transaction.audit(note) }
      return try transaction.database.notice(
        "task = ?1 AND sequence = ?2 AND place = ?3", id.task, id.sequence, id.place)
    }
  }

  package func abandonNotices(limit: Int) async throws(StoreError) -> Int {
    let now = clock()
    let old = try await read { database in
      try database.prepared("SELECT EXISTS (\(abandoned))")
        .row(now + (.zero - NoticePatience.longest), 1, now) { $0.bool() } ?? false
    }
    guard old else { return 0 }
    return try await writer.write { transaction in
      try transaction.prepared(
        "UPDATE notices SET status = 3, updated_at = ?3, error = coalesce(error, ?4) WHERE number IN (\(abandoned))"
      ).run(transaction.now + (.zero - NoticePatience.longest), limit, transaction.now, NoticePatience.nobody)
    }
  }

  package func waitingNotices() async throws(StoreError) -> WaitingNotices {
    try await read { database in
      try database.prepared(
        """
        SELECT count(*), min(created_at) FROM (
          SELECT created_at FROM notices INDEXED BY notices_pending WHERE status = 1 LIMIT ?1)
        """
      ).row(NoticePatience.mostCounted) { WaitingNotices(count: Int($0.int()), oldest: $0.optionalTime()) }
        ?? WaitingNotices(count: 0, oldest: nil)
    }
  }
}

/// `?1` is since when they must have been pending, `?3` is now: nobody is delivering them.
private let abandoned = """
  SELECT number FROM notices INDEXED BY notices_pending
  WHERE status = 1 AND pending_since <= ?1 AND NOT (is_held AND next_at > ?3) LIMIT ?2
  """

extension WriteTransaction {
  /// To be called before a task with `notify` is written: those without pay for no trigger.
  func noticesAreWritten() throws {
    let areThere =
      try prepared("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'task_runs_notices_moved')")
      .row { $0.bool() } ?? false
    if !areThere { try database.execute(sql: makeNoticeTriggers) }
  }
}

private let insertNotices = """
  INSERT INTO notices (task, sequence, place, type, queue, channel, target, destination, task_status, reason, attempt,
    max_attempts, started_at, created_at, updated_at, pending_since, next_at)
  SELECT NEW.id, NEW.sequence, t.key, NEW.type, NEW.queue,
    CASE WHEN t.value ->> 'webhook' IS NULL THEN 'email' ELSE 'webhook' END,
    coalesce(t.value ->> 'webhook', t.value ->> 'email'), t.value ->> 'destination', NEW.status, NEW.reason, NEW.attempt,
    NEW.max_attempts, NEW.started_at, NEW.updated_at, NEW.updated_at, NEW.updated_at, NEW.updated_at
  FROM task_bodies b, json_each(b.notify) t
  WHERE b.id = NEW.id AND EXISTS (
    SELECT 1 FROM json_each(t.value, '$.on') o
    WHERE o.value = CASE NEW.status WHEN 5 THEN 'SUCCESS' WHEN 6 THEN 'DEAD' ELSE 'CANCELLED' END);
  """

private let makeNoticeTriggers = """
  CREATE TRIGGER IF NOT EXISTS task_runs_notices_new AFTER INSERT ON task_runs
    WHEN (NEW.notifies >> NEW.status) & 1
  BEGIN \(insertNotices) END;
  CREATE TRIGGER IF NOT EXISTS task_runs_notices_moved AFTER UPDATE OF status ON task_runs
    WHEN NEW.status <> OLD.status AND (NEW.notifies >> NEW.status) & 1
  BEGIN \(insertNotices) END;
  """

/// The columns of a `NoticeRecord`.
private let noticeColumns = """
  number, task, sequence, place, type, queue, channel, target, destination, task_status, reason, attempt, max_attempts,
  started_at, status, attempts, most_attempts, created_at, updated_at, next_at, error
  """

extension NoticeRecord {
  fileprivate init(_ columns: inout Columns) throws {
    let number = columns.int()
    let id = NoticeID(task: try columns.id(), sequence: Int(columns.int()), place: Int(columns.int()))
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
      nextAttemptAt: status == .pending ? nextAt : nil, lastError: columns.optionalText())
  }
}

extension Database {
  fileprivate func notice<each Value: SQLValue>(
    _ condition: String, _ values: repeat each Value
  ) throws -> NoticeRecord? {
    try prepared("SELECT \(noticeColumns) FROM notices WHERE \(condition)").row(repeat each values) {
      try NoticeRecord(&$0)
    }
  }

  /// From destination to destination, by the index: however much waits for one of them, the others are found at once.
  fileprivate func dueNotices(_ request: NoticeRequest, now: Timestamp) throws -> (numbers: [Int64], next: String?) {
    let nextDestination = try prepared(
      "SELECT min(destination) FROM notices INDEXED BY notices_pending WHERE status = 1 AND destination > ?1")
    let due = try prepared(
      """
      SELECT number FROM notices INDEXED BY notices_pending
      WHERE status = 1 AND destination = ?1 AND next_at <= ?2 AND channel IN (SELECT value FROM json_each(?3))
      ORDER BY next_at, number LIMIT ?4
      """)
    let channels = JSONColumn.strings(request.channels.map(\.rawValue).sorted()) ?? "[]"
    var last = request.after ?? ""
    var numbers: [Int64] = []
    for _ in 1...NoticeRequest.mostDestinations {
      guard let destination = try nextDestination.row(last, read: { $0.optionalText() }) ?? nil else {
        return (numbers, nil)
      }
      if !request.without.contains(destination) {
        let room = min(request.perDestination, request.limit - numbers.count)
        if room == 0 { return (numbers, last) }
        numbers += try due.rows(destination, now, channels, room) { $0.int() }
      }
      last = destination
    }
    return (numbers, last)
  }
}
