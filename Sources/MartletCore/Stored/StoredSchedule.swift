// A schedule's definition as both stores keep it: its recurrence in three columns, its task as JSON and a payload. The same JSON
// is what clients see of the task.

extension NewTask {
  /// Itself without what a schedule's task cannot have (`Schedule.refusal`).
  package var asTemplate: NewTask {
    var template = NewTask(type: type, payload: payload)
    template.queue = queue
    template.priority = priority
    template.retries = retries
    template.backoff = backoff
    template.timeoutSeconds = timeoutSeconds
    template.leaseSeconds = leaseSeconds
    template.tags = tags
    template.metadata = metadata
    template.concurrencyKey = concurrencyKey
    template.notify = notify
    return template
  }

  /// The fields of a schedule's task that were given; nothing for those that were not, so that it can be sent as it is.
  package func writeTemplateFields(to json: inout JSONWriter, withPayload: Bool) {
    json.field("type", type)
    if withPayload {
      json.name("payload")
      json.raw(payload)
    }
    if let queue { json.field("queue", queue) }
    if let priority { json.field("priority", priority) }
    if let retries { json.field("retries", retries) }
    if let backoff { json.field("backoff") { backoff.writeFields(to: &$0) } }
    if let timeoutSeconds { json.field("timeoutSeconds", timeoutSeconds) }
    if let leaseSeconds { json.field("leaseSeconds", leaseSeconds) }
    if let concurrencyKey { json.field("concurrencyKey", concurrencyKey) }
    if let notify {
      json.name("notify")
      notify.write(to: &json)
    }
    if !tags.isEmpty { json.field("tags", tags) }
    if !metadata.isEmpty {
      json.field("metadata") { json in
        for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { json.field(name, value) }
      }
    }
  }

  /// All but the payload, which has a column of its own.
  package var templateColumn: String {
    var json = JSONWriter()
    json.object { writeTemplateFields(to: &$0, withPayload: false) }
    return String(decoding: json.bytes, as: UTF8.self)
  }

  /// - Throws: `UnreadableRow` for what no version has written. Fields of later versions are passed over.
  package init(templateColumn column: String, payload: [UInt8]) throws {
    guard let members = try JSONScanner.scan(Array(column.utf8)).members else { throw UnreadableRow(what: column) }
    let fields = Dictionary(members.map { ($0.name, $0.value) }) { first, _ in first }
    guard let type = fields["type"]?.string else { throw UnreadableRow(what: column) }
    self.init(type: type, payload: payload)
    queue = fields["queue"]?.string
    priority = fields["priority"]?.int
    retries = fields["retries"]?.int
    backoff = fields["backoff"].map { Backoff(template: $0) }
    timeoutSeconds = fields["timeoutSeconds"]?.double
    leaseSeconds = fields["leaseSeconds"]?.double
    concurrencyKey = fields["concurrencyKey"]?.string
    notify = [NoticeTarget](template: fields["notify"])
    tags = fields["tags"]?.elements?.compactMap(\.string) ?? []
    metadata = Dictionary((fields["metadata"]?.members ?? []).map { ($0.name, $0.value.string ?? "") }) { $1 }
  }
}

extension NewTask.Backoff {
  fileprivate func writeFields(to json: inout JSONWriter) {
    if let strategy { json.field("strategy", strategy.rawValue) }
    if let baseSeconds { json.field("baseSeconds", baseSeconds) }
    if let factor { json.field("factor", factor) }
    if let maxSeconds { json.field("maxSeconds", maxSeconds) }
    if let jitter { json.field("jitter", jitter) }
  }

  fileprivate init(template json: JSONSlice) {
    self.init()
    strategy = json["strategy"]?.string.flatMap(RetryPolicy.Strategy.init)
    baseSeconds = json["baseSeconds"]?.double
    factor = json["factor"]?.double
    maxSeconds = json["maxSeconds"]?.double
    jitter = json["jitter"]?.double
  }
}

extension Recurrence {
  /// The expression as it was written, and its zone; nil for an interval.
  package var cronColumns: (cron: String, timeZone: String)? {
    if case .cron(let expression, let timeZone) = self { (expression.source, timeZone) } else { nil }
  }

  /// Milliseconds; nil for an expression.
  package var everyColumn: Int64? {
    if case .every(let milliseconds) = self { milliseconds } else { nil }
  }

  package init(cron: String?, timeZone: String?, every: Int64?) throws {
    if let cron, let timeZone {
      self = .cron(try CronExpression(cron), timeZone: timeZone)
    } else if let every {
      self = .every(milliseconds: every)
    } else {
      throw UnreadableRow(what: "a schedule without a recurrence")
    }
  }
}

extension Schedule {
  package init(
    name: String, recurrence: Recurrence, misfire: String, overlap: String, paused: Bool, task: NewTask
  ) throws {
    guard let misfire = Misfire(rawValue: misfire), let overlap = Overlap(rawValue: overlap) else {
      throw UnreadableRow(what: "schedule \(name) with misfire \(misfire), overlap \(overlap)")
    }
    self.init(
      name: name, recurrence: recurrence, misfire: misfire, overlap: overlap, paused: paused, task: task)
  }
}

extension ScheduleError {
  package init?(kind: String?, message: String?, at: Timestamp?) throws {
    guard let kind, let message, let at else { return nil }
    guard let kind = Kind(rawValue: kind) else { throw UnreadableRow(what: "schedule error \(kind)") }
    self.init(kind, message, at: at)
  }
}
