// The first to see a request on a connection: turns NIO's parts into Hummingbird's, keeps the limits of size and time,
// and refuses what cannot be read as a request, so that even that answer is a problem document. One for each
// connection, on its event loop; put in by `HTTPChannel`.

internal import HTTPTypes
internal import MartletCore
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes

/// Ends the stream of a request that goes too far; `Responder` answers with the problem.
struct RequestCutShort: Error {
  let problem: Problem
}

final class HTTPEdge: ChannelDuplexHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  private let limits: ConnectionLimits
  /// The whole answer to something that never became a request.
  private let answer: @Sendable (Problem) -> (head: HTTPResponse, body: [UInt8])

  /// Requests begun and not yet answered.
  private var unanswered = 0
  /// The latest request is HTTP/1.0, which knows no chunks: what has no length ends with the connection.
  private var knowsNoChunks = false
  /// Between the head and the end of a request.
  private var isReading = false
  private var readingSince = NIODeadline.uptimeNanoseconds(0)
  private var bodyBytes = 0
  private var bodyTimer: Scheduled<Void>?
  private var answerTimer: Scheduled<Void>?
  /// Nothing that comes in matters any more.
  private var isDeaf = false
  /// The parser has given up: the end of a request will not be seen.
  private var isBroken = false
  /// Waits until the requests before it are answered.
  private var refusal: Problem?
  private var isLingering = false
  /// No more answers will come; the client is told so when its request has ended.
  private var hasSaidAll = false

  init(limits: ConnectionLimits, answer: @escaping @Sendable (Problem) -> (head: HTTPResponse, body: [UInt8])) {
    self.limits = limits
    self.answer = answer
  }

  // MARK: In

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let part = unwrapInboundIn(data)
    guard !isDeaf else {
      if case .end = part {
        isReading = false
        if hasSaidAll || isLingering { context.close(promise: nil) }
      }
      return
    }
    switch part {
    case .head(let head):
      unanswered += 1
      knowsNoChunks = head.version == .http1_0
      isReading = true
      readingSince = .now()
      bodyBytes = 0
      context.fireChannelRead(wrapInboundOut(.head(Self.request(head))))
    case .body(let buffer):
      bodyBytes += buffer.readableBytes
      if bodyBytes > limits.bodyBytes {
        cutShort(context, .bodyTooLarge(limit: limits.bodyBytes))
      } else {
        context.fireChannelRead(wrapInboundOut(.body(buffer)))
      }
    case .end:
      isReading = false
      context.fireChannelRead(wrapInboundOut(.end(nil)))
      if hasSaidAll { context.close(promise: nil) }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if isLingering { return context.read() }
    // Most requests are complete within one read and never meet the timer.
    if isReading, bodyTimer == nil, !isDeaf { startBodyTimer(context) }
    context.fireChannelReadComplete()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard let parserError = error as? HTTPParserError else {
      if !isDeaf { context.fireErrorCaught(error) }
      return
    }
    isBroken = true
    guard !isDeaf else { return }
    let problem = Problem(parserError)
    if isReading {
      cutShort(context, problem)
    } else {
      isDeaf = true
      refusal = problem
      refuseInTurn(context)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if isLingering, event as? ChannelEvent == .inputClosed { return context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  /// Ends the request's stream with an error, behind what has come already.
  private func cutShort(_ context: ChannelHandlerContext, _ problem: Problem) {
    isDeaf = true
    var problem = problem
    problem.closesConnection = true
    context.fireErrorCaught(RequestCutShort(problem: problem))
  }

  private func refuseInTurn(_ context: ChannelHandlerContext) {
    guard unanswered == 0, let problem = refusal else { return }
    refusal = nil
    let (head, body) = answer(problem)
    context.write(wrapOutboundOut(.head(Self.response(head))), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    close(context: context, mode: .all, promise: nil)
  }

  /// Each piece of a body resets an idle timeout, so a body that trickles needs a limit of its own.
  private func startBodyTimer(_ context: ChannelHandlerContext) {
    let deadline = readingSince + limits.bodyTime
    bodyTimer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
      bodyTimer = nil
      guard isReading, !isDeaf else { return }
      if hasSaidAll {
        context.close(promise: nil)
      } else if NIODeadline.now() >= readingSince + limits.bodyTime {
        cutShort(
          context, Problem(.requestTimeout, "the request's body took longer than \(limits.bodyTimeText) to arrive"))
      } else {
        startBodyTimer(context)
      }
    }
  }

  // MARK: Out

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(let response):
      var head = Self.response(response)
      if knowsNoChunks, !head.headers.contains(name: "content-length") { head.version = .http1_0 }
      context.write(wrapOutboundOut(.head(head)), promise: promise)
    case .body(let buffer):
      context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: promise)
    case .end:
      unanswered -= 1
      context.write(wrapOutboundOut(.end(nil)), promise: promise)
      if refusal != nil {
        context.flush()
        refuseInTurn(context)
      }
    }
  }

  /// A client that does not take its answers must not hold them in memory for ever.
  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      answerTimer?.cancel()
      answerTimer = nil
    } else if answerTimer == nil {
      answerTimer = context.eventLoop.assumeIsolated().scheduleTask(in: limits.answerTime) {
        context.close(promise: nil)
      }
    }
    context.fireChannelWritabilityChanged()
  }

  /// To close a socket with unread input resets the connection, and the client may lose the answer that tells it why.
  /// So the rest of the request is read and thrown away for a moment first.
  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    guard isReading || isBroken, mode != .input, context.channel.isActive else {
      return context.close(mode: mode, promise: promise)
    }
    if mode == .output, !isBroken {
      // Many clients take the end of the answers for a failure while they are still sending.
      hasSaidAll = true
      promise?.succeed()
      return
    }
    guard mode == .all else { return context.close(mode: mode, promise: promise) }
    context.channel.closeFuture.cascade(to: promise)
    guard !isLingering else { return }
    isLingering = true
    isDeaf = true
    if isBroken { context.close(mode: .output, promise: nil) }
    context.read()
    bodyTimer?.cancel()
    bodyTimer = context.eventLoop.assumeIsolated().scheduleTask(in: limits.lingerTime) { context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    bodyTimer?.cancel()
    answerTimer?.cancel()
  }

  // MARK: Between NIO's types and Hummingbird's

  /// Carries over only what somebody reads.
  private static func request(_ head: HTTPRequestHead) -> HTTPRequest {
    var fields = HTTPFields()
    var hosts = 0
    var host: String?
    // After a request for a tunnel or another protocol NIO's parser reads no further.
    var isLast = head.version == .http1_0 || !head.isKeepAlive || head.method == .CONNECT
    for (name, value) in head.headers {
      let lowercased = name.lowercased()
      if let known = HeaderFields.known[lowercased] {
        fields.append(HTTPField(name: known, value: value))
      } else if lowercased == "host" {
        hosts += 1
        host = value
      } else if lowercased == "upgrade" {
        isLast = true
      }
    }
    // Hummingbird looks for exactly this, and knows nothing of the version.
    if isLast { fields.append(HTTPField(name: .connection, value: "close")) }
    let (authority, path) = target(head.uri)
    return HTTPRequest(
      method: HTTPRequest.Method(rawValue: head.method.rawValue) ?? .options, scheme: "http",
      authority: hosts == 1 ? authority ?? host : nil, path: path, headerFields: fields)
  }

  /// Takes the absolute form (`http://host/path`), whose host counts (RFC 9112 §3.2.2), apart.
  private static func target(_ uri: String) -> (authority: String?, path: String) {
    guard uri.utf8.first != UInt8(ascii: "/"),
      let scheme = ["http://", "https://"].first(where: uri.lowercased().hasPrefix)
    else { return (nil, uri) }
    let rest = uri.dropFirst(scheme.count)
    let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    let path = String(rest[end...])
    return (String(rest[..<end]), path.hasPrefix("/") ? path : "/" + path)
  }

  private static func response(_ response: HTTPResponse) -> HTTPResponseHead {
    var headers = HTTPHeaders()
    headers.reserveCapacity(response.headerFields.count)
    for field in response.headerFields { headers.add(name: field.name.rawName, value: field.value) }
    return HTTPResponseHead(
      version: .http1_1, status: HTTPResponseStatus(statusCode: response.status.code), headers: headers)
  }
}

