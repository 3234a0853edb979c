// Actions in bulk: the rows of the jobs, and one page at a time. A page is claimed for a moment by its node, read, and carried out
// in one transaction that first locks the job's row: should the claim be somebody else's by then, or the job stopped, nothing of
// it happens. Tasks that have moved since they were read stop the cursor before them, so that the next page has them again.

package import MartletCore

extension PostgresStore {
  package func begin(_ order: BulkOrder, hold: Duration) async throws(StoreError) -> BulkJob {
    try await repeating { _ in
      let rows = try await pool.transaction([
        Query(
          Self.beginBulk, nowParameter, .uuid(order.id), .int2(Int16(order.action.code)),
          .text(order.selection.filter.filterJSON), .text(order.selection.queuesColumn),
          .int8(order.limit.map { Int64($0) }), .double(order.ratePerSecond), .text(order.actor),
          .int8(hold.wholeMilliseconds)),
        Query(Self.readBulk, .uuid(order.id)),
      ])
      guard let row = try rows[1].first({ try BulkRow(&$0) }) else { throw UnreadableRow(what: "no bulk job") }
      return row.job
    }
  }

  package func dueBulk() async throws(StoreError) -> BulkDue {
    try await repeating { _ in
      let first = try await pool.run(Query(Self.dueBulk, nowParameter), .background).first { columns in
        (id: columns.id(), waits: columns.milliseconds())
      }
      guard let first else { return BulkDue(job: nil, nextIn: nil) }
      return first.waits <= .zero ? BulkDue(job: first.id, nextIn: nil) : BulkDue(job: nil, nextIn: first.waits)
    }
  }

  package func carryOn(
    bulk id: TaskID, limit: Int, hold: Duration, keys: Duration
  ) async throws(StoreError) -> BulkStep? {
    let token = Int64.random(in: .min ... .max)
    return try await repeating { _ in
      let claimed = try await pool.run(
        Query(Self.claimBulk, nowParameter, .uuid(id), .int8(token), .int8(Self.claimLength))
      ).first { try BulkRow(&$0) }
      guard let row = claimed else {
        return try await job(id).map { BulkStep($0, nextIn: $0.status == .running ? .milliseconds(100) : nil) }
      }
      let page = try await page(of: row.job, from: row.cursor, to: row.last, wanted: row.job.page(limit: limit))
      let turn = BulkTurn(row: row, token: token, page: page, hold: hold)
      switch row.job.order.action {
      case .cancel, .retry: return try await steer(turn)
      case .purge: return try await purge(turn, keys: keys)
      }
    }
  }

  /// How long a node that fell silent keeps others from a job, in milliseconds.
  private static let claimLength: Int64 = 10_000

  package func endBulk(_ id: TaskID, error: String?, actor: String) async throws(StoreError) -> BulkJob? {
    let stop = AuditNote(.stopBulk, of: "bulk:\(id)", by: actor)
    let end = Int64.random(in: .min ... .max)
    return try await repeating { _ in
      let rows = try await pool.transaction([
        Query(
          Self.endBulk,
          parameters: [
            nowParameter, .uuid(id), .text(error), .text(actor), .int8(stop.number), .int8(end),
          ]),
        Query(Self.readBulk, .uuid(id)),
      ])
      return try rows[1].first { try BulkRow(&$0).job }
    }
  }

  package func bulkJob(_ id: TaskID) async throws(StoreError) -> BulkJob? {
    try await repeating { _ in try await job(id) }
  }

  private func job(_ id: TaskID) async throws -> BulkJob? {
    try await pool.run(Query(Self.readBulk, .uuid(id)), .background).first { try BulkRow(&$0).job }
  }

  package func bulkJobs(before: TaskID?, limit: Int) async throws(StoreError) -> [BulkJob] {
    try await repeating { _ in
      try await pool.run(
        Query(before == nil ? Self.listBulk : Self.listBulkBefore, .int8(Int64(limit)), .uuid(before)), .background
      ).map { try BulkRow(&$0).job }
    }
  }

  package func count(_ order: BulkOrder, after: TaskID?, limit: Int) async throws(StoreError) -> BulkCount {
    try await repeating { _ in
      let page = try await page(
        of: BulkJob(order, createdAt: .latest, updatedAt: .latest), from: after ?? TaskID(high: 0, low: 0),
        to: TaskID(high: .max, low: .max), wanted: limit)
      return BulkCount(matched: page.rows.count, next: page.isLast ? nil : page.end)
    }
  }

  package func pruneBulk(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await repeating { _ in
      try await pool.run(
        Query(Self.pruneBulk, nowParameter, .int8(age.wholeMilliseconds), .int8(Int64(limit))), .background
      ).affected
    }
  }

  // MARK: Steering a page

  private func steer(_ turn: BulkTurn) async throws -> BulkStep? {
    let order = turn.row.job.order
    let action: Steering.Action = order.action == .cancel ? .cancel : .retry
    var commands: [(query: Query, row: WaitingRow, decision: SteeringDecision)] = []
    for row in turn.page.rows {
      let command = Command(
        steering: Steering(action, task: row.id, actor: order.actor), number: turn.token, bulk: order.id)
      // Such as it was read it matches, so there is always something to do.
      if case (let decision, let query?) = try await decide(command, row) { commands.append((query, row, decision)) }
    }
    let ids = turn.page.rows.map(\.id)
    let settles = order.action == .cancel && !ids.isEmpty
    let rows = try await pool.transaction(
      [lock(turn)] + commands.map(\.query) + (settles ? [settleEnded(ids)] : []) + [
        Query(Self.accountSteered, parameters: accountParameters(turn))
      ], .background)
    guard let job = try rows.last?.first({ try BulkRow(&$0).job }) else { return try await overtaken(order.id) }
    var step = BulkStep(job, nextIn: nextIn(job, rows.last))
    if settles { ring(for: Settled(rows[rows.count - 2])) }
    if turn.page.rows.contains(where: \.hasKey) { isUnadmitted() }
    for (command, written) in zip(commands, rows.dropFirst()) where written.count > 0 {
      switch command.decision {
      case .requestCancel:
        step.asked.append(command.row.id)
        bell.cancelled(command.row.id)
      case .move(.cancelled): step.ended.append(command.row.id)
      case .move(.ready):
        appeared(in: command.row.lane, at: command.row.now.milliseconds)
        step.lanes.insert(try await key(of: command.row.lane).lane)
      default: break
      }
    }
    return step
  }

