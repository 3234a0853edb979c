// Reads the dead-letter queue, one message after the other, for `martlet dead-letters consume --from rabbitmq`. At least once: a
// message is taken off the queue when its handler has succeeded and the broker has heard of it.

package import MartletCore

package struct RabbitConsumer: Sendable {
  private let settings: RabbitSettings
  private let prefetch: Int
  private let limits: RabbitLimits
  private let random: RandomSource
  private let report: @Sendable (String) -> Void

  /// - Parameters:
  ///   - prefetch: so many messages the broker may hand out ahead.
  ///   - report: told in one line that the broker is lost, and that it is back.
  package init(
    _ settings: RabbitSettings, prefetch: Int = 16, random: RandomSource = .system,
    report: @escaping @Sendable (String) -> Void
  ) {
    self.init(settings, prefetch: prefetch, limits: RabbitLimits(), random: random, report: report)
  }

  init(
    _ settings: RabbitSettings, prefetch: Int, limits: RabbitLimits, random: RandomSource,
    report: @escaping @Sendable (String) -> Void
  ) {
    (self.settings, self.prefetch, self.limits, self.random, self.report) = (settings, prefetch, limits, random, report)
  }

  /// Hands each message to `handle`, until so many were handled, the queue is empty or the task is cancelled. With `untilEmpty` a
  /// broker that is lost ends it with an error, else it waits for the broker to come back.
  /// - Returns: how many were handled.
  /// - Throws: what `handle` throws, after the message went back into the queue; `RabbitFailure` where the broker cannot be used.
  @discardableResult
  package func consume(
    limit: Int? = nil, untilEmpty: Bool = false, _ handle: (RabbitDelivery) async throws -> Void
  ) async throws -> Int {
    let prefetch = min(prefetch, limit ?? prefetch)
    let connection = RabbitConnection(settings, limits: limits, random: random, clock: { .now }, report: report) {
      link throws(RabbitFailure) in
      if !untilEmpty { try link.consume(prefetch: prefetch) }
    }
    do {
      try await connection.open()
      let handled = try await run(connection, limit, untilEmpty, handle)
      await connection.close()
      return handled
    } catch {
      await connection.close()
      throw error
    }
  }

  private func run(
    _ connection: RabbitConnection, _ limit: Int?, _ untilEmpty: Bool, _ handle: (RabbitDelivery) async throws -> Void
  ) async throws -> Int {
    var handled = 0
    while !Task.isCancelled, limit.map({ handled < $0 }) ?? true {
      guard let delivery = try await untilEmpty ? connection.get() : connection.receive() else {
        if untilEmpty { break }
        continue
      }
      do {
        try await handle(delivery)
      } catch {
        await giveBack(delivery, connection)
        if error is CancellationError, Task.isCancelled { break }
        throw error
      }
      if try await acknowledge(delivery, connection, mustReach: untilEmpty) { handled += 1 }
    }
    return handled
  }

  /// Where the connection is lost it goes back by that: to be said, but no reason to hide what the handler had to say.
  private func giveBack(_ delivery: RabbitDelivery, _ connection: RabbitConnection) async {
    do throws(RabbitFailure) {
      try await connection.giveBack(delivery)
    } catch {
      report(error.description)
    }
  }

  /// - Returns: whether it was sent; if not, the message comes again.
  private func acknowledge(_ delivery: RabbitDelivery, _ connection: RabbitConnection, mustReach: Bool) async throws
    -> Bool
  {
    do throws(RabbitFailure) {
      try await connection.acknowledge(delivery)
      return true
    } catch {
      guard !mustReach else { throw error }
      report(error.description)
      return false
    }
  }
}
