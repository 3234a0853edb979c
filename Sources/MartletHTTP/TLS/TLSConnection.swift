// TLS beneath a connection: the handshake and its deadline, and nothing of TLS above them. Put in by `HTTPChannel`, one for
// each connection, on its event loop.

internal import NIOCore
internal import NIOSSL
internal import NIOTLS

extension ChannelPipeline.SynchronousOperations {
  /// To be called before any other handler is added.
  func addTLS(_ context: NIOSSLContext, handshakeTime: TimeAmount) throws {
    try addHandler(NIOSSLServerHandler(context: context))
    try addHandler(HandshakeGuard(time: handshakeTime))
  }
}

/// Closes a connection whose handshake takes too long, and keeps TLS's own errors from those who know only HTTP: a
/// connection that breaks is the same to them with TLS and without.
private final class HandshakeGuard: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let time: TimeAmount
  private var timer: Scheduled<Void>?

  init(time: TimeAmount) {
    self.time = time
  }

  func handlerAdded(context: ChannelHandlerContext) {
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) {
      // The goodbye of TLS would wait for the same silent client.
      context.channel.pipeline.syncOperations.closeAtOnce()
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted = event as? TLSUserEvent { stopTimer() }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard error is NIOSSLError || error is BoringSSLError else { return context.fireErrorCaught(error) }
    switch error {
    // No client need say goodbye: the length of a request is told in it.
    case NIOSSLError.uncleanShutdown: break
    default: context.channel.pipeline.syncOperations.closeAtOnce()
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    stopTimer()
  }

  private func stopTimer() {
    timer?.cancel()
    timer = nil
  }
}

@available(*, unavailable)
extension HandshakeGuard: Sendable {}

extension ChannelPipeline.SynchronousOperations {
  /// Closes the socket from beneath TLS.
  fileprivate func closeAtOnce() {
    guard let context = try? context(handlerType: NIOSSLServerHandler.self) else { return }
    context.close(promise: nil)
  }
}