@available(*, unavailable)
extension HTTPEdge: Sendable {}

extension Problem {
  static func bodyTooLarge(limit: Int) -> Problem {
    var problem = Problem(.bodyTooLarge, "the request's body is larger than \(limit) bytes")
    problem.closesConnection = true
    return problem
  }

  fileprivate init(_ error: HTTPParserError) {
    switch error {
    case .headerOverflow:
      self.init(.headersTooLarge, "the request's line and header fields are larger than this server takes")
    case .invalidMethod:
      self.init(.malformedRequest, "the request's method is not known")
    case .invalidVersion:
      self.init(.malformedRequest, "this server speaks HTTP/1.1 and HTTP/1.0")
    case .invalidURL:
      self.init(.malformedRequest, "the request target is malformed")
    case .invalidContentLength, .unexpectedContentLength:
      self.init(.malformedRequest, "the header Content-Length is malformed, or contradicts Transfer-Encoding")
    case .invalidChunkSize:
      self.init(.malformedRequest, "the chunked body is malformed")
    case .invalidEOFState, .closedConnection:
      self.init(.malformedRequest, "the request ended too early")
    default:
      self.init(.malformedRequest, "the request is not HTTP/1.1 as it should be")
    }
    closesConnection = true
  }
}

extension HeaderFields {
  /// By lower-case name.
  fileprivate static let known = Dictionary(uniqueKeysWithValues: names.map { ($0.canonicalName, $0) })
}
