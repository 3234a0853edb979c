// One HTTP call to the outside: vetted address, bounded time, bounded answer, no redirect to anybody else. `WebhookCall` says what
// to send and what the answer means.

internal import AsyncHTTPClient
internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Tracing

/// Where to, checked: only http and https, a host, a legal port, nothing before an `@`.
struct TargetURL: Sendable, Hashable {
  /// As it will be given to the client.
  let text: String
  let isSecure: Bool
  /// In lower case, without brackets.
  let host: String
  let port: Int

  init?(_ text: String) {
    // What comes out of the parser is checked and sent, never what went in: both sides must read the same URL.
    guard text.utf8.count <= 8192, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }),
      var components = URLComponents(string: text), components.user == nil, components.password == nil
    else { return nil }
    components.scheme = components.scheme?.lowercased()
    components.percentEncodedHost = components.percentEncodedHost?.lowercased()
    components.fragment = nil
    guard let url = components.url, let host = url.host, Self.isHost(host), (1...65_535).contains(url.port ?? 80) else {
      return nil
    }
    switch url.scheme {
    case "http": isSecure = false
    case "https": isSecure = true
    default: return nil
    }
    self.text = url.absoluteString
    self.host = Self.bare(host)
    port = url.port ?? (isSecure ? 443 : 80)
  }

  /// The target of a redirect, if it leads to the same host: the same port, or from plain to secure on the usual ports.
  func following(_ location: String) -> TargetURL? {
    guard let resolved = URL(string: location, relativeTo: URL(string: text))?.absoluteString,
      let target = TargetURL(resolved), target.host == host
    else { return nil }
    let isUpgrade = !isSecure && target.isSecure && port == 80 && target.port == 443
    return isUpgrade || (target.isSecure == isSecure && target.port == port) ? target : nil
  }

  private static func bare(_ host: String) -> String {
    host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
  }

  /// Letters, digits, `.`, `-`, `_`, or an IPv6 address. No escapes and no scope, which resolvers and clients read differently.
  private static func isHost(_ host: String) -> Bool {
    let host = bare(host)
    if host.contains(":") { return IPAddress(host) != nil }
    return (1...253).contains(host.utf8.count)
      && host.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }
}

struct OutgoingRequest: Sendable {
  var method: String
  var url: TargetURL
  var headers: [(name: String, value: String)]
  var body: [UInt8]
  /// In all: resolving, connecting, sending, redirects, reading.
  var timeout: Duration
}

struct OutgoingAnswer: Sendable {
  var status: Int
  var headers: HTTPHeaders
  /// The first 64 KiB.
  var body: [UInt8]
  var bodyIsCut: Bool
  /// A redirect that was not followed, and why.
  var refusedRedirect: String?
}

final class OutgoingHTTP: Sendable {
  private static let bodyLimit = 64 * 1024
  private static let redirectLimit = 3

  private let targets: Live<PrivateTargets>
  private let clock: any EngineClock
  private let spans: SpanSource?
  /// For calls that need no vetting; its connections are kept for the next call.
  private let client: HTTPClient

  convenience init(targets: PrivateTargets, clock: any EngineClock, spans: SpanSource? = nil) {
    self.init(targets: Live(targets), clock: clock, spans: spans)
  }

