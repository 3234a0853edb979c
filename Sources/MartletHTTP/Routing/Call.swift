// What a route's handler gets of a request: nothing of sockets or frameworks.

internal import HTTPTypes
internal import MartletCore

struct Call: Sendable {
  /// What stands for the `{…}` of the route's path.
  var parameter: String
  var query: Parameters
  var connection: ClientConnection
  var body: [UInt8] = []
  var fields: HeaderFields
  /// Whose call it is; the route's right was checked.
  var credential = Credential.nobody
  /// For calls that are held: throws where the credential is not good any more.
  var confirm: @Sendable () async throws(Problem) -> Void = { () throws(Problem) in }

  /// Where the call is traced.
  var trace: RequestTrace?

  /// Of the trace that the client brings along; nil where the header is missing or none of W3C Trace Context.
  var givenTraceparent: String? { fields.traceparent.flatMap { TraceParent.isValid($0) ? $0 : nil } }
  /// The same, or where there is none that of the call's own trace, if it has one: what new tasks belong to.
  var traceparent: String? { givenTraceparent ?? trace?.traceparent }
}

/// The header fields that anybody reads, gathered in one pass.
struct HeaderFields: Sendable {
  private(set) var apiKey: String?
  private(set) var authorization: String?
  /// One of these two came more than once.
  private(set) var repeatsCredential = false
  private(set) var contentType: String?
  private(set) var contentEncoding: String?
  private(set) var contentLength: String?
  private(set) var expect: String?
  private(set) var idempotencyKey: String?
  private(set) var lastEventID: String?
  private(set) var origin: String?
  private(set) var requestID: String?
  private(set) var traceparent: String?

  /// `HTTPEdge` drops all others.
  static let names: [HTTPField.Name] = [
    .apiKey, .authorization, .contentType, .contentEncoding, .contentLength, .expect, .idempotencyKey,
    .lastEventID, .origin, .requestID, .traceparent,
  ]

  init(_ fields: HTTPFields) {
    for field in fields {
      switch field.name {
      case .apiKey:
        repeatsCredential = repeatsCredential || apiKey != nil
        apiKey = field.value
      case .authorization:
        repeatsCredential = repeatsCredential || authorization != nil
        authorization = field.value
      case .contentType: Self.add(field, to: &contentType)
      case .contentEncoding: Self.add(field, to: &contentEncoding)
      case .contentLength: Self.add(field, to: &contentLength)
      case .expect: Self.add(field, to: &expect)
      case .idempotencyKey: Self.add(field, to: &idempotencyKey)
      case .lastEventID: Self.add(field, to: &lastEventID)
      case .origin: Self.add(field, to: &origin)
      case .requestID: Self.add(field, to: &requestID)
      case .traceparent: Self.add(field, to: &traceparent)
      default: break
      }
    }
  }

  /// Repeated fields are one list (RFC 9110 §5.3); as none of these may be lists, their readers refuse them so.
  private static func add(_ field: HTTPField, to value: inout String?) {
    value = value.map { $0 + ", " + field.value } ?? field.value
  }
}

extension HTTPField.Name {
  static let accelBuffering = HTTPField.Name("X-Accel-Buffering")!
  static let apiKey = HTTPField.Name("X-API-Key")!
  static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
  static let idempotentReplayed = HTTPField.Name("Idempotent-Replayed")!
  static let lastEventID = HTTPField.Name("Last-Event-ID")!
  static let requestID = HTTPField.Name("X-Request-Id")!
  static let traceparent = HTTPField.Name("traceparent")!
}
