// The whole way of a request through the server in one function: checks, route, body, answer, headers, metrics. There
// is no stack of middleware, because this runs for every request. Called by `HTTPChannel`.

internal import HTTPTypes
internal import HummingbirdCore
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import NIOCore
internal import Synchronization

final class Responder: Sendable {
  private let api: API
  /// Nil without authentication.
  private let gate: Gate?
  private let routes: RouteTree
  private let requestIDs: RequestIDs
  private let dates = HTTPDates()
  private let metrics: HTTPMetrics
  private let clock: any EngineClock
  private let logger: Logger
  private let maxBodyBytes: Int
  private let requiresLoopbackHost: Bool
  private let isSecure: Bool
  /// Nil: nothing is traced.
  private let spans: SpanSource?
  private let isDraining = Atomic(false)

  init(
    api: API, gate: Gate?, configuration: HTTPConfiguration, metrics: HTTPMetrics, clock: any EngineClock,
    random: RandomSource, spans: SpanSource? = nil, logger: Logger
  ) {
    self.spans = spans
    isSecure = configuration.tls != nil
    self.api = api
    self.gate = gate
    self.metrics = metrics
    self.clock = clock
    self.logger = logger
    routes = RouteTree(RouteTable.routes(for: configuration.purpose))
    requestIDs = RequestIDs(random: random)
    maxBodyBytes = configuration.maxBodyBytes
    requiresLoopbackHost = configuration.requiresLoopbackHost
  }

  /// From now on only requests that have begun are carried out.
  func drain() {
    isDraining.store(true, ordering: .relaxed)
  }

  /// - Throws: the connection is to be closed; where there was one to write to, the answer has been written.
  @concurrent
  func respond(to request: Request, on connection: ClientConnection, writer: consuming ResponseWriter) async throws {
    let start = clock.now
    let fields = HeaderFields(request.headers)
    let requestID = requestIDs.id(given: fields.requestID)
    var path = HTTPMetrics.unmatched
    var awaitsContinue = fields.expect?.lowercased() == "100-continue"
    var admission = Gate.Admission(credential: .unguarded)
    var trace: RequestTrace?
    var problem: String?
    var answer: Answer
    do throws(Problem) {
      let target = try admit(request.head, fields)
      guard let (place, parameter) = routes.find(target.segments) else {
        throw Problem(.notFound, "there is nothing at this path")
      }
      path = place.path
      guard let route = place.route(request.method) else { throw .methodNotAllowed(request.method, at: place) }
      if let spans {
        trace = .begin(
          route, target, fields, from: connection, isSecure: isSecure, requestID: requestID, by: spans)
      }
      if let gate {
        admission = try await gate.admit(to: route.right, fields, from: connection.peer)
      }
      if route.method == .post, !route.takesIdempotencyKey, fields.idempotencyKey != nil {
        throw .invalid([
          ValidationProblem(
            pointer: "/header/Idempotency-Key", detail: "has no effect here: only submissions take a key")
        ])
      }
      let query = try Parameters(target.queryParameters(), known: route.query)
      var call = Call(
        parameter: parameter, query: query, connection: connection, fields: fields, credential: admission.credential)
      if let gate {
        call.confirm = { () async throws(Problem) in try await gate.confirm(route.right, fields) }
      }
      if route.body != .none {
        if route.body == .required { try MediaTypeCheck.json(fields) }
        if awaitsContinue {
          awaitsContinue = false
          try? await writer.writeInformationalHead(HTTPResponse(status: .continue))
        }
        call.body = try await read(request.body)
        if route.body == .optional, !EmptyBody.isTrivial(call.body) { try MediaTypeCheck.json(fields) }
      }
      call.trace = trace
      answer = try await carryOut(route, call, requestID: requestID)
    } catch {
      problem = error.code.rawValue
      answer = Answer(error, requestID: requestID)
    }
    answer.fields += admission.fields
    // A client that was not told to continue may send its body or not: no telling where its next request begins.
    if awaitsContinue { answer.closesConnection = true }
    finished(request.method, path, status: answer.status, took: clock.now - start, requestID: requestID)
    trace?.end(status: answer.status, problem: problem)

    let closes = answer.closesConnection || request.headers[.connection] == "close"
    let head = head(of: answer, requestID: requestID, closes: closes)
    let body = request.method == .head ? ResponseBody() : body(of: answer)
    do {
      try await writer.write(response: head, body: body)
    } catch {
      await answer.ifUnsent?()
      throw error
    }
    if answer.closesConnection { throw ConnectionEnds() }
  }

