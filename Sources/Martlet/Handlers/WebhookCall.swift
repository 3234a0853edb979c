// WEBHOOK_CALL: tells another system by HTTP. 2xx is success; any other answer and any trouble on the way is retried, but for 410
// and what the payload lists, since those say that nobody will ever want it.

internal import MartletCore
internal import MartletEngine
internal import NIOHTTP1

struct WebhookCall: TaskHandler {
  /// Read from the bytes themselves: a body is sent exactly as it was submitted.
  typealias Payload = RawJSON

  struct Answered: Codable, Sendable {
    var status: Int
    var body: String
    /// Present when there was more than is kept.
    var bodyTruncated: Bool?
  }

  static let type = "WEBHOOK_CALL"

  let http: OutgoingHTTP
  let clock: any EngineClock

  func problems(in payload: RawJSON) -> [ValidationProblem] {
    var problems = Problems()
    _ = WebhookRequest(payload.bytes, &problems)
    return problems.all
  }

  func run(_ payload: RawJSON, context: AttemptContext) async throws -> TaskResult {
    let begin = clock.now
    var problems = Problems()
    guard let request = WebhookRequest(payload.bytes, &problems) else {
      // `problems(in:)` was asked before.
      throw TaskFailure.permanent("the payload is no webhook call", type: "BAD_PAYLOAD")
    }
    let answer = try await http.send(request.outgoing(in: context))
    context.log("\(request.method) \(request.url.text) answered \(answer.status)")
    let (text, isCut) = Self.text(of: answer)
    if (200..<300).contains(answer.status) {
      return try .success(Answered(status: answer.status, body: text, bodyTruncated: isCut ? true : nil))
    }
    let excerpt = text.isEmpty ? "" : ": " + text.prefix(500)
    let message = "answered \(answer.status)" + (answer.refusedRedirect.map { "; \($0)" } ?? "") + excerpt
    if answer.status == 410 || request.nonRetryableStatuses.contains(answer.status) {
      throw TaskFailure.permanent(message, type: "HTTP_\(answer.status)")
    }
    let now = context.startedAt + (clock.now - begin)
    throw TaskFailure.retry(
      message, type: "HTTP_\(answer.status)", after: RetryAfter.delay(asked: answer.headers, now: now))
  }

  /// As text that stays small as JSON: what is not UTF-8 and control characters are replaced.
  private static func text(of answer: OutgoingAnswer) -> (String, isCut: Bool) {
    var body = answer.body[...]
    if answer.bodyIsCut {
      // Not in the middle of a character.
      for _ in 0..<3 where body.last.map({ $0 & 0xC0 == 0x80 }) == true { body.removeLast() }
      if body.last.map({ $0 >= 0xC0 }) == true { body.removeLast() }
    }
    let scalars = String(decoding: body, as: UTF8.self).unicodeScalars.map { scalar -> Unicode.Scalar in
      switch scalar {
      case "\n", "\r", "\t": scalar
      case "\0"..."\u{1F}", "\u{7F}": "\u{FFFD}"
      default: scalar
      }
    }
    return (String(String.UnicodeScalarView(scalars)), answer.bodyIsCut)
  }
}

/// A payload of WEBHOOK_CALL, checked.
struct WebhookRequest: Sendable {
  let method: String
  let url: TargetURL
  let headers: [(name: String, value: String)]
  let body: [UInt8]
  let timeout: Duration
  let nonRetryableStatuses: Set<Int>

  private static let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
  private static let headerLimit = 64

