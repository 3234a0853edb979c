// Which tasks an action in bulk is about, and the JSON by which clients say it and stores keep it: the filters of the list by
// their names.

/// All given filters must hold.
package struct BulkSelection: Sendable, Hashable {
  /// `before`, `limit` and what lists include have no meaning here.
  package var filter: TaskQuery
  /// Only tasks of queues that one of these matches: those that a credential is bound to. Nil is all.
  package var queues: [QueuePattern]?

  package init(_ filter: TaskQuery = TaskQuery(), queues: [QueuePattern]? = nil) {
    self.filter = filter
    self.queues = queues
  }

  /// True where nothing is asked of a task.
  package var isEmpty: Bool { filter == TaskQuery() }

  /// The meaning that every store's SQL has to match.
  package func matches(_ task: TaskRecord) -> Bool {
    filter.matches(task) && (queues.map { $0.contains { $0.matches(task.queue) } } ?? true)
  }
}

extension TaskQuery {
  private static let filterNames = [
    "status", "type", "queue", "tag", "worker", "metadata", "graphId", "idempotencyKey", "scheduleName",
    "createdAfter", "createdBefore",
  ]
  private static let metadataPrefix = "metadata."

  /// Reads a filter: `{"type": "mail,fax", "status": ["DEAD"], "metadata.customer": "7"}`. Where the list takes several values
  /// they may be an array, which must not be empty, or a text with commas; metadata also comes as an object.
  /// - Parameters:
  ///   - statuses: those that may be named; empty takes no `status` at all.
  package init(filter slice: JSONSlice, at pointer: String, statuses: Set<TaskStatus>, problems: inout Problems) {
    self.init()
    let given = slice.members?.map(\.name).filter { $0.hasPrefix(Self.metadataPrefix) } ?? []
    let known = Self.filterNames.filter { $0 != "status" || !statuses.isEmpty }
    let fields = JSONFields(slice, at: pointer, known: known + given, problems: &problems)
    self.statuses = Set(
      fields.list("status", &problems).compactMap { name in
        guard let status = TaskStatus(wireName: name), statuses.contains(status) else {
          let all = TaskStatus.allCases.filter(statuses.contains).map(\.rawValue).joined(separator: ", ")
          problems.add(fields.place("status"), "'\(name)' is none of \(all)")
          return nil
        }
        return status
      })
    types = Set(fields.list("type", &problems))
    queues = Set(fields.list("queue", &problems))
    for type in types { problems.checkName(type, at: fields.place("type")) }
    for queue in queues { problems.checkName(queue, at: fields.place("queue")) }
    tag = fields.string("tag", &problems)
    if let tag { problems.checkText(tag, lengths: 1...64, at: fields.place("tag")) }
    worker = fields.string("worker", &problems)
    if let worker { problems.checkText(worker, lengths: 1...256, at: fields.place("worker")) }
    readMetadata(fields, named: given, &problems)
    graphID = fields.string("graphId", &problems).flatMap { text in
      if let id = TaskID(text) { return id }
      problems.add(fields.place("graphId"), "must be the id of a graph")
      return nil
    }
    idempotencyKey = fields.string("idempotencyKey", &problems)
    if let idempotencyKey { problems.checkKey(idempotencyKey, at: fields.place("idempotencyKey")) }
    scheduleName = fields.string("scheduleName", &problems)
    if let scheduleName { problems.checkName(scheduleName, at: fields.place("scheduleName")) }
    createdAfter = fields.timestamp("createdAfter", &problems)
    createdBefore = fields.timestamp("createdBefore", &problems)
  }

  private mutating func readMetadata(_ fields: JSONFields, named: [String], _ problems: inout Problems) {
    metadata = fields.stringMap("metadata", &problems) ?? [:]
    for name in named {
      guard let value = fields.string(name, &problems) else { continue }
      if metadata.updateValue(value, forKey: String(name.dropFirst(Self.metadataPrefix.count))) != nil {
        problems.add(fields.place(name), "is given twice")
      }
    }
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
      let place = fields.place(Self.metadataPrefix + name)
      problems.checkText(name, lengths: 1...64, at: place)
      problems.checkText(value, lengths: 0...512, at: place)
    }
  }

  /// The filters as one JSON object that `init(filter:)` reads; those not given are left out.
  package var filterJSON: String {
    var json = JSONWriter(capacity: 128)
    json.object { json in
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
      if let graphID { json.field("graphId", graphID) }
      if let idempotencyKey { json.field("idempotencyKey", idempotencyKey) }
      if let scheduleName { json.field("scheduleName", scheduleName) }
      if let createdAfter { json.field("createdAfter", createdAfter) }
      if let createdBefore { json.field("createdBefore", createdBefore) }
    }
    return String(decoding: json.bytes, as: UTF8.self)
  }

  /// Reads what `filterJSON` has written.
  package init(filterJSON text: String) throws {
    var problems = Problems()
    self.init(
      filter: try JSONScanner.scan(Array(text.utf8)), at: "", statuses: Set(TaskStatus.allCases), problems: &problems)
    guard problems.all.isEmpty else { throw UnreadableRow(what: "filter '\(text)'") }
  }
}

extension JSONFields {
  /// An array of strings, or one string with commas between.
  fileprivate func list(_ name: String, _ problems: inout Problems) -> [String] {
    guard raw(name)?.string != nil else {
      // None would be read as any: whoever computed an empty list means no task, and not every one.
      if raw(name)?.elements(atMost: 1)?.isEmpty == true { problems.add(place(name), "must not be empty") }
      return strings(name, &problems) ?? []
    }
    let text = string(name, &problems) ?? ""
    return text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
  }
}
