// A real HTTP server on a free port that answers as a test tells it to, and keeps what it was asked.

import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

final class HookServer: Sendable {
  struct Request: Sendable {
    var method: String
    var uri: String
    var headers: HTTPHeaders
    var body: String
  }

  enum Answer: Sendable {
    /// `PORT` in a header stands for the server's own.
    case reply(Int, [(String, String)] = [], body: String = "")
    /// Says nothing at all.
    case silence
    /// A head and half of a body, then nothing.
    case half
    /// Closes the connection instead of an answer.
    case close
    /// A body that does not end.
    case endless
  }

  private struct State {
    var answers: [Answer]
    var requests: [Request] = []
    var connections: [any Channel] = []
  }

  private let state: Mutex<State>
  private let listener: Mutex<(any Channel)?> = Mutex(nil)
  private let onRequest: @Sendable () -> Void
  /// Where it listens.
  var port: Int { listener.withLock { $0?.localAddress?.port ?? 0 } }
  var requests: [Request] { state.withLock { $0.requests } }
  func url(_ path: String = "/") -> String { "http://127.0.0.1:\(port)\(path)" }

  /// The answers in order; the last one for ever.
  private init(_ answers: [Answer], onRequest: @escaping @Sendable () -> Void) {
    state = Mutex(State(answers: answers))
    self.onRequest = onRequest
  }

  static func run<Result>(
    _ answers: [Answer], onRequest: @escaping @Sendable () -> Void = {},
    serving body: (HookServer) async throws -> Result
  ) async throws -> Result {
    let server = HookServer(answers, onRequest: onRequest)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        server.state.withLock { $0.connections.append(channel) }
        return channel.pipeline.configureHTTPServerPipeline().flatMapThrowing {
          try channel.pipeline.syncOperations.addHandler(Conversation(server: server))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    server.listener.withLock { $0 = channel }
    do {
      let result = try await body(server)
      await server.stop()
      return result
    } catch {
      await server.stop()
      throw error
    }
  }

  private func stop() async {
    let channels = state.withLock { $0.connections } + listener.withLock { [$0].compactMap(\.self) }
    for channel in channels { try? await channel.close() }
  }

  fileprivate func answer(to request: Request) -> Answer {
    defer { onRequest() }
    return state.withLock { state in
      state.requests.append(request)
      return state.answers.count > 1 ? state.answers.removeFirst() : state.answers[0]
    }
  }
}

private final class Conversation: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let server: HookServer
  private var head: HTTPRequestHead?
  private var body = ""

  init(server: HookServer) { self.server = server }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      body = ""
    case .body(let part): body += String(buffer: part)
    case .end:
      guard let head else { return }
      let request = HookServer.Request(
        method: head.method.rawValue, uri: head.uri, headers: head.headers, body: body)
      switch server.answer(to: request) {
      case .silence: break
      case .close: context.close(promise: nil)
      case .reply(let status, let headers, let body):
        begin(context, status, headers + [("Content-Length", "\(body.utf8.count)")])
        if head.method != .HEAD { send(context, body) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      case .half:
        begin(context, 200, [("Content-Length", "100")])
        send(context, "half")
        context.flush()
      case .endless:
        begin(context, 200, [("Transfer-Encoding", "chunked")])
        pour(context)
      }
    }
  }

  private func begin(_ context: ChannelHandlerContext, _ status: Int, _ headers: [(String, String)]) {
    let headers = headers.map { ($0, $1.replacing("PORT", with: "\(server.port)")) }
    let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: HTTPHeaders(headers))
    context.write(wrapOutboundOut(.head(head)), promise: nil)
  }

  private func send(_ context: ChannelHandlerContext, _ text: String) {
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
  }

  /// Writes on as long as the other side takes it.
  private func pour(_ context: ChannelHandlerContext) {
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    let part = ByteBuffer(string: String(repeating: "é", count: 5000))
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(part)))).whenSuccess {
      let (conversation, context) = bound.value
      conversation.pour(context)
    }
  }
}
