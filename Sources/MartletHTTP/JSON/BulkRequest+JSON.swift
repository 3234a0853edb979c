// From the body of an action in bulk to a `BulkRequest`, and from its jobs to JSON.

internal import MartletCore
internal import MartletEngine

extension BulkRequest {
  /// - Parameter queues: those that the caller is bound to.
  /// - Throws: the text is no JSON (400), or fields are unknown or of the wrong kind (422).
  init(_ action: BulkAction, json bytes: [UInt8], queues: [QueuePattern]?) throws(Problem) {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    var problems = Problems()
    guard root.kind == .object else {
      throw .invalid([ValidationProblem(pointer: "", detail: "must be an object")])
    }
    let names = ["filter", "limit", "dryRun", "ratePerSecond", "all"]
    let fields = JSONFields(root, at: "", known: names, problems: &problems)
    var filter = TaskQuery()
    if fields.has("filter"), let slice = fields.raw("filter") {
      filter = TaskQuery(filter: slice, at: "/filter", statuses: action.statuses, problems: &problems)
    }
    self.init(action, BulkSelection(filter, queues: queues))
    limit = fields.int("limit", &problems)
    isDryRun = fields.bool("dryRun", &problems) ?? false
    ratePerSecond = fields.double("ratePerSecond", &problems)
    all = fields.bool("all", &problems) ?? false
    let told = problems.all.map(\.pointer)
    for problem in self.problems where !told.contains(where: { $0.hasPrefix(problem.pointer) }) {
      problems.add(problem.pointer, problem.detail)
    }
    guard problems.all.isEmpty else { throw .invalid(problems.all) }
  }
}

extension BulkAnswer {
  func writeFields(to json: inout JSONWriter) {
    json.field("matched", matched)
    json.field("changed", changed)
    json.field("failed", failed)
    if let id { json.field("bulkId", id) }
  }
}

extension BulkJob {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("id", id)
      json.field("action", order.action.rawValue)
      json.name("filter")
      json.raw(Array(order.selection.filter.filterJSON.utf8))
      json.field("limit", order.limit)
      json.field("ratePerSecond", order.ratePerSecond)
      json.field("status", status.rawValue)
      json.field("matched", matched)
      json.field("changed", changed)
      json.field("failed", failed)
      json.field("createdAt", createdAt)
      json.field("updatedAt", updatedAt)
      json.field("finishedAt", finishedAt)
      json.field("actor", order.actor)
      json.field("lastError", lastError)
    }
  }
}
