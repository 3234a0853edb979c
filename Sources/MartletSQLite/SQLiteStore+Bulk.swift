// Actions in bulk: the rows of the jobs, and one page at a time. Which tasks a page has is read beside the writer; the transaction
// that acts on them moves the job's cursor, and does nothing if somebody else has moved it.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  /// Rows that one page looks at, at most.
  private static let bulkScan = 20_000

  package func begin(_ order: BulkOrder, hold: Duration) async throws(StoreError) -> BulkJob {
    try await writer.write { transaction in
      try transaction.insert(order, hold: hold)
      guard let row = try transaction.database.bulkRow(order.id) else { throw UnreadableRow(what: "no bulk job") }
      return row.job
    }
  }

  package func dueBulk() async throws(StoreError) -> BulkDue {
    let now = clock()
    return try await read { database in
      let first = try database.prepared(
        "SELECT id, next_at FROM bulk_jobs INDEXED BY bulk_jobs_due WHERE status = 1 ORDER BY next_at LIMIT 1"
      ).row { (id: try $0.id(), at: $0.time()) }
      guard let first else { return BulkDue(job: nil, nextIn: nil) }
      return first.at <= now ? BulkDue(job: first.id, nextIn: nil) : BulkDue(job: nil, nextIn: first.at - now)
    }
  }

  package func carryOn(
    bulk id: TaskID, limit: Int, hold: Duration, keys: Duration
  ) async throws(StoreError) -> BulkStep? {
    let look = try await read { database -> (row: BulkRow, page: BulkPage)? in
      guard let row = try database.bulkRow(id) else { return nil }
      guard row.job.status == .running else { return (row, BulkPage()) }
      let wanted = row.job.page(limit: limit)
      return (row, try database.bulkPage(row, wanted: wanted, scan: Self.bulkScan))
    }
    guard let look else { return nil }
    guard look.row.job.status == .running else { return BulkStep(look.row.job, nextIn: nil) }
    return try await writer.write { try $0.carryOut(look.page, of: look.row, hold: hold, keys: keys) }
  }

  package func endBulk(_ id: TaskID, error: String?, actor: String) async throws(StoreError) -> BulkJob? {
    try await writer.write { transaction in
      guard var row = try transaction.database.bulkRow(id) else { return nil }
      guard row.job.status == .running else { return row.job }
      row.job.status = error == nil ? .stopped : .failed
      row.job.lastError = error ?? row.job.lastError
      row.job.finishedAt = transaction.now
      row.job.updatedAt = transaction.now
      try transaction.update(row)
      try transaction.audit(row.job.note())
      if error == nil { try transaction.audit(AuditNote(.stopBulk, of: "bulk:\(id)", by: actor)) }
      return row.job
    }
  }

  package func bulkJob(_ id: TaskID) async throws(StoreError) -> BulkJob? {
    try await read { database in try database.bulkRow(id)?.job }
  }

  package func bulkJobs(before: TaskID?, limit: Int) async throws(StoreError) -> [BulkJob] {
    try await read { database in
      try database.prepared("SELECT \(BulkRow.columns) FROM bulk_jobs WHERE id < ?1 ORDER BY id DESC LIMIT ?2")
        .rows(before.map { bytes(of: [$0]) } ?? afterAllIDs, limit) { try BulkRow(&$0).job }
    }
  }

  package func count(_ order: BulkOrder, after: TaskID?, limit: Int) async throws(StoreError) -> BulkCount {
    try await read { database in
      let job = BulkJob(order, createdAt: .latest, updatedAt: .latest)
      let row = BulkRow(
        job: job, last: afterAllIDs, cursor: after.map { bytes(of: [$0]) } ?? [], nextAt: .earliest)
      let page = try database.bulkPage(row, wanted: limit, scan: Self.bulkScan)
      return BulkCount(matched: page.tasks.count, next: page.isLast ? nil : TaskID(bytes: page.end))
    }
  }

  package func pruneBulk(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await writer.write { transaction in
      try transaction.prepared(
        """
        DELETE FROM bulk_jobs WHERE id IN (
          SELECT id FROM bulk_jobs INDEXED BY bulk_jobs_finished
          WHERE finished_at IS NOT NULL AND finished_at <= ?1 ORDER BY finished_at LIMIT ?2)
        """
      ).run(transaction.now + (.zero - age), limit)
    }
  }
}

