// Sends one `Call` over AsyncHTTPClient, repeats it where that is safe (`RetryBudget`), and sorts what can go wrong
// into `MartletClientError`.

internal import AsyncHTTPClient
internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// A checked JSON answer.
package struct Answer: Sendable {
  package let server: String
  package let status: Int
  /// As it came.
  package let json: [UInt8]
  let root: JSONSlice
  /// Header `Idempotent-Replayed`: what was there already, by its key.
  var isReplay = false
}

extension Answer {
  /// One that did not come over HTTP.
  package init(server: String, json: [UInt8]) throws(JSONError) {
    self.init(server: server, status: 200, json: json, root: try JSONScanner.scan(json))
  }
}

extension MartletClient {
  package func answer(to call: Call) async throws -> Answer {
    if let fault = call.fault { throw fault }
    var budget = RetryBudget(options.retries)
    while true {
      do throws(ExchangeFailure) {
        return try await exchange(call)
      } catch {
        guard let pause = budget.pause(after: error, repeatable: call.method == .get || call.isRepeatable) else {
          throw error.told(server: server)
        }
        try await clock.pause(pause)
      }
    }
  }

  private func exchange(_ call: Call) async throws(ExchangeFailure) -> Answer {
    let status: Int
    let head: HTTPHeaders
    let body: [UInt8]
    do {
      let response = try await http.execute(request(call), timeout: TimeAmount(call.limit(options)))
      status = Int(response.status.code)
      head = response.headers
      body = Array(buffer: try await response.body.collect(upTo: options.maxAnswerBytes))
    } catch {
      throw ExchangeFailure(error, maxAnswerBytes: options.maxAnswerBytes)
    }
    if status >= 400, !call.answers.contains(status) { throw .refused(Problem(status: status, head: head, body: body)) }
    guard (200..<300).contains(status) || call.answers.contains(status) else {
      throw .unexpected("status \(status)\(head.first(name: "location").map { ", a redirect to \($0)" } ?? "")")
    }
    // An answer without content has nothing to say.
    let json = status == 204 ? Array("{}".utf8) : body
    do throws(JSONError) {
      return Answer(
        server: server, status: status, json: json, root: try JSONScanner.scan(json, maxDepth: 2 * Limits.jsonDepth),
        isReplay: head.first(name: "idempotent-replayed") == "true")
    } catch {
      throw .unexpected("the body \(error.predicate)")
    }
  }

  /// The body of an answer that comes piece by piece.
  func stream(_ call: Call) async throws(ExchangeFailure) -> StreamBody {
    do {
      var asked = request(call)
      asked.headers.replaceOrAdd(name: "accept", value: "text/event-stream, application/problem+json")
      let response = try await http.execute(asked, timeout: TimeAmount(call.limit(options)))
      let status = Int(response.status.code)
      if status == 200, response.headers.first(name: "content-type")?.hasPrefix("text/event-stream") == true {
        return StreamBody(response.body)
      }
      let body = Array(buffer: try await response.body.collect(upTo: options.maxAnswerBytes))
      guard status >= 400 else { throw ExchangeFailure.unexpected("status \(status), and no stream of events") }
      throw ExchangeFailure.refused(Problem(status: status, head: response.headers, body: body))
    } catch let error as ExchangeFailure {
      throw error
    } catch {
      throw ExchangeFailure(error, maxAnswerBytes: options.maxAnswerBytes)
    }
  }

  private func request(_ call: Call) -> HTTPClientRequest {
    var request = HTTPClientRequest(url: server + call.target)
    request.method = HTTPMethod(rawValue: call.method.rawValue)
    request.headers.add(name: "accept", value: "application/json, application/problem+json")
    request.headers.add(name: "user-agent", value: "martlet-client")
    switch credential {
    case .none: break
    case .apiKey(let key): request.headers.add(name: "x-api-key", value: key)
    case .token(let token): request.headers.add(name: "authorization", value: "Bearer \(token)")
    }
    // The trace that the caller names, or the span that it is in.
    let traceparent = call.traceparent ?? SpanSource.ofTheProcess?.currentTraceparent
    if let traceparent { request.headers.add(name: "traceparent", value: traceparent) }
    if let key = call.idempotencyKey { request.headers.add(name: "idempotency-key", value: key) }
    if let id = call.lastEventID { request.headers.add(name: "last-event-id", value: id) }
    if let body = call.body {
      request.headers.add(name: "content-type", value: "application/json")
      request.body = .bytes(ByteBuffer(bytes: body))
    }
    return request
  }

