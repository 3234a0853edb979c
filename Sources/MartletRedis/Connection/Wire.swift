// One connection to Redis: commands go out as they come, answers come back in the same order. Whoever does not get his in time ends
// it for all: answers carry no number, and none can be skipped. Made by `Link`; it lives on its event loop.

internal import NIOCore
internal import NIOSSL

final class Wire: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let reader: ReplyReader
  private let settings: RedisSettings
  /// Told of messages of channels, which answer nobody.
  private let onPush: ((RedisValue) -> Void)?
  /// Told once that it is over and whether that is because Redis did not answer in time.
  var onEnd: ((RedisError, _ isTimeout: Bool) -> Void)?

  private var context: ChannelHandlerContext?
  private var pending = CircularBuffer<Exchange>()
  private var timer: Scheduled<Void>?
  private var mustFlush = false
  /// Why it is over.
  private var end: RedisError?

  init(_ settings: RedisSettings, limits: ReplyReader.Limits = .init(), onPush: ((RedisValue) -> Void)? = nil) {
    self.settings = settings
    self.onPush = onPush
    reader = ReplyReader(limits)
  }

  func send(_ exchange: Exchange) {
    guard end == nil, let context else {
      return exchange.fail(end ?? settings.told(.unavailable("the connection is not open")))
    }
    pending.append(exchange)
    context.write(wrapOutboundOut(exchange.bytes), promise: nil)
    flushSoon(context)
    watch(context)
  }

  func close(_ cause: RedisError) {
    finish(cause, isTimeout: false)
  }

  // MARK: What the channel says

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    finish(.unavailable("the connection was closed"), isTimeout: false)
    self.context = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish(.unavailable("it closed the connection"), isTimeout: false)
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard end == nil else { return }
    do throws(ReplyReader.Broken) {
      try reader.feed(unwrapInboundIn(data))
      while end == nil, let reply = try reader.next() { take(reply) }
    } catch {
      finish(.unavailable(error.reason), isTimeout: false)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Redis closes TLS connections without a word; that the connection is over says the channel itself.
    if case NIOSSLError.uncleanShutdown = error { return }
    finish(RedisError(connecting: error), isTimeout: false)
  }

  // MARK: Answers

  private func take(_ reply: RedisValue) {
    if let onPush, reply.isMessage { return onPush(reply) }
    guard !pending.isEmpty else {
      // Where too many are connected, Redis says so without being asked.
      let reason = reply.error.map(RedisError.init(reply:)) ?? .unavailable("it answered what nobody had asked")
      return finish(reason, isTimeout: false)
    }
    let first = pending.startIndex
    pending[first].add(reply)
    if pending[first].missing == 0 { pending.removeFirst().succeed() }
  }

  private func flushSoon(_ context: ChannelHandlerContext) {
    guard !mustFlush else { return }
    mustFlush = true
    // What others have to send at this moment goes with it.
    context.eventLoop.assumeIsolated().execute { [self] in
      mustFlush = false
      self.context?.flush()
    }
  }

  /// The oldest is the first to lose its patience.
  private func watch(_ context: ChannelHandlerContext) {
    guard timer == nil, let oldest = pending.first else { return }
    timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: oldest.deadline) { [self] in
      timer = nil
      guard let oldest = pending.first else { return }
      if oldest.deadline <= context.eventLoop.now {
        finish(.unavailable("no answer within \(settings.timeout.formatted)"), isTimeout: true)
      } else {
        watch(context)
      }
    }
  }

  private func finish(_ cause: RedisError, isTimeout: Bool) {
    guard end == nil else { return }
    let reason = settings.told(cause)
    end = reason
    timer?.cancel()
    timer = nil
    context?.close(promise: nil)
    let (left, told) = (pending, onEnd)
    pending.removeAll()
    onEnd = nil
    told?(reason, isTimeout)
    for exchange in left { exchange.fail(reason) }
  }
}

extension RedisValue {
  /// `message`, the channel, the text.
  fileprivate var isMessage: Bool {
    array.map { $0.count == 3 && $0[0] == .text(Array("message".utf8)) } ?? false
  }
}