  /// - Parameter spans: nil where calls are not traced.
  init(targets: Live<PrivateTargets>, clock: any EngineClock, spans: SpanSource? = nil) {
    self.spans = spans
    self.targets = targets
    self.clock = clock
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: Self.configuration(override: [:]))
  }

  /// - Parameter parent: what the call is part of; without it, it makes no span.
  /// - Throws: `CancellationError` as soon as the attempt is no longer wanted, else a `TaskFailure`.
  func send(
    _ request: OutgoingRequest, in parent: ServiceContext? = .current
  ) async throws -> OutgoingAnswer {
    guard let spans, let parent else { return try await sendInTime(request) }
    // Neither path nor query: with many receivers they are the secret.
    let span = spans.begin(
      request.method, .client, in: parent,
      [
        "http.request.method": .string(request.method), "server.address": .string(request.url.host),
        "server.port": .int64(Int64(request.url.port)), "url.scheme": .string(request.url.isSecure ? "https" : "http"),
        "network.protocol.name": "http",
      ])
    defer { spans.end(span) }
    var request = request
    if let traceparent = spans.traceparent(of: span) {
      request.headers.removeAll { $0.name.lowercased() == "traceparent" }
      request.headers.append(("traceparent", traceparent))
    }
    do {
      let answer = try await sendInTime(request)
      span.attributes["http.response.status_code"] = answer.status
      if answer.status >= 400 {
        span.attributes["error.type"] = String(answer.status)
        span.setStatus(.init(code: .error))
      }
      return answer
    } catch let failure as TaskFailure {
      spans.fail(span, type: failure.error.type, message: failure.error.message)
      throw failure
    } catch {
      spans.fail(span, type: "CancellationError", message: "no longer wanted")
      throw error
    }
  }

  private func sendInTime(_ request: OutgoingRequest) async throws -> OutgoingAnswer {
    do {
      return try await withThrowingTaskGroup(of: OutgoingAnswer?.self) { group in
        group.addTask { try await self.call(request) }
        group.addTask { [clock] in
          try await clock.sleep(for: request.timeout)
          return nil
        }
        defer { group.cancelAll() }
        if let answer = try await group.next() ?? nil { return answer }
        throw TaskFailure.retry(
          "no full answer within \(request.timeout.secondsAsDouble) s", type: "REQUEST_TIMEOUT")
      }
    } catch let failure as TaskFailure {
      throw failure
    } catch {
      try Task.checkCancellation()
      throw Self.failure(error)
    }
  }

  func shutdown() async {
    // The only error is a second shutdown.
    try? await client.shutdown()
  }

  private func call(_ request: OutgoingRequest) async throws -> OutgoingAnswer {
    guard let addresses = try await targets.current.vetted(request.url.host) else {
      return try await follow(request, with: client)
    }
    // Each call has a client of its own that knows one address and asks nobody for another.
    for address in addresses.dropLast() {
      do {
        return try await call(request, at: address)
      } catch  where Self.neverConnected(error) {
        continue
      }
    }
    return try await call(request, at: addresses[addresses.count - 1])
  }

  private func call(_ request: OutgoingRequest, at address: IPAddress) async throws -> OutgoingAnswer {
    let pinned = HTTPClient(
      eventLoopGroupProvider: .singleton,
      configuration: Self.configuration(override: [request.url.host: address.description]))
    let answer: Result<OutgoingAnswer, any Error>
    do {
      answer = .success(try await follow(request, with: pinned))
    } catch {
      answer = .failure(error)
    }
    try? await pinned.shutdown()
    return try answer.get()
  }

  private func follow(_ request: OutgoingRequest, with client: HTTPClient) async throws -> OutgoingAnswer {
    var request = request
    var redirects = 0
    while true {
      var answer = try await exchange(request, with: client)
      guard [301, 302, 303, 307, 308].contains(answer.status), let location = answer.headers.first(name: "location")
      else { return answer }
      guard let target = request.url.following(location) else {
        answer.refusedRedirect = "redirects to another host are not followed"
        return answer
      }
      guard redirects < Self.redirectLimit else {
        answer.refusedRedirect = "it redirects more than \(Self.redirectLimit) times"
        return answer
      }
      redirects += 1
      // A redirect must not turn a delivery into a mere look at a page: only 303, which says that the delivery arrived, does.
      if answer.status == 303, request.method != "HEAD" {
        request.method = "GET"
        request.body = []
        request.headers.removeAll { $0.name.lowercased() == "content-type" }
      }
      request.url = target
    }
  }

  private func exchange(_ request: OutgoingRequest, with client: HTTPClient) async throws -> OutgoingAnswer {
    var outgoing = HTTPClientRequest(url: request.url.text)
    outgoing.method = HTTPMethod(rawValue: request.method)
    for (name, value) in request.headers { outgoing.headers.add(name: name, value: value) }
    if !request.body.isEmpty { outgoing.body = .bytes(request.body) }
    // The deadline is kept by `send`; the client's own only covers the time to the first bytes.
    let response = try await client.execute(outgoing, deadline: .distantFuture)
    var answer = OutgoingAnswer(
      status: Int(response.status.code), headers: response.headers, body: [], bodyIsCut: false)
    for try await part in response.body {
      let room = Self.bodyLimit - answer.body.count
      answer.body.append(contentsOf: part.readableBytesView.prefix(room))
      if part.readableBytes > room {
        answer.bodyIsCut = true
        break  // the rest is never asked for: leaving the loop closes the stream
      }
    }
    return answer
  }

  private static func configuration(override: [String: String]) -> HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration()
    configuration.dnsOverride = override
    configuration.redirectConfiguration = .disallow
    configuration.tracing.tracer = nil  // `send` makes the span
    configuration.timeout.connect = .seconds(10)
    configuration.connectionPool.idleTimeout = .seconds(15)
    // The task has its own backoff; a call that cannot connect shall say so at once.
    configuration.connectionPool.retryConnectionEstablishment = false
    return configuration
  }

  /// Nothing was sent, so the next address of the host may be tried.
  private static func neverConnected(_ error: any Error) -> Bool {
    if let error = error as? HTTPClientError { return error == .connectTimeout }
    if let error = error as? IOError {
      return [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL].contains(error.errnoCode)
    }
    return false
  }

  private static func failure(_ error: any Error) -> TaskFailure {
    if let error = error as? NIOConnectionError, error.connectionErrors.isEmpty {
      return .retry("\(error.host) cannot be resolved", type: "DNS_FAILED")
    }
    return .retry(text(of: error), type: "NETWORK_ERROR")
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