  static func makeHTTP(_ options: Options) -> HTTPClient {
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.tracing.tracer = nil  // or long polls would be spans, and a named trace would be there twice
    configuration.timeout.connect = TimeAmount(options.connectTimeout)
    configuration.timeout.read = TimeAmount(options.readTimeout)
    // Shorter than a server keeps an idle connection, or a request would sooner or later meet its end.
    configuration.connectionPool.idleTimeout = .seconds(45)
    // Attempts are this library's own business: a refused connection is told, not waited out.
    configuration.connectionPool.retryConnectionEstablishment = false
    if !options.checksCertificate {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.certificateVerification = .none
      configuration.tlsConfiguration = tls
    }
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }
}

extension Problem {
  fileprivate init(status: Int, head: HTTPHeaders, body: [UInt8]) {
    let retryAfter = head.first(name: "retry-after").flatMap { Int($0) }.map { Duration.seconds(max(0, $0)) }
    self.init(status: status, body: body, retryAfter: retryAfter, requestID: head.first(name: "x-request-id"))
  }
}

extension Call {
  /// From connecting to the head of the answer.
  func limit(_ options: MartletClient.Options) -> Duration {
    min(options.requestTimeout, patience ?? options.requestTimeout) + hold
  }
}

extension MartletClient.Options {
  /// Silence before and within an answer: as long as any request may be held, each call's own limit ends it sooner.
  var readTimeout: Duration { requestTimeout + max(Call.longestWait, Call.longestAct) }
}

/// Why one exchange gave no answer.
enum ExchangeFailure: Error, Hashable {
  case cancelled
  /// Nothing was sent.
  case unreachable(String)
  /// Broken off after something was sent.
  case broken(String)
  /// Sent, and the time is over: not repeated, it would only take as long again.
  case timedOut(String)
  case refused(Problem)
  case unexpected(String)
  case invalid(String)
  case shutDown

  init(_ error: any Error, maxAnswerBytes: Int) {
    switch error {
    case is CancellationError: self = .cancelled
    case let error as HTTPClientError: self.init(error)
    case let error as NIOConnectionError: self = .unreachable(Self.reason(error))
    // Only connecting can be refused; every other error of a socket may come after the first byte.
    case let error as IOError where error.errnoCode == ECONNREFUSED: self = .unreachable(Self.text(error))
    case let error as IOError: self = .broken(Self.text(error))
    case let error as HTTPParserError where error == .invalidEOFState: self = .broken("the answer was cut short")
    case is HTTPParserError: self = .unexpected("it does not speak HTTP")
    case let error as NIOSSLError: self = .unreachable(Self.text(error))
    case is NIOTooManyBytesError: self = .unexpected("the body is longer than \(maxAnswerBytes) bytes")
    default: self = .broken(String(describing: error))
    }
  }

  private init(_ error: HTTPClientError) {
    switch error {
    case .cancelled: self = .cancelled
    case .connectTimeout: self = .unreachable("connecting took too long")
    case .tlsHandshakeTimeout: self = .unreachable("the TLS handshake took too long")
    case .getConnectionFromPoolTimeout: self = .unreachable("no connection came free in time")
    case .deadlineExceeded, .readTimeout, .writeTimeout: self = .timedOut("the time for the request was over")
    case .remoteConnectionClosed: self = .broken("the connection was closed")
    case .alreadyShutdown: self = .shutDown
    case .invalidURL, .emptyHost, .emptyScheme: self = .invalid("the server's address is not a URL")
    default:
      // Header values are the only input of callers that AsyncHTTPClient checks.
      self =
        error.shortDescription.hasPrefix("Invalid header")
        ? .invalid("the credential or traceparent cannot be sent as a header")
        : .broken(error.shortDescription.lowercased())
    }
  }

  func told(server: String) -> any Error {
    switch self {
    case .cancelled: CancellationError()
    case .unreachable(let reason): MartletClientError.unreachable(server: server, reason: reason)
    case .broken(let reason), .timedOut(let reason): MartletClientError.noAnswer(server: server, reason: reason)
    case .refused(let problem): MartletClientError.problem(problem)
    case .unexpected(let reason): MartletClientError.unexpectedAnswer(server: server, reason: reason)
    case .invalid(let reason): MartletClientError.invalidRequest(reason)
    case .shutDown: MartletClientError.unreachable(server: server, reason: "the client was shut down")
    }
  }

  private static func reason(_ error: NIOConnectionError) -> String {
    guard let first = error.connectionErrors.first?.error else { return "the host name cannot be resolved" }
    return (first as? IOError).map(text) ?? "no connection could be made"
  }

  /// Nothing is sent before the handshake is done.
  private static func text(_ error: NIOSSLError) -> String {
    guard case .handshakeFailed(let cause) = error else { return "the certificate is not for this name" }
    let words = String(describing: cause)
    if words.contains("CERTIFICATE_VERIFY_FAILED") { return "the server's certificate is not trusted here" }
    return words.contains("WRONG_VERSION_NUMBER") ? "it does not speak TLS there" : "the TLS handshake failed"
  }

  private static func text(_ error: IOError) -> String {
    String(cString: strerror(error.errnoCode)).lowercased()
  }
}
