// `GET /notifications`: whom was told what; and once more.

internal import MartletCore
internal import MartletEngine

extension API {
  func notices(_ call: Call) async throws(Problem) -> Answer {
    let query = try NoticeQuery(call.query)
    let page = try await serve { () async throws(ServiceError) in try await tasks.notices(query, as: call.credential) }
    return .list(page.notices, next: page.next.map { Cursor(beforeNotice: $0).text }) { $1.write(to: &$0) }
  }

  /// `POST /notifications/{id}/resend`
  func resendNotice(_ call: Call) async throws(Problem) -> Answer {
    try EmptyBody.check(call.body)
    guard let id = NoticeID(call.parameter) else { throw .noNotice(call.parameter) }
    do {
      let notice = try await serve { () async throws(ServiceError) in try await tasks.resend(id, as: call.credential) }
      var json = JSONWriter()
      notice.write(to: &json)
      return Answer(body: json.bytes)
    } catch {
      throw error.code == .notFound ? .noNotice(call.parameter) : error
    }
  }
}

extension Parameters.Known {
  static let notices = Parameters.Known(names: ["taskId", "status", "limit", "cursor"])
}

extension NoticeQuery {
  init(_ parameters: Parameters) throws(Problem) {
    self.init()
    var problems = Problems()
    task = parameters.read("taskId", "must be the id of a task", &problems) { TaskID($0) }
    let names = NoticeRecord.Status.allCases.map(\.rawValue).joined(separator: ", ")
    let given = parameters.list("status", "one or more of \(names), with commas between", &problems) { name in
      NoticeRecord.Status(rawValue: String(name))
    }
    statuses = Set(given ?? [])
    limit = parameters.int("limit", in: 1...1000, &problems) ?? limit
    before = parameters.read("cursor", "is not one that this server gave", &problems) { Cursor($0)?.beforeNotice }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
  }
}

extension NoticeRecord {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("id", id.description)
      json.field("taskId", id.task)
      json.field("taskType", type)
      json.field("queue", queue)
      json.field("channel", channel.rawValue)
      json.field("target", target)
      json.field("type", eventType)
      json.field("taskStatus", taskStatus.rawValue)
      json.field("status", status.rawValue)
      json.field("attempts", attempts)
      json.field("maxAttempts", mostAttempts)
      json.field("nextAttemptAt", nextAttemptAt)
      json.field("lastError", lastError)
      json.field("createdAt", createdAt)
      json.field("updatedAt", updatedAt)
    }
  }
}