  private func carryOut(_ route: Route, _ call: Call, requestID: String) async throws(Problem) -> Answer {
    try await RequestScope.with(requestID) { () async throws(Problem) in
      guard let trace = call.trace else { return try await route.handle(api)(call) }
      return try await trace.within { () async throws(Problem) in try await route.handle(api)(call) }
    }
  }

  /// The answer to something that never became a request.
  func refusal(_ problem: Problem) -> (head: HTTPResponse, body: [UInt8]) {
    let requestID = requestIDs.id(given: nil)
    let answer = Answer(problem, requestID: requestID)
    finished(nil, HTTPMetrics.unmatched, status: answer.status, took: .zero, requestID: requestID)
    return (head(of: answer, requestID: requestID, closes: true), answer.body)
  }

  private struct ConnectionEnds: Error {}

  /// What can be refused by the head alone, whatever the route.
  private func admit(_ head: HTTPRequest, _ fields: HeaderFields) throws(Problem) -> RequestTarget {
    if let length = fields.contentLength.flatMap({ Int($0) }), length > maxBodyBytes {
      throw .bodyTooLarge(limit: maxBodyBytes)
    }
    guard let host = head.authority else {
      throw Problem(.malformedRequest, "a request must have exactly one Host header")
    }
    if requiresLoopbackHost { try LoopbackGuard.check(host: host, origin: fields.origin) }
    let target = try RequestTarget(head.path ?? "")
    // A node that drains is alive: whoever kills it for not being so takes its running attempts along.
    guard !isDraining.load(ordering: .relaxed) || target.segments == ["health", "live"] else {
      var problem = Problem(.shuttingDown, "the server is shutting down and begins nothing new")
      problem.closesConnection = true
      throw problem
    }
    return target
  }

  /// `HTTPEdge` keeps the limits of size and time; what it cuts short ends here.
  private func read(_ body: RequestBody) async throws(Problem) -> [UInt8] {
    do {
      var iterator = body.makeAsyncIterator()
      guard let first = try await iterator.next() else { return [] }
      var bytes = Array(first.readableBytesView)
      while let next = try await iterator.next() { bytes.append(contentsOf: next.readableBytesView) }
      return bytes
    } catch {
      if let cut = error as? RequestCutShort { throw cut.problem }
      var problem = Problem(.malformedRequest, "the connection broke while the body was read")
      problem.closesConnection = true
      throw problem
    }
  }

  private func head(of answer: Answer, requestID: String, closes: Bool) -> HTTPResponse {
    var fields = HTTPFields()
    fields.reserveCapacity(6 + answer.fields.count)
    // An answer without content says nothing of it (RFC 9110 §8.6).
    if answer.status != 204 {
      fields.append(HTTPField(name: .contentType, value: answer.type.rawValue))
      if answer.chunks == nil { fields.append(HTTPField(name: .contentLength, value: String(answer.body.count))) }
    }
    fields.append(HTTPField(name: .date, value: dates.now()))
    fields.append(HTTPField(name: .requestID, value: requestID))
    for field in answer.fields { fields.append(HTTPField(name: field.name, value: field.value)) }
    if closes { fields.append(HTTPField(name: .connection, value: "close")) }
    return HTTPResponse(status: HTTPResponse.Status(code: answer.status), headerFields: fields)
  }

  /// The writer waits while the client does not take what was written.
  private func body(of answer: Answer) -> ResponseBody {
    guard let chunks = answer.chunks else { return ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)) }
    return ResponseBody { writer in
      while let chunk = await chunks() { try await writer.write(ByteBuffer(bytes: chunk)) }
      try await writer.finish(nil)
    }
  }

  private func finished(
    _ method: HTTPRequest.Method?, _ path: String, status: Int, took duration: Duration, requestID: String
  ) {
    metrics.record(method: method, route: path, status: status, took: duration)
    guard logger.logLevel <= .debug else { return }
    logger.debug(
      "\(method?.rawValue ?? "-") \(path) \(status)",
      metadata: ["request_id": "\(requestID)", "milliseconds": "\(duration.wholeMilliseconds)"])
  }
}

extension Problem {
  fileprivate static func methodNotAllowed(_ method: HTTPRequest.Method, at place: RouteTree.Place) -> Problem {
    var problem = Problem(.methodNotAllowed, "\(place.path) takes \(place.allowed), not \(method.rawValue)")
    problem.allowedMethods = place.allowed
    return problem
  }
}
