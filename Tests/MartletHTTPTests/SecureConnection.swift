// A client over TLS that says exactly what a test tells it to.

internal import NIOCore
internal import NIOSSL
internal import NIOTLS
internal import ScriptedServer

enum SecureConnection {
  /// Trusts this certificate and no other.
  static func open<Value: Sendable>(
    _ harness: HTTPHarness, trusting certificate: SelfSigned,
    configure: (inout TLSConfiguration) -> Void = { _ in },
    _ body: @Sendable (RawConnection) async throws -> Value
  ) async throws -> Value {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(certificate.certificate.utf8)))
    configuration.applicationProtocols = ["http/1.1"]
    configure(&configuration)
    let context = try NIOSSLContext(configuration: configuration)
    return try await RawConnection.open(harness) { pipeline in
      try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: "localhost"))
      try pipeline.addHandler(HandshakeWitness())
    } _: {
      try await body($0)
    }
  }
}

extension RawConnection {
  /// Returns once the handshake is done: the protocol that both have agreed on.
  func negotiated() async throws -> String? {
    let future = try await channel.eventLoop.submit {
      try self.channel.pipeline.syncOperations.handler(type: HandshakeWitness.self).done(self.channel.eventLoop)
    }.get()
    return try await future.get()
  }

  /// Closes the socket without the goodbye of TLS.
  func drop() async {
    let closed = channel.eventLoop.flatSubmit {
      do {
        let promise = self.channel.eventLoop.makePromise(of: Void.self)
        try self.channel.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self).close(promise: promise)
        return promise.futureResult
      } catch {
        return self.channel.eventLoop.makeSucceededVoidFuture()
      }
    }
    try? await closed.get()  // it is closed already
  }
}

/// Remembers how the handshake went.
private final class HandshakeWitness: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private var result: Result<String?, any Error>?
  private var waiting: EventLoopPromise<String?>?

  func done(_ loop: any EventLoop) -> EventLoopFuture<String?> {
    let promise = waiting ?? loop.makePromise(of: String?.self)
    waiting = promise
    if let result { promise.completeWith(result) }
    return promise.futureResult
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted(let name) = event as? TLSUserEvent { end(.success(name)) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(.failure(error))
    context.fireErrorCaught(error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(.failure(ChannelError.eof))
    context.fireChannelInactive()
  }

  private func end(_ result: Result<String?, any Error>) {
    guard self.result == nil else { return }
    self.result = result
    waiting?.completeWith(result)
  }
}

@available(*, unavailable)
extension HandshakeWitness: Sendable {}