  /// Nil if there are problems. Unknown fields are the client's own business.
  init?(_ bytes: [UInt8], _ problems: inout Problems) {
    guard let root = try? JSONScanner.scan(bytes), let members = root.members else {
      problems.add("", "must be an object")
      return nil
    }
    let before = problems.all.count
    let fields = JSONFields(root, at: "", known: members.map(\.name), problems: &problems)
    let method = (fields.string("method", &problems) ?? "POST").uppercased()
    if !Self.methods.contains(method) {
      problems.add("/method", "must be one of \(Self.methods.joined(separator: ", "))")
    }
    var url: TargetURL?
    if !fields.has("url") {
      problems.add("/url", "is required")
    } else if let text = fields.string("url", &problems) {
      url = TargetURL(text)
      if url == nil { problems.add("/url", "must be an http or https URL with a host, without user and password") }
    }
    var headers = Self.headers(fields, &problems)
    let body = Self.body(fields.raw("body"), &headers)
    if !body.isEmpty, method == "GET" || method == "HEAD" { problems.add("/body", "cannot be sent with \(method)") }
    let seconds = fields.double("timeoutSeconds", &problems)
    problems.check(seconds, in: 0.001...3600, at: "/timeoutSeconds")
    let statuses = Self.statuses(fields, &problems)
    guard problems.all.count == before, let url else { return nil }
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    timeout = .milliseconds(Int64(((seconds ?? 30) * 1000).rounded(.up)))
    nonRetryableStatuses = statuses
  }

  func outgoing(in context: AttemptContext) -> OutgoingRequest {
    var headers = headers
    headers.append(("Idempotency-Key", context.taskID.description))
    headers.append(("X-Martlet-Attempt", String(context.attempt)))
    if let traceparent = context.traceparent, HeaderRules.isValue(traceparent) {
      headers.append(("traceparent", traceparent))
    }
    if !headers.contains(where: { $0.name.lowercased() == "user-agent" }) { headers.append(("User-Agent", "Martlet")) }
    return OutgoingRequest(method: method, url: url, headers: headers, body: body, timeout: timeout)
  }

  private static func headers(_ fields: JSONFields, _ problems: inout Problems) -> [(name: String, value: String)] {
    let given = (fields.stringMap("headers", &problems) ?? [:]).sorted { $0.key < $1.key }
    if given.count > headerLimit {
      problems.add("/headers", "has \(given.count) entries; at most \(headerLimit) are taken")
    }
    var seen: Set<String> = []
    for (name, value) in given.prefix(headerLimit) {
      let place = "/headers/" + JSONPointer.escaped(name)
      if !HeaderRules.isName(name) {
        problems.add(place, "is not the name of a header")
      } else if HeaderRules.isReserved(name) {
        problems.add(place, "cannot be set: it belongs to the connection or to Martlet")
      } else if !seen.insert(name.lowercased()).inserted {
        problems.add(place, "is given twice")
      }
      if !HeaderRules.isValue(value) {
        problems.add(place, "must be at most 8192 bytes without line ends and control characters")
      }
    }
    return given.map { ($0.key, $0.value) }
  }

  /// A string is sent as text, anything else as the JSON that it is.
  private static func body(_ slice: JSONSlice?, _ headers: inout [(name: String, value: String)]) -> [UInt8] {
    guard let slice, !slice.isNull else { return [] }
    if !headers.contains(where: { $0.name.lowercased() == "content-type" }) {
      headers.append(("Content-Type", slice.kind == .string ? "text/plain; charset=utf-8" : "application/json"))
    }
    return slice.string.map { Array($0.utf8) } ?? slice.bytes
  }

  private static func statuses(_ fields: JSONFields, _ problems: inout Problems) -> Set<Int> {
    guard let raw = fields.raw("nonRetryableStatuses"), !raw.isNull else { return [] }
    let numbers = raw.elements?.map(\.int)
    guard let numbers, numbers.allSatisfy({ $0.map((300...599).contains) == true }) else {
      problems.add("/nonRetryableStatuses", "must be an array of HTTP statuses from 300 to 599")
      return []
    }
    return Set(numbers.compactMap(\.self))
  }
}

/// What a client may put into a header (RFC 9110 §5).
enum HeaderRules {
  static func isName(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"):
          true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
      }
  }

  static func isValue(_ text: String) -> Bool {
    text.utf8.count <= 8192 && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == UInt8(ascii: "\t") }
  }

  /// Those that shape the connection or frame the message, and those that Martlet vouches for.
  static func isReserved(_ name: String) -> Bool {
    let name = name.lowercased()
    return reserved.contains(name) || name.hasPrefix("proxy-")
  }

  private static let reserved: Set = [
    "connection", "content-length", "expect", "host", "http2-settings", "idempotency-key", "keep-alive", "te",
    "traceparent", "trailer", "transfer-encoding", "upgrade", "x-martlet-attempt",
  ]
}
