// A client that says exactly what a test tells it to: half a request, a lie about its length, nothing at all.

internal import Foundation
internal import NIOCore
internal import NIOPosix
internal import Synchronization
internal import Testing

final class RawConnection: Sendable {
  private let incoming: AsyncThrowingStream<[UInt8], any Error>
  private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  let channel: any Channel
  /// Received and not yet looked at.
  private let bytes = Mutex<[UInt8]>([])

  private init(
    incoming: AsyncThrowingStream<[UInt8], any Error>, outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    channel: any Channel
  ) {
    self.channel = channel
    self.incoming = incoming
    self.outbound = outbound
  }

  /// - Parameter prepare: puts handlers in before any byte has gone.
  static func open<Value: Sendable>(
    _ harness: HTTPHarness,
    prepare: @escaping @Sendable (ChannelPipeline.SynchronousOperations) throws -> Void = { _ in },
    _ body: @Sendable (RawConnection) async throws -> Value
  ) async throws -> Value {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.allowRemoteHalfClosure, value: true)
      .connectTimeout(.seconds(120))  // a busy machine is no subject of these tests
      .connect(host: harness.host, port: harness.port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try prepare(channel.pipeline.syncOperations)
          return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
            wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
        }
      }
    return try await channel.executeThenClose { inbound, outbound in
      let (incoming, continuation) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
      return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          do {
            for try await buffer in inbound { continuation.yield(Array(buffer.readableBytesView)) }
            continuation.finish()
          } catch {
            continuation.finish(throwing: error)
          }
        }
        defer { group.cancelAll() }
        return try await body(RawConnection(incoming: incoming, outbound: outbound, channel: channel.channel))
      }
    }
  }

  func send(_ text: String) async throws {
    try await send(Array(text.utf8))
  }

  func send(_ bytes: [UInt8]) async throws {
    try await outbound.write(ByteBuffer(bytes: bytes))
  }

  /// As many pieces as the server takes: one that has said no need not hear all. Its answer can be read all the same.
  func pour(_ piece: String, times: Int = 1) async {
    for _ in 0..<times { guard (try? await send(piece)) != nil else { return } }
  }

  /// No more will be sent.
  func finish() {
    outbound.finish()
  }

  /// Everything until the server closes.
  func rest() async throws -> [Reply] {
    do {
      for try await chunk in incoming { bytes.withLock { $0 += chunk } }
    } catch let error as IOError where error.errnoCode == ECONNRESET {
      // It closed before it had read all that was sent.
    }
    var replies: [Reply] = []
    while let reply = try takeReply() { replies.append(reply) }
    let left = bytes.withLock(\.self)
    #expect(left.isEmpty, "after the last answer comes \(String(decoding: left, as: UTF8.self))")
    return replies
  }

  /// Every byte until the server closes, whatever it is.
  func everything() async throws -> [UInt8] {
    do {
      for try await chunk in incoming { bytes.withLock { $0 += chunk } }
    } catch let error as IOError where error.errnoCode == ECONNRESET {
      // As above.
    }
    return bytes.withLock(\.self)
  }

  /// What has come once it is enough, and is taken away; nil where the server closes before that.
  func text(until isEnough: (String) -> Bool) async throws -> String? {
    while true {
      let text = bytes.withLock { String(decoding: $0, as: UTF8.self) }
      if isEnough(text) {
        bytes.withLock { $0 = [] }
        return text
      }
      var iterator = incoming.makeAsyncIterator()
      guard let chunk = try await iterator.next() else { return nil }
      bytes.withLock { $0 += chunk }
    }
  }

  /// So many answers; the connection may stay open.
  func replies(_ count: Int) async throws -> [Reply] {
    var replies: [Reply] = []
    while replies.count < count {
      if let reply = try takeReply() {
        replies.append(reply)
        continue
      }
      var iterator = incoming.makeAsyncIterator()
      guard let chunk = try await iterator.next() else { throw Unexpected("closed after \(replies.count) answers") }
      bytes.withLock { $0 += chunk }
    }
    return replies
  }

  private func takeReply() throws -> Reply? {
    try bytes.withLock { bytes in
      guard let (reply, length) = try Reply.first(in: bytes) else { return nil }
      bytes.removeFirst(length)
      return reply
    }
  }
}

extension HTTPHarness {
  /// Sends the text and reads until the server closes.
  func raw(_ text: String) async throws -> [Reply] {
    try await raw(Array(text.utf8))
  }

  func raw(_ bytes: [UInt8]) async throws -> [Reply] {
    try await RawConnection.open(self) { connection in
      try? await connection.send(bytes)  // the server may have said no and closed before it has got all
      return try await connection.rest()
    }
  }

  /// Sends one request for which the server keeps the connection, and reads its answer.
  func rawOne(_ text: String) async throws -> Reply {
    try await RawConnection.open(self) { connection in
      try await connection.send(text)
      return try await connection.replies(1)[0]
    }
  }
}

extension Reply {
  /// The first answer in a stream, if it is there whole. Bodies must have a Content-Length.
  fileprivate static func first(in bytes: [UInt8]) throws -> (Reply, length: Int)? {
    guard let headEnd = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
    let lines = String(decoding: bytes[..<headEnd.lowerBound], as: UTF8.self).components("\r\n")
    let words = lines[0].split(separator: " ")
    guard words.count > 1, let status = Int(words[1]) else { throw Unexpected("no status line: \(lines[0])") }
    var headers: [String: [String]] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { throw Unexpected("no header: \(line)") }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      headers[line[..<colon].lowercased(), default: []].append(String(value))
    }
    let length = headers["content-length"]?.first.flatMap { Int($0) } ?? 0
    guard bytes.count >= headEnd.upperBound + length else { return nil }
    let body = Array(bytes[headEnd.upperBound..<(headEnd.upperBound + length)])
    return (Reply(status: status, headers: headers, bytes: body), headEnd.upperBound + length)
  }
}

extension String {
  fileprivate func components(_ separator: String) -> [String] {
    var rest = self[...]
    var parts: [String] = []
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
