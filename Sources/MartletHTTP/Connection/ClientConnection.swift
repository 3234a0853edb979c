// The connection behind a request, for the few routes that wait: work that was found for a client that has gone would be nobody's.

internal import NIOCore
internal import NIOHTTPTypes

struct ClientConnection: Sendable {
  private let channel: any Channel

  init(_ channel: any Channel) {
    self.channel = channel
  }

  /// The address of the other side; empty where it has none.
  var clientAddress: String { channel.remoteAddress?.ipAddress ?? "" }

  /// Whom failed attempts to get in are counted against.
  var peer: ClientAddress? { ClientAddress(channel.remoteAddress) }

  /// Runs `body`, cancelled as soon as the client closes its side.
  func cancelWhenClientLeaves<Value: Sendable>(_ body: @escaping @Sendable () async -> Value) async -> Value {
    let (waiting, gone) = AsyncStream.makeStream(of: Never.self)
    watch { gone.finish() }
    defer { watch(nil) }
    return await withTaskGroup(of: Value?.self) { group in
      group.addTask { await body() }
      group.addTask {
        for await _ in waiting {}
        return nil
      }
      while let result = await group.next() {
        group.cancelAll()
        if let value = result { return value }
      }
      preconditionFailure("the body always gives a value")
    }
  }

  private func watch(_ onGone: (@Sendable () -> Void)?) {
    channel.eventLoop.execute { [channel] in
      guard let presence = try? channel.pipeline.syncOperations.handler(type: ClientPresence.self) else {
        onGone?()  // the pipeline is being taken down
        return
      }
      presence.onGone = onGone
    }
  }
}

/// Sees the client close its side. One for each connection, on its event loop; put in by `HTTPChannel`.
final class ClientPresence: ChannelInboundHandler {
  typealias InboundIn = HTTPRequestPart

  private var isGone = false
  /// Called once it has happened, at once if it had before.
  var onGone: (@Sendable () -> Void)? {
    didSet { if isGone { onGone?() } }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event as? ChannelEvent == .inputClosed { gone() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    gone()
    context.fireChannelInactive()
  }

  private func gone() {
    isGone = true
    onGone?()
  }
}

@available(*, unavailable)
extension ClientPresence: Sendable {}
