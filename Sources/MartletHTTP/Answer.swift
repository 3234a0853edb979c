// What a route gives back. `Responder` adds the headers that every answer has.

internal import HTTPTypes
internal import MartletCore

struct Answer: Sendable {
  var status = 200
  var type = MediaType.json
  var body: [UInt8]
  var fields: [(name: HTTPField.Name, value: String)] = []
  /// After it the connection is closed.
  var closesConnection = false
  /// Instead of `body`, piece by piece until nil; how long it will be is not known.
  var chunks: (@Sendable () async -> [UInt8]?)?
  /// What to do where the client was gone before it could be written.
  var ifUnsent: (@Sendable () async -> Void)?

  enum MediaType: String, Sendable {
    case json = "application/json"
    case problem = "application/problem+json"
    /// The exposition format of Prometheus.
    case metrics = "text/plain; version=0.0.4; charset=utf-8"
    case page = "text/html; charset=utf-8"
    case style = "text/css; charset=utf-8"
    case eventStream = "text/event-stream"
    case script = "text/javascript; charset=utf-8"
  }

  static func json(status: Int = 200, capacity: Int = 512, _ body: (inout JSONWriter) -> Void) -> Answer {
    var json = JSONWriter(capacity: capacity)
    json.object(body)
    return Answer(status: status, body: json.bytes)
  }

  /// `{"data": [...], "nextCursor": ...}`, the form of all lists.
  static func list<Element>(
    _ elements: [Element], next: String? = nil, _ write: (inout JSONWriter, Element) -> Void
  ) -> Answer {
    json(capacity: 256 + 1024 * min(elements.count, 64)) { json in
      json.name("data")
      json.array(of: elements, write)
      json.field("nextCursor", next)
    }
  }

  init(status: Int = 200, type: MediaType = .json, body: [UInt8]) {
    self.status = status
    self.type = type
    self.body = body
  }

  init(_ problem: Problem, requestID: String) {
    self.init(status: problem.code.status, type: .problem, body: problem.document(requestID: requestID))
    if let seconds = problem.code.retryAfter { fields.append((.retryAfter, String(seconds))) }
    if let methods = problem.allowedMethods { fields.append((.allow, methods)) }
    fields += problem.fields
    closesConnection = problem.closesConnection
  }
}