/// A row of `bulk_jobs`.
struct BulkRow: Sendable {
  var job: BulkJob
  var last: [UInt8]
  var cursor: [UInt8]
  var nextAt: Timestamp

  static let columns = """
    id, action, filter, queues, task_limit, rate, actor, status, matched, changed, failed, created_at, updated_at,
    finished_at, last_error, last, cursor, next_at
    """
}

extension BulkRow {
  fileprivate init(_ columns: inout Columns) throws {
    let id = try columns.id()
    let action = try BulkAction(code: columns.int())
    let selection = try BulkSelection(filter: columns.text(), queues: columns.optionalText())
    let order = BulkOrder(
      id: id, action, selection, limit: columns.optionalInt().map { Int($0) }, ratePerSecond: columns.optionalDouble(),
      actor: columns.text())
    job = BulkJob(
      order, status: try BulkStatus(code: columns.int()), matched: Int(columns.int()), changed: Int(columns.int()),
      failed: Int(columns.int()), createdAt: columns.time(), updatedAt: columns.time(),
      finishedAt: columns.optionalTime(), lastError: columns.optionalText())
    last = columns.blob()
    cursor = columns.blob()
    nextAt = columns.time()
  }
}

/// The next tasks of a job.
struct BulkPage: Sendable {
  var tasks: [TaskID] = []
  /// Where the page after it begins.
  var end: [UInt8] = []
  /// No task comes behind it.
  var isLast = false
}

extension Database {
  fileprivate func bulkRow(_ id: TaskID) throws -> BulkRow? {
    try prepared("SELECT \(BulkRow.columns) FROM bulk_jobs WHERE id = ?1").row(id) { try BulkRow(&$0) }
  }

  fileprivate func bulkPage(_ row: BulkRow, wanted: Int, scan: Int) throws -> BulkPage {
    let order = row.job.order
    let filter = order.selection.filter
    let source = TaskSource(of: filter)
    let rows = source.rows(order: "ASC") { "\($0) > ?3 AND \($0) <= ?1" }
    let tasks = try prepared(
      """
      SELECT r.id FROM (\(rows) LIMIT ?7) r
      JOIN task_bodies b ON b.id = r.id LEFT JOIN task_links l ON l.id = r.id
      WHERE b.created_at <= ?2 AND (?18 = 0 OR r.cancel_requested = 0 OR r.status <> 3) AND \(taskFilter)
        AND (?17 IS NULL OR EXISTS (SELECT 1 FROM json_each(?17) WHERE r.queue GLOB value))
      ORDER BY r.id LIMIT ?16
      """
    ).rows(
      row.last, row.job.createdAt, row.cursor, filter.graphID, filter.idempotencyKey, filter.scheduleName, scan,
      codes(of: filter.statuses) ?? "[]", JSONColumn.strings(filter.types.sorted()),
      JSONColumn.strings(filter.queues.sorted()), filter.worker, filter.tag, JSONColumn.map(filter.metadata),
      filter.createdAfter, filter.createdBefore, wanted, order.selection.queuesColumn, order.action == .cancel
    ) { try $0.id() }
    if tasks.count == wanted, let last = tasks.last { return BulkPage(tasks: tasks, end: bytes(of: [last])) }
    let lastSeen = try prepared("SELECT id FROM (\(rows) LIMIT 1 OFFSET ?7) WHERE ?2 IS NULL OR true")
      .row(
        row.last, row.job.createdAt, row.cursor, filter.graphID, filter.idempotencyKey, filter.scheduleName, scan - 1
      ) { $0.blob() }
    return BulkPage(tasks: tasks, end: lastSeen ?? row.last, isLast: lastSeen == nil)
  }
}

