// The requests of operators: actions on many tasks, explanations, the audit.

internal import MartletCore

extension Call {
  package static func explain(_ id: TaskID) -> Call { Call(method: .get, path: "/tasks/\(id)/explain") }

  package static func bulk(_ path: String, _ filter: TaskFilter, _ options: BulkOptions) -> Call {
    var json = JSONWriter(capacity: 256)
    json.object { json in
      json.field("filter") { filter.writeFields(to: &$0) }
      if options.all { json.field("all", true) }
      if let limit = options.limit { json.field("limit", limit) }
      if options.dryRun { json.field("dryRun", true) }
      if let rate = options.ratePerSecond { json.field("ratePerSecond", rate) }
    }
    var call = Call(method: .post, path: path, body: json.bytes)
    call.fault = FiniteNumbers.fault(["ratePerSecond": options.ratePerSecond])
    call.hold = longestAct  // ten thousand tasks on a slow disk
    return call
  }

  package static func bulkJobs(limit: Int, cursor: String?) -> Call {
    var call = Call(method: .get, path: "/bulk", query: [("limit", String(limit))])
    if let cursor { call.query.append(("cursor", cursor)) }
    return call
  }
  package static func bulkJob(_ id: TaskID) -> Call { Call(method: .get, path: "/bulk/\(id)") }
  package static func stopBulk(_ id: TaskID) -> Call { Call(method: .post, path: "/bulk/\(id)/stop") }

  package static func audit(_ filter: AuditFilter, limit: Int, cursor: String?) -> Call {
    var call = Call(method: .get, path: "/audit", query: filter.query)
    call.query.append(("limit", String(limit)))
    if let cursor { call.query.append(("cursor", cursor)) }
    return call
  }
}

extension TaskFilter {
  /// The same as in a list, as fields.
  fileprivate func writeFields(to json: inout JSONWriter) {
    if !statuses.isEmpty { json.field("status", statuses.map(\.rawValue).sorted()) }
    if !types.isEmpty { json.field("type", types.sorted()) }
    if !queues.isEmpty { json.field("queue", queues.sorted()) }
    if let tag { json.field("tag", tag) }
    if let worker { json.field("worker", worker) }
    if !metadata.isEmpty {
      json.field("metadata") { json in
        for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { json.field(name, value) }
      }
    }
    if let graphID { json.field("graphId", graphID.description) }
    if let idempotencyKey { json.field("idempotencyKey", idempotencyKey) }
    if let scheduleName { json.field("scheduleName", scheduleName) }
    if let createdAfter { json.field("createdAfter", createdAfter) }
    if let createdBefore { json.field("createdBefore", createdBefore) }
  }
}
