// An action on many tasks. Each is a row of the store, which knows how far it has come: it is carried out page by page, each page
// in one transaction with the row, by whoever comes next. So a crash loses nothing of it, and no task is acted on twice.

package enum BulkAction: String, CaseIterable, Sendable {
  /// What waits is cancelled, what runs is asked to end.
  case cancel
  /// DEAD tasks are retried by hand.
  case retry
  /// DEAD tasks are deleted with all of their history; those that wait for one are cancelled, but for those that only wait for
  /// its end.
  case purge

  /// The states of the tasks that it acts on.
  package var statuses: Set<TaskStatus> {
    switch self {
    case .cancel: [.pending, .ready, .retry, .running]
    case .retry, .purge: [.dead]
    }
  }

  /// Whether it would change this task: whose cancellation was asked for already is passed by.
  package func applies(to task: TaskRecord) -> Bool {
    statuses.contains(task.status) && !(self == .cancel && task.cancelRequested)
  }

  package var auditAction: AuditAction {
    switch self {
    case .cancel: AuditAction(rawValue: "tasks.cancel")
    case .retry: AuditAction(rawValue: "dead-letters.retry")
    case .purge: AuditAction(rawValue: "dead-letters.purge")
    }
  }
}

extension AuditAction {
  package static let stopBulk = AuditAction(rawValue: "bulk.stop")
}

package enum BulkStatus: String, CaseIterable, Sendable {
  case running = "RUNNING"
  case done = "DONE"
  /// By somebody's wish; what was changed stays changed.
  case stopped = "STOPPED"
  /// By an error that no repetition would mend: `lastError`.
  case failed = "FAILED"
}

/// What is asked for.
package struct BulkOrder: Sendable, Hashable {
  package var id: TaskID
  package var action: BulkAction
  package var selection: BulkSelection
  /// At most this many tasks, the oldest; nil is all.
  package var limit: Int?
  /// Tasks a second, over all nodes; nil is as fast as it goes.
  package var ratePerSecond: Double?
  package var actor: String

  /// - Parameter selection: no status stands for all that the action is about; with none of these it is about no task.
  package init(
    id: TaskID, _ action: BulkAction, _ selection: BulkSelection, limit: Int? = nil, ratePerSecond: Double? = nil,
    actor: String
  ) {
    self.id = id
    self.action = action
    self.selection = selection
    self.selection.filter.statuses =
      selection.filter.statuses.isEmpty
      ? action.statuses : selection.filter.statuses.intersection(action.statuses)
    self.limit = limit
    self.ratePerSecond = ratePerSecond
    self.actor = actor
  }

  package func concerns(_ task: TaskRecord) -> Bool {
    selection.filter.statuses.contains(task.status) && action.applies(to: task) && selection.matches(task)
  }
}

package struct BulkJob: Sendable, Hashable {
  package var order: BulkOrder
  package var status: BulkStatus
  /// Tasks that it was to change, so far.
  package var matched: Int
  /// Those that it has changed.
  package var changed: Int
  /// Those that it could not change: to be purged, but kept for their idempotency keys.
  package var failed: Int
  package var createdAt: Timestamp
  package var updatedAt: Timestamp
  package var finishedAt: Timestamp?
  package var lastError: String?

  package init(
    _ order: BulkOrder, status: BulkStatus = .running, matched: Int = 0, changed: Int = 0, failed: Int = 0,
    createdAt: Timestamp, updatedAt: Timestamp, finishedAt: Timestamp? = nil, lastError: String? = nil
  ) {
    self.order = order
    self.status = status
    self.matched = matched
    self.changed = changed
    self.failed = failed
    self.createdAt = createdAt
    self.updatedAt = updatedAt
    self.finishedAt = finishedAt
    self.lastError = lastError
  }

  package var id: TaskID { order.id }

  /// Whether it is about this task, which was stored when the job was made.
  package func concerns(_ task: TaskRecord) -> Bool {
    task.createdAt <= createdAt && order.concerns(task)
  }

  /// How many tasks the next page may have: about a fifth of a second's worth where there is a rate.
  package func page(limit: Int) -> Int {
    let left = order.limit.map { max(0, $0 - matched) } ?? limit
    guard let rate = order.ratePerSecond else { return min(limit, left) }
    return min(limit, left, max(1, Int(min(rate / 5, 10_000))))
  }

  /// When the page after one of `count` tasks may be begun, and how long others leave the job alone where it has no rate.
  /// - Parameter last: the same as it was decided before. A second of lateness is made up for, so that the rate holds on average.
  package func next(after count: Int, last: Timestamp, hold: Duration, now: Timestamp) -> Timestamp {
    guard let rate = order.ratePerSecond else { return now + hold }
    return max(last, now + .seconds(-1)) + .milliseconds(Int64((Double(count) * 1000 / rate).rounded(.up)))
  }

  /// What the audit says of it at its end.
  package func note(number: Int64 = .random(in: .min ... .max)) -> AuditNote {
    AuditNote(
      order.action.auditAction, of: "bulk:\(id)", by: order.actor,
      detail: Self.auditDetail(
        filter: order.selection.filter.filterJSON, status: status.rawValue, matched: String(matched),
        changed: String(changed)),
      number: number)
  }

  /// The text of the note's detail, put together of the texts of its parts: SQL makes the same.
  package static func auditDetail(filter: String, status: String, matched: String, changed: String) -> String {
    #"{"filter":\#(filter),"status":"\#(status)","matched":\#(matched),"changed":\#(changed)}"#
  }

  /// How long an ended job is listed: 30 days.
  package static let retention = Duration.seconds(30 * 86_400)

  package static let keptForKeys =
    "tasks were kept: their idempotency keys are younger than idempotency.retentionSeconds"
}

extension BulkAction {
  package var code: Int64 {
    switch self {
    case .cancel: 1
    case .retry: 2
    case .purge: 3
    }
  }

  package init(code: Int64) throws {
    guard let action = Self.allCases.first(where: { $0.code == code }) else {
      throw UnreadableRow(what: "bulk action \(code)")
    }
    self = action
  }
}

extension BulkStatus {
  package var code: Int64 {
    switch self {
    case .running: 1
    case .done: 2
    case .stopped: 3
    case .failed: 4
    }
  }

  package init(code: Int64) throws {
    guard let status = Self.allCases.first(where: { $0.code == code }) else {
      throw UnreadableRow(what: "bulk status \(code)")
    }
    self = status
  }
}

extension BulkSelection {
  /// Reads the columns of a job.
  package init(filter: String, queues: String?) throws {
    self.init(try TaskQuery(filterJSON: filter))
    guard let queues else { return }
    self.queues = try JSONColumn.strings(queues).compactMap { QueuePattern($0) }
  }

  /// The column for `queues`: a JSON array, unlike other columns also where it is empty.
  package var queuesColumn: String? {
    queues.map { JSONColumn.strings($0.map(\.description)) ?? "[]" }
  }
}
