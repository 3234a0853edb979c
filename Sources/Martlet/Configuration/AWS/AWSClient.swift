// Small HTTP calls to AWS and to what gives out its credentials: bounded in time and size, no redirects. Used by `ParameterStore` and
// `CredentialChain`.

internal import AsyncHTTPClient
internal import Foundation
internal import MartletCore
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Why AWS could not be asked, or what it refused; one line without secrets.
struct AWSFailure: Error, Sendable, Hashable, CustomStringConvertible {
  let description: String
  /// It may be otherwise in a moment.
  var isPassing = false

  init(_ description: String, isPassing: Bool = false) {
    self.description = Setting.printable(description)
    self.isPassing = isPassing
  }
}

struct AWSClient: Sendable {
  /// One for the whole process; it lives as long.
  private static let client = HTTPClient(
    eventLoopGroupProvider: .singleton,
    configuration: {
      var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
      configuration.timeout.connect = .seconds(5)
      configuration.connectionPool.retryConnectionEstablishment = false
      return configuration
    }())

  private static let longestAnswer = 4 * 1024 * 1024

  struct Answer: Sendable {
    var status: Int
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSONSlice? { try? JSONScanner.scan(body) }
  }

  func send(
    _ method: String, _ url: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
    within patience: TimeAmount = .seconds(10)
  ) async throws(AWSFailure) -> Answer {
    var request = HTTPClientRequest(url: url)
    request.method = HTTPMethod(rawValue: method)
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if !body.isEmpty { request.body = .bytes(ByteBuffer(bytes: body)) }
    do {
      let response = try await Self.client.execute(request, timeout: patience)
      let bytes = try await response.body.collect(upTo: Self.longestAnswer)
      return Answer(status: Int(response.status.code), body: Array(buffer: bytes))
    } catch {
      throw AWSFailure("\(Self.place(url)) cannot be reached: \(Self.reason(error))", isPassing: true)
    }
  }

  /// Without path and query.
  static func place(_ url: String) -> String {
    guard let components = URLComponents(string: url), let host = components.host else { return "the address" }
    return "\(components.scheme ?? "http")://\(host)" + (components.port.map { ":\($0)" } ?? "")
  }

  private static func reason(_ error: any Error) -> String {
    switch error {
    case let error as HTTPClientError: error.shortDescription
    case let error as IOError: String(cString: strerror(error.errnoCode))
    case let error as NIOConnectionError:
      error.connectionErrors.first.map { reason($0.error) } ?? "its name cannot be resolved"
    case is CancellationError: "the node is being stopped"
    default: String(String(describing: error).prefix(200))
    }
  }
}
