// A request as a span, by OpenTelemetry's conventions for HTTP servers. What only keeps the machine going (health, metrics, the lease
// protocol, the stream) makes one only where the client brings a trace along. Called by `Responder`.

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine
internal import Tracing

struct RequestTrace: Sendable {
  private let spans: SpanSource
  private let span: any Tracing.Span

  /// Nil for what is not traced.
  /// - Parameter target: as it stood in the request line.
  static func begin(
    _ route: Route, _ target: RequestTarget, _ fields: HeaderFields, from connection: ClientConnection,
    isSecure: Bool, requestID: String, by spans: SpanSource
  ) -> RequestTrace? {
    let given = fields.traceparent.flatMap { TraceParent.isValid($0) ? $0 : nil }
    guard given != nil || route.beginsTraces else { return nil }
    let span = spans.begin(
      route.isSubmission ? "submit" : "\(route.method.rawValue) \(route.path)", .server, in: spans.context(given))
    if span.isRecording {
      span.attributes = [
        "http.request.method": .string(route.method.rawValue), "http.route": .string(route.path),
        "url.path": .string("/" + target.segments.joined(separator: "/")),
        "url.scheme": .string(isSecure ? "https" : "http"), "client.address": .string(connection.clientAddress),
        "network.protocol.name": "http", "martlet.request.id": .string(requestID),
      ]
    }
    return RequestTrace(spans: spans, span: span)
  }

  /// Of this request's span.
  var traceparent: String? { spans.traceparent(of: span) }

  func within<Value>(_ body: () async throws(Problem) -> Value) async throws(Problem) -> Value {
    try await spans.within(span, body)
  }

  /// - Parameter problem: its code, where the answer is one.
  func end(status: Int, problem: String?) {
    if span.isRecording {
      span.attributes["http.response.status_code"] = status
      if status >= 500 {
        span.attributes["error.type"] = problem ?? String(status)
        span.setStatus(.init(code: .error, message: problem))
      }
    }
    spans.end(span)
  }
}

extension Route {
  var isSubmission: Bool { right == .submit }

  fileprivate var beginsTraces: Bool {
    switch right {
    case .open, .metrics, .lease: false
    default: path != "/events/stream"
    }
  }
}

/// What the log says of a request wherever it is logged from.
package enum RequestScope {
  /// The request that is being answered; nil outside of one.
  @TaskLocal package static var requestID: String?

  static func with<Value>(
    _ id: String, _ body: () async throws(Problem) -> Value
  ) async throws(Problem) -> Value {
    let result = await $requestID.withValue(id) { () async -> Result<Value, Problem> in
      do throws(Problem) {
        return .success(try await body())
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}
