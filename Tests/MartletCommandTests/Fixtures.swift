// Tasks, attempts and events as the server words them, for the suites of this target.

internal import MartletCore

@testable internal import MartletClient

enum Fixtures {
  static let id = TaskID("0190a7c4-5e1b-7cc3-98c4-dc0c0c07398f")!

  static func taskJSON(
    status: String = "READY", attempt: Int = 0, type: String = "resize", _ more: String = ""
  ) -> String {
    """
    {"id":"\(id)","type":"\(type)","queue":"default","status":"\(status)","priority":5,"attempt":\(attempt),\
    "maxAttempts":4,"retriesLeft":\(4 - attempt),"createdAt":"2026-02-01T10:00:00.000Z",\
    "updatedAt":"2026-02-01T10:00:0\(attempt).000Z"\(more)}
    """
  }

  static func event(_ sequence: Int, _ name: String, _ actor: String = "api", cause: String? = nil) -> String {
    """
    {"sequence":\(sequence),"type":"martlet.task.\(name)","at":"2026-02-01T10:00:0\(sequence).000Z","actor":"\(actor)",\
    "cause":\(cause.map { "\"\($0)\"" } ?? "null")}
    """
  }

  static func attempt(_ number: Int, _ outcome: String?, error: String = "null", logs: String = "[]") -> String {
    """
    {"number":\(number),"worker":"node-1","startedAt":"2026-02-01T10:00:00.000Z",\
    "finishedAt":\(outcome == nil ? "null" : "\"2026-02-01T10:00:01.250Z\""),\
    "outcome":\(outcome.map { "\"\($0)\"" } ?? "null"),"error":\(error),"logs":\(logs)}
    """
  }

  static func list(_ elements: [String]) -> String {
    #"{"data":[\#(elements.joined(separator: ","))],"nextCursor":null}"#
  }

  static func answer(_ json: String) throws -> Answer {
    let bytes = Array(json.utf8)
    return Answer(server: "test", status: 200, json: bytes, root: try JSONScanner.scan(bytes))
  }

  static func task(
    status: String = "READY", attempt: Int = 0, type: String = "resize", _ more: String = ""
  ) throws -> RemoteTask {
    try RemoteTask(answer(taskJSON(status: status, attempt: attempt, type: type, more)))
  }

  static func events(_ events: [String]) throws -> [RemoteEvent] {
    try Reading.data(answer(list(events)), RemoteEvent.init)
  }

  static func attempts(_ attempts: [String]) throws -> [RemoteAttempt] {
    try Reading.data(answer(list(attempts)), RemoteAttempt.init)
  }
}
