// A door before a mock broker: TLS with a certificate of its own, and a user with a password (SASL, PLAIN). What comes in behind it is
// the mock's business. The mock knows neither, and names its own address to clients: the door puts its own in its place.
// The wire: https://kafka.apache.org/protocol.

internal import Foundation
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

final class KafkaDoor: Sendable {
  let port: Int
  private let listener: any Channel
  private let book: Book

  /// What clients showed, `user password`, in order.
  final class Book: Sendable {
    private let shown = Mutex<[String]>([])

    func write(_ text: String) { shown.withLock { $0.append(text) } }
    var all: [String] { shown.withLock(\.self) }
  }

  var shown: [String] { book.all }

  private init(_ listener: any Channel, _ book: Book) {
    (self.listener, self.book) = (listener, book)
    port = listener.localAddress?.port ?? 0
  }

  /// - Parameters:
  ///   - mock: its only broker, `127.0.0.1:PORT`.
  ///   - certificate: PEM files, for `localhost` and 127.0.0.1.
  static func open(
    before mock: String, user: String, password: String, certificate: String, key: String
  ) async throws -> KafkaDoor {
    let inside = Int(mock.split(separator: ":").last ?? "") ?? 0
    let tls = try NIOSSLContext(
      configuration: .makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
        privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))))
    let (book, port) = (Book(), PortBox())
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(NIOSSLServerHandler(context: tls))
          try pipeline.addHandler(ByteToMessageHandler(KafkaFrames()))
          try pipeline.addHandler(
            DoorHandler(inside: inside, outside: port.value, credential: "\(user) \(password)", book))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    port.value = listener.localAddress?.port ?? 0
    return KafkaDoor(listener, book)
  }

  func close() async { try? await listener.close() }

  private final class PortBox: Sendable {
    private let port = Mutex(0)
    var value: Int {
      get { port.withLock(\.self) }
      set { port.withLock { $0 = newValue } }
    }
  }
}

/// Frames without their lengths.
private struct KafkaFrames: ByteToMessageDecoder {
  typealias InboundOut = ByteBuffer

  mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
    guard let length = buffer.getInteger(at: buffer.readerIndex, as: Int32.self),
      buffer.readableBytes >= Int(length) + 4
    else { return .needMoreData }
    buffer.moveReaderIndex(forwardBy: 4)
    if let frame = buffer.readSlice(length: Int(length)) { context.fireChannelRead(wrapInboundOut(frame)) }
    return .continue
  }
}

extension ByteBuffer {
  fileprivate var framed: ByteBuffer {
    var whole = ByteBuffer(integer: Int32(readableBytes))
    whole.writeImmutableBuffer(self)
    return whole
  }
}

private final class DoorHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private static let versions: Int16 = 18
  private static let handshake: Int16 = 17
  private static let authenticate: Int16 = 36
  private static let authenticationFailed: Int16 = 58
  private static let unsupportedVersion: Int16 = 35

  private let inside: Int
  private let outside: Int
  private let credential: String
  private let book: KafkaDoor.Book
  private var mock: (any Channel)?
  private var waiting: [ByteBuffer] = []

  init(inside: Int, outside: Int, credential: String, _ book: KafkaDoor.Book) {
    (self.inside, self.outside, self.credential, self.book) = (inside, outside, credential, book)
  }

  func channelActive(context: ChannelHandlerContext) {
    let client = context.channel
    let (inside, outside) = (inside, outside)
    ClientBootstrap(group: context.eventLoop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(KafkaFrames()))
          try channel.pipeline.syncOperations.addHandler(
            AnswerHandler(to: client, inside: inside, outside: outside))
        }
      }
      .connect(host: "127.0.0.1", port: inside)
      .assumeIsolated().whenComplete { [self] result in
        switch result {
        case .success(let channel):
          mock = channel
          for frame in waiting { channel.writeAndFlush(frame.framed, promise: nil) }
          waiting = []
        case .failure: client.close(promise: nil)
        }
      }
  }

  func channelInactive(context: ChannelHandlerContext) {
    mock?.close(promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    var reading = frame
    guard let api = reading.readInteger(as: Int16.self), let version = reading.readInteger(as: Int16.self),
      let correlation = reading.readInteger(as: Int32.self)
    else { return context.close(promise: nil) }
    switch api {
    case Self.versions where version > 0:
      // Clients ask again with version 0.
      var answer = ByteBuffer(integer: correlation)
      answer.writeInteger(Self.unsupportedVersion)
      answer.writeInteger(Int32(0))
      write(answer, context)
    case Self.handshake:
      var answer = ByteBuffer(integer: correlation)
      answer.writeInteger(Int16(0))
      answer.writeInteger(Int32(1))
      answer.writeInteger(Int16(5))
      answer.writeString("PLAIN")
      write(answer, context)
    case Self.authenticate:
      reading.moveReaderIndex(forwardBy: Int(max(0, reading.readInteger(as: Int16.self) ?? 0)))  // the client's name
      let shown = reading.readInteger(as: Int32.self).flatMap { reading.readString(length: Int($0)) } ?? ""
      let words = shown.split(separator: "\0").joined(separator: " ")
      book.write(words)
      var answer = ByteBuffer(integer: correlation)
      let reason = "who is that"
      answer.writeInteger(words == credential ? Int16(0) : Self.authenticationFailed)
      answer.writeInteger(Int16(reason.utf8.count))
      answer.writeString(reason)
      answer.writeInteger(Int32(0))
      write(answer, context)
    default:
      if let mock { mock.writeAndFlush(frame.framed, promise: nil) } else { waiting.append(frame) }
    }
  }

  private func write(_ answer: ByteBuffer, _ context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(answer.framed), promise: nil)
  }

  /// From the mock to the client.
  private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let client: any Channel
    private let inside: [UInt8]
    private let outside: [UInt8]
    private var isFirst = true

    init(to client: any Channel, inside: Int, outside: Int) {
      func address(_ port: Int) -> [UInt8] {
        var buffer = ByteBuffer(string: "127.0.0.1")
        buffer.writeInteger(Int32(port))
        return Array(buffer: buffer)
      }
      self.client = client
      (self.inside, self.outside) = (address(inside), address(outside))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var bytes = Array(buffer: unwrapInboundIn(data))
      while let place = bytes.firstRange(of: inside) { bytes.replaceSubrange(place, with: outside) }
      if isFirst {
        // What the mock can do, in version 0, and what the door can do besides.
        isFirst = false
        var more = ByteBuffer()
        for (api, most) in [(DoorHandler.handshake, Int16(1)), (DoorHandler.authenticate, 0)] {
          more.writeInteger(api)
          more.writeInteger(Int16(0))
          more.writeInteger(most)
        }
        let count = bytes[6..<10].reduce(Int32(0)) { $0 << 8 | Int32($1) } + 2
        bytes.replaceSubrange(6..<10, with: Array(buffer: ByteBuffer(integer: count)))
        bytes += Array(buffer: more)
      }
      client.writeAndFlush(ByteBuffer(bytes: bytes).framed, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
      client.close(promise: nil)
    }
  }
}
