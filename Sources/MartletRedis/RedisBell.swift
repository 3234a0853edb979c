// Hints between nodes by PUBLISH and SUBSCRIBE. It hears on a connection of its own and speaks over the client's. A hint may be lost:
// after each gap in hearing whoever listens is told to look for himself.

package import Logging
internal import MartletCore
package import NIOCore

package final class RedisBell: Sendable {
  /// The most bytes of one hint.
  package static let longest = 8 << 10

  private let client: RedisClient
  private let channel: String
  /// By which a node knows its own hints.
  private let sender: String
  private let loop: any EventLoop
  private let ear: NIOLoopBoundBox<Ear>
  private let box = StatusBox()

  /// - Parameters:
  ///   - settings: as the client's; the certificate, the password and the timeouts are the same.
  ///   - client: what is said goes over it.
  ///   - quiet: after so long without a word Redis is asked whether it is still there.
  ///   - hear: each hint of another node; called on an event loop, which must not be held up.
  ///   - onGap: hints may have been missed: listening began again, or later than it should have. Called as `hear`.
  package init(
    _ settings: RedisSettings, client: RedisClient, keys: RedisKeys, group: any EventLoopGroup, logger: Logger,
    quiet: Duration = .seconds(5), hear: @escaping @Sendable (String) -> Void, onGap: @escaping @Sendable () -> Void
  ) {
    self.client = client
    channel = keys.bell
    let token = String(settings.random.next(), radix: 16)
    sender = String(repeating: "0", count: 16 - token.utf8.count) + token
    loop = group.next()
    let own = sender
    let link = Link(
      settings, purpose: "hints of other nodes over Redis",
      greeting: [Greeting(RedisCommand("SUBSCRIBE", channel))], loop: loop, logger: logger, status: box,
      onPush: { message in
        if let hint = Self.hint(in: message, not: own) { hear(hint) }
      })
    ear = .makeBoxSendingValue(
      Ear(link, loop: loop, quiet: quiet, timeout: settings.timeout, onGap: onGap), eventLoop: loop)
  }

  package var status: RedisStatus { box.current }

  /// Begins to listen, and does not wait for it.
  package func start() {
    loop.execute { [self] in ear.value.start() }
  }

  /// Nothing is heard after it.
  package func close() async {
    await withCheckedContinuation { caller in
      loop.execute { [self] in
        ear.value.close()
        caller.resume()
      }
    }
  }

  /// Tells all other nodes that listen at this moment.
  /// - Parameter hint: at most `longest` bytes; longer ones are refused.
  package func ring(_ hint: String) async throws(RedisError) {
    guard hint.utf8.count <= Self.longest else { throw .refused("a hint is longer than \(Self.longest) bytes") }
    try await client.call(RedisCommand("PUBLISH", channel, sender + hint))
  }

  /// Nil for our own, and for what no node can have said.
  private static func hint(in message: RedisValue, not own: String) -> String? {
    guard let bytes = message.array?.last?.bytes, (16...16 + longest).contains(bytes.count),
      !bytes.starts(with: own.utf8)
    else { return nil }
    return String(validating: bytes[16...], as: UTF8.self)
  }
}

/// The listening end, on its event loop.
private final class Ear {
  private let link: Link
  private let loop: any EventLoop
  private let quiet: Duration
  private let timeout: Duration
  private let onGap: @Sendable () -> Void
  private var hasGap = false
  private var nextPing: Scheduled<Void>?

  init(_ link: Link, loop: any EventLoop, quiet: Duration, timeout: Duration, onGap: @escaping @Sendable () -> Void) {
    self.link = link
    self.loop = loop
    self.quiet = quiet
    self.timeout = timeout
    self.onGap = onGap
  }

  func start() {
    link.onUp = { [self] wire in
      if hasGap { onGap() }
      // From now on every new connection comes after a gap.
      hasGap = true
      pingLater(wire)
    }
    link.onDown = { [self] _ in hasGap = true }
    link.start()
  }

  func close() {
    nextPing?.cancel()
    link.close()
  }

  /// A connection on which nothing comes looks like one whose other end is gone.
  private func pingLater(_ wire: Wire) {
    nextPing?.cancel()
    nextPing = loop.assumeIsolated().scheduleTask(in: TimeAmount(quiet)) { [self] in
      let ping = Exchange([RedisCommand("PING")], deadline: loop.now + TimeAmount(timeout)) { [self] answer in
        if case .success = answer { pingLater(wire) }
      }
      wire.send(ping)
    }
  }
}
