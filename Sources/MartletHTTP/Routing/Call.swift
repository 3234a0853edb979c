// What a route's handler gets of a request: nothing of sockets or frameworks.

internal import HTTPTypes

struct Call: Sendable {
  /// What stands for the `{…}` of the route's path.
  var parameter: String
  var query: Parameters
  var body: [UInt8] = []
  var fields: HeaderFields
}

/// The header fields that anybody reads, gathered in one pass.
struct HeaderFields: Sendable {
  private(set) var contentType: String?
  private(set) var contentEncoding: String?
  private(set) var contentLength: String?
  private(set) var expect: String?
  private(set) var idempotencyKey: String?
  private(set) var origin: String?
  private(set) var requestID: String?
  private(set) var traceparent: String?

  /// `HTTPEdge` drops all others.
  static let names: [HTTPField.Name] = [
    .contentType, .contentEncoding, .contentLength, .expect, .idempotencyKey, .origin, .requestID, .traceparent,
  ]

  init(_ fields: HTTPFields) {
    for field in fields {
      switch field.name {
      case .contentType: Self.add(field, to: &contentType)
      case .contentEncoding: Self.add(field, to: &contentEncoding)
      case .contentLength: Self.add(field, to: &contentLength)
      case .expect: Self.add(field, to: &expect)
      case .idempotencyKey: Self.add(field, to: &idempotencyKey)
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
  static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
  static let requestID = HTTPField.Name("X-Request-Id")!
  static let traceparent = HTTPField.Name("traceparent")!
}
