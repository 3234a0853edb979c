// Every request this library can make, in one place: method, path, query, body.

internal import MartletCore

/// One request, not yet sent.
package struct Call: Sendable {
  package enum Method: String, Sendable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
  }

  package enum List: String, Sendable {
    case tasks
    case deadLetters = "dead-letters"
  }

  var method: Method
  /// Below the server's address; escaped.
  var path: String
  var query: [(name: String, value: String)] = []
  /// JSON.
  var body: [UInt8]?
  var traceparent: String?
  /// Of the request as a whole, for the header.
  var idempotencyKey: String?
  /// Of the event stream: it goes on behind this event. Nil where it is no call of it.
  var lastEventID: String?
  /// How long the server may hold the request before it answers.
  var hold = Duration.zero
  /// Changes nothing that was not changed already when it is carried out twice.
  var isRepeatable = false
  /// Instead of `Options.requestTimeout`, where this is shorter.
  var patience: Duration?
  /// Statuses beyond 2xx whose body is an answer and not a problem.
  var answers: Set<Int> = []
  /// Found before sending; thrown instead of it.
  var fault: MartletClientError?

  /// The server holds a request no longer than 60 s; half of that passes through most proxies.
  static let longestWait = Duration.seconds(30)
  /// What a server may take beyond `Options.requestTimeout` for an act on many tasks.
  static let longestAct = Duration.seconds(120)

  package static func submit(_ task: NewTask) -> Call {
    var call = Call(method: .post, path: "/tasks")
    do throws(MartletClientError) {
      call.body = try task.json()
    } catch {
      call.fault = error
    }
    call.traceparent = task.traceparent
    call.isRepeatable = task.idempotencyKey != nil
    return call
  }

  /// - Parameter key: of the batch as a whole.
  package static func submit(_ tasks: [NewTask], idempotencyKey key: String? = nil) -> Call {
    var call = Call(method: .post, path: "/tasks/batch")
    do throws(MartletClientError) {
      if let key { try check(key: key) }
      // A header of the request: all get the same.
      guard Set(tasks.map(\.traceparent)).count <= 1 else {
        throw .invalidRequest("the tasks of a batch have one traceparent: give all of them the same, or none")
      }
      var bodies: [[UInt8]] = []
      for task in tasks { bodies.append(try task.json()) }
      var writer = JSONWriter(capacity: bodies.reduce(32) { $0 + $1.count + 1 })
      writer.object { writer in
        writer.name("tasks")
        writer.array(of: bodies) { $0.raw($1) }
      }
      call.body = writer.bytes
    } catch {
      call.fault = error
    }
    call.traceparent = tasks.first?.traceparent
    call.idempotencyKey = key
    call.isRepeatable = key != nil || tasks.allSatisfy { $0.idempotencyKey != nil }
    return call
  }

  /// As a header it would lose white space at its ends, and might not be sent at all.
  private static func check(key: String) throws(MartletClientError) {
    var problems = Problems()
    problems.checkKey(key, at: "")
    if let problem = problems.all.first { throw .invalidRequest("the idempotency key \(problem.detail)") }
  }

  package static func graph(_ id: TaskID) -> Call { Call(method: .get, path: "/graphs/\(id)") }

  package static func task(_ id: TaskID, waiting: Duration = .zero) -> Call {
    var call = Call(method: .get, path: "/tasks/\(id)")
    if waiting > .zero {
      // Whole milliseconds upwards, so that the last poll is not one of zero seconds.
      let milliseconds = max(1, waiting.wholeMilliseconds)
      let seconds = Double(milliseconds) / 1000
      call.query = [("waitSeconds", seconds == seconds.rounded() ? String(Int(seconds)) : String(seconds))]
      call.hold = waiting
    }
    return call
  }

  package static func attempts(_ id: TaskID) -> Call { Call(method: .get, path: "/tasks/\(id)/attempts") }
  package static func events(_ id: TaskID) -> Call { Call(method: .get, path: "/tasks/\(id)/events") }

  package static func list(_ list: List, _ filter: TaskFilter, limit: Int, cursor: String?) -> Call {
    var call = Call(method: .get, path: "/\(list.rawValue)", query: filter.query)
    call.query.append(("limit", String(limit)))
    if let cursor { call.query.append(("cursor", cursor)) }
    return call
  }

  /// `cancel`, `retry` or `replay`.
  package static func steer(_ verb: String, _ id: TaskID) -> Call { Call(method: .post, path: "/tasks/\(id)/\(verb)") }

  package static func patch(_ id: TaskID, _ changes: TaskChanges) -> Call {
    Call(method: .patch, path: "/tasks/\(id)", body: changes.json, isRepeatable: true)
  }

  package static let queues = Call(method: .get, path: "/queues")
  package static func queue(_ name: String) -> Call { Call(method: .get, path: "/queues/\(escaped(name))") }
  package static func change(queue: String, _ changes: QueueChanges) -> Call {
    var call = Call(method: .patch, path: "/queues/\(escaped(queue))", body: changes.json)
    call.isRepeatable = true
    call.fault = changes.fault
    return call
  }
  package static let types = Call(method: .get, path: "/types")
  package static func type(_ name: String) -> Call { Call(method: .get, path: "/types/\(escaped(name))") }
  package static func put(type: String, _ rules: TypeRules) -> Call {
    var call = Call(method: .put, path: "/types/\(escaped(type))", body: rules.json)
    call.isRepeatable = true
    call.fault = rules.fault
    return call
  }
  package static let workers = Call(method: .get, path: "/workers")
  package static let statistics = Call(method: .get, path: "/stats")
  package static let version = Call(method: .get, path: "/version")
  package static let alive = Call(method: .get, path: "/health/live")
  package static let ready = Call(method: .get, path: "/health/ready", answers: [503])

  /// Path and query, as they stand in the request line.
  var target: String {
    guard !query.isEmpty else { return path }
    return path + "?" + writtenQuery
  }

  package var writtenQuery: String {
    query.map { Self.escaped($0.name) + "=" + Self.escaped($0.value) }.joined(separator: "&")
  }

  /// All but the unreserved characters of RFC 3986 escaped, so that no value can end its own place.
  static func escaped(_ text: String) -> String {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        bytes.append(byte)
      default:
        bytes += [UInt8(ascii: "%"), hexDigit(byte >> 4), hexDigit(byte & 15)]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
  }
}
