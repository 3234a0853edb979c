// A node's way to Redis: one connection, over which the calls of all go one behind the other without waiting for each other's answers.
// It is made when first needed. A call ends within the settings' timeout, and at once while Redis is known to be away.

package import Logging
internal import MartletCore
package import NIOCore

package final class RedisClient: Sendable {
  private let settings: RedisSettings
  private let loop: any EventLoop
  private let desk: NIOLoopBoundBox<CallDesk>
  private let box = StatusBox()

  /// - Parameters:
  ///   - group: lends one event loop, and with it the clock.
  ///   - logger: told once that Redis is away, and that it is back.
  package init(_ settings: RedisSettings, group: any EventLoopGroup, logger: Logger) {
    self.settings = settings
    loop = group.next()
    let link = Link(
      settings, purpose: "dispatch, rate limits and keys over Redis", loop: loop, logger: logger, status: box)
    desk = .makeBoxSendingValue(CallDesk(link), eventLoop: loop)
  }

  package var status: RedisStatus { box.current }

  /// All commands in one round trip; one value for each. An error reply is one of the values. Not interrupted by cancellation.
  package func send(_ commands: [RedisCommand]) async throws(RedisError) -> [RedisValue] {
    guard !commands.isEmpty else { return [] }
    let bytes = Exchange.written(commands)
    let answer: Exchange.Answer = await withCheckedContinuation { caller in
      loop.execute { [self] in
        let deadline = loop.now + TimeAmount(settings.timeout)
        desk.value.take(
          Exchange(bytes: bytes, count: commands.count, deadline: deadline) { caller.resume(returning: $0) })
      }
    }
    return try answer.get()
  }

  /// One command.
  /// - Throws: `.refused` for an error reply.
  @discardableResult
  package func call(_ command: RedisCommand) async throws(RedisError) -> RedisValue {
    try await results([command])[0]
  }

  /// All commands in one round trip.
  /// - Throws: `.refused` for the first error reply.
  @discardableResult
  package func results(_ commands: [RedisCommand]) async throws(RedisError) -> [RedisValue] {
    let replies = try await send(commands)
    for reply in replies {
      if let line = reply.error { throw RedisError(reply: line) }
    }
    return replies
  }

  /// Ends the connection; calls fail from now on.
  package func close() async {
    await withCheckedContinuation { caller in
      loop.execute { [self] in
        desk.value.close()
        caller.resume()
      }
    }
  }
}

/// Who waits for a connection, on the event loop.
private final class CallDesk {
  private let link: Link
  private var waiting: [Exchange] = []

  init(_ link: Link) {
    self.link = link
    link.onUp = { [self] wire in
      for exchange in leave() { wire.send(exchange) }
    }
    link.onDown = { [self] trouble in
      for exchange in leave() { exchange.fail(trouble) }
    }
  }

  func take(_ exchange: Exchange) {
    if let wire = link.current { return wire.send(exchange) }
    if let trouble = link.trouble { return exchange.fail(trouble) }
    waiting.append(exchange)
    link.start()
  }

  func close() {
    link.close()
  }

  private func leave() -> [Exchange] {
    defer { waiting = [] }
    return waiting
  }
}
