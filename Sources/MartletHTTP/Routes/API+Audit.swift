// `GET /audit`: who changed what.

internal import MartletCore
internal import MartletEngine

extension API {
  func audit(_ call: Call) async throws(Problem) -> Answer {
    let query = try AuditQuery(call.query)
    let page = try await serve { () async throws(ServiceError) in try await tasks.audit(query) }
    return .list(page.entries, next: page.next.map { Cursor(after: $0).text }) { $1.write(to: &$0) }
  }
}

extension Parameters.Known {
  static let audit = Parameters.Known(
    names: ["actor", "action", "target", "createdAfter", "createdBefore", "limit", "cursor"])
}

extension AuditQuery {
  init(_ parameters: Parameters) throws(Problem) {
    self.init()
    var problems = Problems()
    func text(_ name: String) -> String? {
      parameters.read(name, "must be 1 to 512 characters long", &problems) { (1...512).contains($0.count) ? $0 : nil }
    }
    actor = text("actor")
    action = text("action").map { AuditAction(rawValue: $0) }
    target = text("target")
    createdAfter = parameters.timestamp("createdAfter", &problems)
    createdBefore = parameters.timestamp("createdBefore", &problems)
    limit = parameters.int("limit", in: 1...1000, &problems) ?? limit
    after = parameters.read("cursor", "is not one that this server gave", &problems) { Cursor($0)?.auditPlace }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
  }
}

extension AuditEntry {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("id", Int(sequence))
      json.field("at", at)
      json.field("actor", actor)
      json.field("action", action.rawValue)
      json.field("target", target)
      json.name("detail")
      json.raw(Array((detail ?? "null").utf8))
    }
  }
}
