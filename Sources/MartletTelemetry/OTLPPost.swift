// One message to an OpenTelemetry receiver by OTLP/HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp): `POST /v1/traces` with
// Protocol Buffers. The receiver is the operator's choice and not a task's, so its address is not vetted.

internal import AsyncHTTPClient
internal import Foundation
internal import MartletCore
internal import NIOCore
package import NIOHTTP1
internal import NIOPosix

/// Where spans go.
package struct OTLPEndpoint: Sendable, Hashable {
  /// `http://collector:4318/v1/traces`
  package let url: String
  /// `collector:4318`, for people.
  package let shown: String

  /// - Parameter text: with the path `/v1/traces` or, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it, without.
  /// - Returns: nil for what is no http or https URL of a host. Passwords belong into headers.
  package init?(_ text: String) {
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), let parts = URLComponents(string: text),
      ["http", "https"].contains(parts.scheme?.lowercased()), let host = parts.host, !host.isEmpty,
      parts.user == nil, parts.password == nil, parts.query == nil, parts.fragment == nil,
      (1...65_535).contains(parts.port ?? 443)
    else { return nil }
    var base = text
    while base.hasSuffix("/") { base.removeLast() }
    url = base.hasSuffix("/v1/traces") ? base : base + "/v1/traces"
    shown = host + (parts.port.map { ":\($0)" } ?? "")
  }
}

package final class OTLPPost: SpanPost {
  private let endpoint: OTLPEndpoint
  private let headers: [(name: String, value: String)]
  private let delay: @Sendable (HTTPHeaders) -> Duration?
  private let client: HTTPClient

  private static let longestAnswer = 64 * 1024

  /// - Parameters:
  ///   - headers: of each request; secret.
  ///   - delay: what an answer's `Retry-After` asks for.
  package init(
    _ endpoint: OTLPEndpoint, headers: [(name: String, value: String)], userAgent: String,
    delay: @escaping @Sendable (HTTPHeaders) -> Duration?
  ) {
    self.delay = delay
    self.endpoint = endpoint
    self.headers = headers + [("Content-Type", "application/x-protobuf"), ("User-Agent", userAgent)]
    var configuration = HTTPClient.Configuration()
    configuration.redirectConfiguration = .disallow
    configuration.timeout.connect = .seconds(5)
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.tracing.tracer = nil  // or each message would make spans to be sent
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  package func send(_ message: [UInt8]) async -> SpanVerdict {
    var request = HTTPClientRequest(url: endpoint.url)
    request.method = .POST
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    request.body = .bytes(message)
    do {
      // The exporter keeps the time.
      let response = try await client.execute(request, deadline: .distantFuture)
      let status = Int(response.status.code)
      switch status {
      case 200..<300:
        let body = try await response.body.collect(upTo: Self.longestAnswer)
        return .taken(rejected: PartialSuccess.rejected(in: Array(body.readableBytesView)))
      case 429, 502, 503, 504:
        return .failed("\(endpoint.shown) answered \(status)", after: delay(response.headers))
      default:
        return .refused("\(endpoint.shown) answered \(status)")
      }
    } catch {
      return .failed("\(endpoint.shown): \(Self.text(of: error))")
    }
  }

  package func shutdown() async {
    // The only error is a second shutdown.
    try? await client.shutdown()
  }

  private static func text(of error: any Error) -> String {
    switch error {
    case let error as HTTPClientError: error.shortDescription
    case let error as IOError: String(cString: strerror(error.errnoCode))
    case let error as NIOConnectionError: error.connectionErrors.first.map { text(of: $0.error) } ?? "no connection"
    default: String(String(describing: error).prefix(300))
    }
  }
}
