// Every request this library can make, in one place: method, path, query, body.

internal import MartletCore

/// One request, not yet sent.
package struct Call: Sendable {
  package enum Method: String, Sendable {
    case get = "GET"
    case post = "POST"
    case patch = "PATCH"
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
  /// How long the server may hold the request before it answers.
  var hold = Duration.zero
  /// Statuses beyond 2xx whose body is an answer and not a problem.
  var answers: Set<Int> = []
  /// Found before sending; thrown instead of it.
  var fault: MartletClientError?

  /// The server holds a request no longer than 60 s; half of that passes through most proxies.
  static let longestWait = Duration.seconds(30)

  package static func submit(_ task: NewTask) -> Call {
    var call = Call(method: .post, path: "/tasks")
    do throws(MartletClientError) {
      call.body = try task.json()
    } catch {
      call.fault = error
    }
    call.traceparent = task.traceparent
    return call
  }

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
    Call(method: .patch, path: "/tasks/\(id)", body: changes.json)
  }

  package static let queues = Call(method: .get, path: "/queues")
  package static func queue(_ name: String) -> Call { Call(method: .get, path: "/queues/\(escaped(name))") }
  package static let workers = Call(method: .get, path: "/workers")
  package static let statistics = Call(method: .get, path: "/stats")
  package static let version = Call(method: .get, path: "/version")
  package static let ready = Call(method: .get, path: "/health/ready", answers: [503])

  /// Path and query, as they stand in the request line.
  var target: String {
    guard !query.isEmpty else { return path }
    return path + "?" + query.map { Self.escaped($0.name) + "=" + Self.escaped($0.value) }.joined(separator: "&")
  }

  /// All but the unreserved characters of RFC 3986 escaped, so that no value can end its own place.
  private static func escaped(_ text: String) -> String {
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
