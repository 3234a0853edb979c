// Scenarios over sockets: single submits through the real HTTP server, and the memory of a server that has nothing to do.

internal import Foundation
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletHTTP
internal import NIOCore
internal import NIOPosix
internal import ServiceLifecycle

extension Bench {
  /// Durable single submits by 1, 8 and 64 connections; client and server share the machine's cores.
  func http(_ results: inout Results) async throws {
    for connections in [1, 8, 64] {
      let perSecond: Double = try await withStore { store, _ in
        try await withEngine(store, handlers: []) { engine in
          try await withHTTPServer(engine, store) { port in
            try await load(port: port, connections: connections)
          }
        }
      }
      results.add(.http, Self.clients(connections), perSecond, "tasks/s")
    }
  }

  /// Ten seconds after its start.
  func memory(_ results: inout Results) async throws {
    guard let executable = options.executable, options.database == nil else { return }
    let path = options.directory + "/bench-memory-\(UUID().uuidString).db"
    let server = Process()
    server.executableURL = URL(fileURLWithPath: executable)
    server.arguments = ["serve", "--port", "0", "--database", "sqlite:\(path)"]
    server.standardOutput = FileHandle.nullDevice
    try server.run()
    defer {
      server.terminate()
      server.waitUntilExit()
      for suffix in ["", "-wal", "-shm", ".lock"] { try? FileManager.default.removeItem(atPath: path + suffix) }
    }
    try await Task.sleep(for: .seconds(10))
    if let megabytes = Self.megabytes(of: server.processIdentifier, "VmRSS:") {
      results.add(.memory, "idle server, resident", megabytes, "MB")
    }
  }

  func withHTTPServer<Value: Sendable>(
    _ engine: Engine, _ store: any TaskStore, _ body: @escaping @Sendable (Int) async throws -> Value
  ) async throws -> Value {
    let (ports, port) = AsyncStream.makeStream(of: Int.self)
    var logger = Logger(label: "bench")
    logger.logLevel = .critical  // it is cancelled, not drained
    let server = HTTPServer(
      configuration: HTTPConfiguration(port: 0, version: "bench"), tasks: engine.service, leases: engine.leases,
      schedules: engine.schedules, apiKeys: store, metrics: { "" },
      logger: logger, onListening: { _, bound in port.yield(bound) })
    return try await withThrowingTaskGroup(of: Value?.self) { group in
      group.addTask {
        try await server.run()
        return nil
      }
      group.addTask {
        for await port in ports { return try await body(port) }
        return nil
      }
      defer { group.cancelAll() }
      while let value = try await group.next() {
        if let value { return value }
      }
      throw CancellationError()
    }
  }

  /// Requests answered per second, each connection asking again as soon as it has its answer.
  private func load(port: Int, connections: Int) async throws -> Double {
    let start = ContinuousClock.now
    let handlers = (0..<connections).map { _ in SubmitLoop(until: start + .seconds(options.seconds)) }
    let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
    for handler in handlers {
      _ = try await bootstrap.channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler) }
      }.connect(host: "127.0.0.1", port: port).get()
    }
    var answered = 0
    for handler in handlers { answered += try await handler.answered() }
    return Double(answered) / elapsed(since: start)
  }

  /// A line of the process's status that tells an amount of memory.
  static func megabytes(of process: Int32, _ field: String) -> Double? {
    guard let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix(field) }),
      let kibibytes = line.split(separator: " ").compactMap({ Double($0) }).first
    else { return nil }
    return kibibytes / 1024
  }
}

/// One keep-alive connection that submits again and again. It understands just enough HTTP to count: client and server share
/// the cores, so it has to cost little.
/// Only its channel's event loop touches it, hence unchecked.
private final class SubmitLoop: ChannelInboundHandler, @unchecked Sendable {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let end: ContinuousClock.Instant
  private let request: ByteBuffer
  private var received = ByteBuffer()
  private var count = 0
  private let result: AsyncThrowingStream<Int, any Error>
  private let finish: AsyncThrowingStream<Int, any Error>.Continuation

  init(until end: ContinuousClock.Instant) {
    self.end = end
    let body = #"{"type":"noop","payload":\#(String(decoding: samplePayload, as: UTF8.self))}"#
    request = ByteBuffer(
      string: "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    (result, finish) = AsyncThrowingStream.makeStream()
  }

  func answered() async throws -> Int {
    for try await count in result { return count }
    throw ChannelError.inputClosed
  }

  func channelActive(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(request), promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish.finish(throwing: ChannelError.inputClosed)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var chunk = unwrapInboundIn(data)
    received.writeBuffer(&chunk)
    guard let length = answerLength(), received.readableBytes >= length else { return }
    let status = received.getString(at: received.readerIndex + 9, length: 3)
    received.moveReaderIndex(forwardBy: length)
    received.discardReadBytes()
    guard status == "201" else {
      finish.finish(throwing: ChannelError.inappropriateOperationForState)
      return
    }
    count += 1
    if ContinuousClock.now < end {
      context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    } else {
      finish.yield(count)
      finish.finish()
      context.close(promise: nil)
    }
  }

  /// Head and body together, once the head is there.
  private func answerLength() -> Int? {
    received.withUnsafeReadableBytes { bytes in
      var length: Int?
      var lineStart = 0
      for index in bytes.indices where bytes[index] == UInt8(ascii: "\n") {
        let line = bytes[lineStart..<index]
        if line.count == 1 { return length.map { index + 1 + $0 } }
        if length == nil, line.starts(with: Self.lengthField) {
          length = line.dropFirst(Self.lengthField.count).reduce(0) { total, byte in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) ? total * 10 + Int(byte - UInt8(ascii: "0")) : total
          }
        }
        lineStart = index + 1
      }
      return nil
    }
  }

  private static let lengthField = Array("Content-Length:".utf8)
}