extension WriteTransaction {
  fileprivate func insert(_ order: BulkOrder, hold: Duration) throws {
    let last = try prepared("SELECT id FROM task_runs ORDER BY id DESC LIMIT 1").row { $0.blob() }
    try prepared(
      """
      INSERT INTO bulk_jobs (id, action, filter, queues, task_limit, rate, actor, status, created_at, updated_at, last, cursor,
        next_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?8, ?9, x'', ?10) ON CONFLICT DO NOTHING
      """
    ).run(
      order.id, order.action.code, order.selection.filter.filterJSON, order.selection.queuesColumn, order.limit,
      order.ratePerSecond, order.actor, now, last ?? [], now + hold)
  }

  fileprivate func update(_ row: BulkRow) throws {
    let job = row.job
    try prepared(
      """
      UPDATE bulk_jobs SET status = ?2, matched = ?3, changed = ?4, failed = ?5, updated_at = ?6, finished_at = ?7,
        last_error = ?8, cursor = ?9, next_at = ?10
      WHERE id = ?1
      """
    ).run(
      job.id, job.status.code, job.matched, job.changed, job.failed, job.updatedAt, job.finishedAt, job.lastError,
      row.cursor, row.nextAt)
  }

  fileprivate func carryOut(_ page: BulkPage, of seen: BulkRow, hold: Duration, keys: Duration) throws -> BulkStep {
    guard var row = try database.bulkRow(seen.job.id) else { throw UnreadableRow(what: "no bulk job") }
    guard row.job.status == .running, row.cursor == seen.cursor else {
      return BulkStep(row.job, nextIn: row.job.status == .running ? .zero : nil)
    }
    var step = BulkStep(row.job, nextIn: nil)
    let matchedBefore = row.job.matched
    let (last, isCutShort) = try act(on: page.tasks, &step, keys: keys)
    row.job = step.job
    row.job.updatedAt = now
    if !isCutShort { row.cursor = page.end } else if let last { row.cursor = bytes(of: [last]) }
    let count = row.job.matched - matchedBefore
    row.nextAt = row.job.next(after: count, last: row.nextAt, hold: hold, now: now)
    let isEnough = row.job.order.limit.map { row.job.matched >= $0 } ?? false
    if isEnough || page.isLast && !isCutShort {
      row.job.status = .done
      row.job.finishedAt = now
      try audit(row.job.note())
    } else {
      step.nextIn = max(.zero, row.nextAt - now)
    }
    try update(row)
    step.job = row.job
    return step
  }

  /// - Returns: the last task that was dealt with, and whether the page ends with it since the next one has to be come back to.
  private func act(
    on tasks: [TaskID], _ step: inout BulkStep, keys: Duration
  ) throws -> (last: TaskID?, isCutShort: Bool) {
    let order = step.job.order
    var cancelled: [WaitingRow] = []
    var last: TaskID?
    var isCutShort = false
    for id in tasks {
      guard let row = try waitingRow(id), order.selection.filter.statuses.contains(row.status) else { continue }
      var isChanged = true
      switch order.action {
      case .cancel:
        if row.status == .running {
          if row.cancelRequested { continue }
          try requestCancel(row, actor: order.actor)
          step.asked.append(id)
        } else {
          try cancel(row, reason: .requested, actor: order.actor)
          cancelled.append(row)
          step.ended.append(id)
        }
      case .retry:
        guard case .move(let status) = SteeringDecision.retry(row.status, waitsForOthers: row.unmet > 0) else {
          continue
        }
        try retry(row, to: status, actor: order.actor)
        if status == .ready { step.lanes.insert(row.lane) }
      case .purge:
        switch try purge(row, keys: keys) {
        case .deleted: break
        case .kept:
          isChanged = false
          step.job.failed += 1
          step.job.lastError = BulkJob.keptForKeys
        case .unfinished: isCutShort = true
        }
      }
      if isCutShort { break }
      step.job.matched += 1
      step.job.changed += isChanged ? 1 : 0
      last = id
    }
    // All of them are cancelled before any is told that another is.
    for row in cancelled { try settle(after: row.id, .cancelled, hasChildren: row.hasChildren) }
    return (last, isCutShort)
  }
}
