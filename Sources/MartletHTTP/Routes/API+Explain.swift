// `GET /tasks/{id}/explain`: why a task is not running now.

internal import MartletCore
internal import MartletEngine

extension API {
  func explain(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    let explanation = try await serve(task: id) { () async throws(ServiceError) in
      try await tasks.explain(id, as: call.credential)
    }
    return .json { explanation.writeFields(to: &$0) }
  }
}

extension Explanation {
  fileprivate func writeFields(to json: inout JSONWriter) {
    json.field("status", status.rawValue)
    json.name("blockers")
    json.array(of: blockers) { json, blocker in
      json.object { json in
        json.field("kind", blocker.kind.rawValue)
        json.field("detail", blocker.detail)
      }
    }
    json.field("queuePosition", queuePosition)
    json.field("nextAttemptAt", nextAttemptAt)
  }
}