  /// Somebody else has the job now, or it has ended.
  func overtaken(_ id: TaskID) async throws -> BulkStep? {
    try await job(id).map { BulkStep($0, nextIn: $0.status == .running ? .zero : nil) }
  }

  /// Locks the job's row for the rest of the transaction.
  func lock(_ turn: BulkTurn) -> Query {
    Query(Self.lockBulk, .uuid(turn.row.job.id))
  }

  /// Parameters 1 to 7 of each statement that moves the cursor.
  func accountParameters(_ turn: BulkTurn) -> [PostgresValue] {
    [
      nowParameter, .uuids(turn.page.rows.map(\.id)), .uuid(turn.row.job.id), .int8(turn.token),
      .uuid(turn.page.end), .bool(turn.page.isLast), .int8(turn.hold.wholeMilliseconds),
    ]
  }

  /// The pause that a statement which moved the cursor tells in its last column.
  func nextIn(_ job: BulkJob, _ rows: Rows?) -> Duration? {
    guard job.status == .running else { return nil }
    return rows?.first { columns in
      columns.pass(BulkRow.count)
      return max(.zero, columns.milliseconds())
    }
  }

  // MARK: Looking for tasks

  private func page(
    of job: BulkJob, from cursor: TaskID, to last: TaskID, wanted: Int
  ) async throws -> BulkPage {
    let filter = job.order.selection.filter
    func some(_ values: Set<String>) -> PostgresValue {
      values.isEmpty ? PostgresValue(type: TypeID.texts, bytes: nil) : .texts(values.sorted())
    }
    let patterns = job.order.selection.queues.map { $0.map(\.likePattern) }
    let parameters: [PostgresValue] = [
      .uuid(cursor), .uuid(last), .time(job.createdAt), .int2s(filter.statuses.map { Int16($0.code) }),
      some(filter.types), some(filter.queues), .text(filter.worker), .text(filter.tag),
      .text(JSONColumn.map(filter.metadata)), .time(filter.createdAfter), .time(filter.createdBefore),
      .int8(Int64(wanted)), .uuid(filter.graphID), .text(filter.idempotencyKey), .text(filter.scheduleName),
      patterns.map { .texts($0) } ?? PostgresValue(type: TypeID.texts, bytes: nil),
      .bool(job.order.action == .cancel), nowParameter,
    ]
    let query =
      if let key = filter.idempotencyKey, let tasks = try await tasks(of: key) {
        Query(Self.bulkSome, parameters: parameters + [.uuids(tasks)])
      } else if filter.graphID != nil {
        Query(Self.bulkGraph, parameters: parameters)
      } else if filter.scheduleName != nil {
        Query(Self.bulkScheduled, parameters: parameters)
      } else if filter.statuses == [.dead] {
        Query(Self.bulkDead, parameters: parameters)
      } else {
        Query(Self.bulkAll, parameters: parameters)
      }
    var cut: TaskID?
    let found = try await pool.run(query, .background).map { columns -> WaitingRow? in
      cut = columns.optionalID()
      return try columns.bool() ? WaitingRow(&columns) : nil
    }.compactMap(\.self)
    if found.count == wanted, let end = found.last?.id { return BulkPage(rows: found, end: end, isLast: false) }
    return BulkPage(rows: found, end: cut ?? last, isLast: cut == nil)
  }
}

/// A row of `bulk_jobs`.
struct BulkRow: Sendable {
  var job: BulkJob
  var last: TaskID
  var cursor: TaskID

  static let columns = """
    j.id, j.action, j.filter, j.queues, j.task_limit, j.rate, j.actor, j.status, j.matched, j.changed, j.failed,
    j.created_at, j.updated_at, j.finished_at, j.last_error, j.last, j.cursor
    """
  static let count: Int32 = 17

  init(_ columns: inout Columns) throws {
    let id = columns.id()
    let action = try BulkAction(code: columns.int())
    let selection = try BulkSelection(filter: columns.text(), queues: columns.optionalText())
    let order = BulkOrder(
      id: id, action, selection, limit: columns.optionalInt().map { Int($0) }, ratePerSecond: columns.optionalDouble(),
      actor: columns.text())
    job = BulkJob(
      order, status: try BulkStatus(code: columns.int()), matched: Int(columns.int()), changed: Int(columns.int()),
      failed: Int(columns.int()), createdAt: columns.time(), updatedAt: columns.time(),
      finishedAt: columns.optionalTime(), lastError: columns.optionalText())
    last = columns.id()
    cursor = columns.id()
  }
}

/// The next tasks of a job, as they were read.
struct BulkPage: Sendable {
  var rows: [WaitingRow]
  /// Where the page after it begins.
  var end: TaskID
  /// No task comes behind it.
  var isLast: Bool
}

/// A page in the hands of this node.
struct BulkTurn: Sendable {
  var row: BulkRow
  var token: Int64
  var page: BulkPage
  var hold: Duration
}
