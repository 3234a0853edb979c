// A server on a real socket that answers by script and remembers what it was asked, for the tests of the client and of
// the command line. It writes its answers as raw bytes, so that it can also answer nonsense.

internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// What arrived.
package struct ScriptedRequest: Sendable, Hashable {
  package var method: String
  /// Path and query as they stood in the request line.
  package var target: String
  /// Names in lower case; the last of equal names.
  package var headers: [String: String]
  package var body: [UInt8]

  package var text: String { String(decoding: body, as: UTF8.self) }
  package var path: String { String(target.prefix { $0 != "?" }) }
}

package enum ScriptedAnswer: Sendable {
  case json(Int, String, headers: [String: String] = [:])
  case body(Int, [UInt8], headers: [String: String])
  /// Exactly these bytes, then the connection closes.
  case raw(String)
  /// Reads the request and closes the connection.
  case hangUp
  /// Never answers.
  case silence

  package static func problem(_ status: Int, _ json: String, headers: [String: String] = [:]) -> ScriptedAnswer {
    var headers = headers
    headers["content-type"] = "application/problem+json"
    return .body(status, Array(json.utf8), headers: headers)
  }
}

package final class ScriptedServer: Sendable {
  /// Asked for each request, with its number from 0.
  package typealias Script = @Sendable (ScriptedRequest, Int) -> ScriptedAnswer

  private let listener: any Channel
  private let book: ScriptedBook

  /// `http://127.0.0.1:PORT`
  package var address: String { "http://127.0.0.1:\(listener.localAddress?.port ?? 0)" }
  /// All so far, in order of arrival.
  package var requests: [ScriptedRequest] { book.requests }

  private init(listener: any Channel, book: ScriptedBook) {
    self.listener = listener
    self.book = book
  }

  /// Serves while `body` runs.
  package static func serving<Result>(
    _ script: @escaping Script, _ body: (ScriptedServer) async throws -> Result
  ) async throws -> Result {
    let book = ScriptedBook(script)
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 16)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)
          try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(decoder))
          try channel.pipeline.syncOperations.addHandler(ScriptedHandler(book))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let server = ScriptedServer(listener: listener, book: book)
    let result: Result
    do {
      result = try await body(server)
    } catch {
      try? await listener.close()
      throw error
    }
    try await listener.close()
    return result
  }

  /// An address at which nobody listens.
  package static func deafAddress() throws -> String {
    "http://127.0.0.1:\(try deafPort())"
  }

  /// A port that refuses: a socket has it for as long as the test program lives, so that nobody else can listen there.
  package static func deafPort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    guard isBound, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
      throw IOError(errnoCode: errno, reason: "no port for nobody")
    }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}

/// The script and what was asked so far, shared by all connections.
private final class ScriptedBook: Sendable {
  private let script: ScriptedServer.Script
  private let seen = Mutex<[ScriptedRequest]>([])

  init(_ script: @escaping ScriptedServer.Script) {
    self.script = script
  }

  var requests: [ScriptedRequest] { seen.withLock { $0 } }

  func answer(to request: ScriptedRequest) -> ScriptedAnswer {
    let number = seen.withLock { seen in
      seen.append(request)
      return seen.count - 1
    }
    return script(request, number)
  }
}

private final class ScriptedHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = ByteBuffer

  private let book: ScriptedBook
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []

  init(_ book: ScriptedBook) {
    self.book = book
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      body = []
    case .body(let buffer):
      body += Array(buffer: buffer)
    case .end:
      guard let head else { return }
      let headers = Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }) { $1 }
      let request = ScriptedRequest(method: head.method.rawValue, target: head.uri, headers: headers, body: body)
      answer(book.answer(to: request), context)
    }
  }

  private func answer(_ answer: ScriptedAnswer, _ context: ChannelHandlerContext) {
    switch answer {
    case .json(let status, let text, let headers):
      var headers = headers
      headers["content-type"] = "application/json"
      send(response(status, Array(text.utf8), headers), context)
    case .body(let status, let bytes, let headers):
      send(response(status, bytes, headers), context)
    case .raw(let text):
      send(Array(text.utf8), context)
      context.close(promise: nil)
    case .hangUp:
      context.close(promise: nil)
    case .silence:
      break
    }
  }

  private func response(_ status: Int, _ body: [UInt8], _ headers: [String: String]) -> [UInt8] {
    var head = "HTTP/1.1 \(status) Scripted\r\ncontent-length: \(body.count)\r\n"
    for (name, value) in headers.sorted(by: { $0.key < $1.key }) { head += "\(name): \(value)\r\n" }
    return Array((head + "\r\n").utf8) + body
  }

  private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
