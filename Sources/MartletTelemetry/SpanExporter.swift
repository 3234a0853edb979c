// Sends ended spans, a batch at a time, for as long as the node runs. A receiver that is away or overloaded is asked again after growing
// pauses, or when it says; meanwhile the queue fills and then leaves spans out. Nobody who works ever waits for it.

package import Logging
package import MartletCore
package import MartletEngine
internal import Synchronization

/// What a receiver made of a message.
package enum SpanVerdict: Sendable, Hashable {
  /// It has them, but for so many.
  case taken(rejected: Int = 0)
  /// It may take them later, if it said so after this time. One line, never a secret.
  case failed(String, after: Duration? = nil)
  /// It will never take this.
  case refused(String)
}

/// How messages get there.
package protocol SpanPost: Sendable {
  /// Never throws; ends soon when it is cancelled.
  func send(_ message: [UInt8]) async -> SpanVerdict
}

package final class SpanExporter: Sendable {
  private let queue: SpanQueue
  private let origin: SpanOrigin
  private let post: any SpanPost
  private let clock: any EngineClock
  private let random: RandomSource
  private let logger: Logger
  private let onExported: @Sendable (Int) -> Void
  private let state = Mutex(State())

  private struct State {
    /// It ends by then.
    var endsBy: MonotonicTime?
    /// In a row.
    var failures = 0
    var isTroubled = false
  }

  /// How long spans wait for others to go with.
  private static let gathering = Duration.seconds(1)
  /// For an answer.
  private static let patience = Duration.seconds(10)
  /// A batch that could not be sent for so long is given up.
  private static let longest = Duration.seconds(60)
  /// No receiver may keep us waiting for longer.
  private static let longestPause = Duration.seconds(60)

  /// - Parameters:
  ///   - random: for the pauses.
  ///   - onExported: told how many spans the receiver has taken.
  package init(
    _ queue: SpanQueue, from origin: SpanOrigin, by post: any SpanPost, clock: any EngineClock, random: RandomSource,
    logger: Logger, onExported: @escaping @Sendable (Int) -> Void
  ) {
    self.queue = queue
    self.origin = origin
    self.post = post
    self.clock = clock
    self.random = random
    self.logger = logger
    self.onExported = onExported
  }

  /// Until `finish`, and until then all is sent or its time is over; or until cancelled.
  package func run() async {
    while !Task.isCancelled, !isOver {
      if queue.isEmpty {
        if endsBy != nil { break }
        await queue.alarm.wait()
        continue
      }
      await rest(until: clock.now + Self.gathering) { self.queue.hasBatch || self.endsBy != nil }
      await send(queue.take())
    }
    queue.close()
  }

  /// What there is is sent; `run` returns within this time.
  package func finish(within duration: Duration) {
    state.withLock { $0.endsBy = clock.now + duration }
    queue.alarm.ring()
  }

  private var endsBy: MonotonicTime? { state.withLock(\.endsBy) }
  private var isOver: Bool { endsBy.map { clock.now >= $0 } ?? false }

  private func send(_ spans: [[UInt8]]) async {
    guard !spans.isEmpty else { return }
    let message = origin.request(spans)
    let begin = clock.now
    while true {
      let asked: Duration?
      switch await answer(to: message) {
      case .taken(let rejected):
        let lost = min(max(0, rejected), spans.count)
        if lost > 0 { trouble("the receiver rejected \(lost) of \(spans.count)") } else { worksAgain() }
        queue.dropped(lost)
        onExported(spans.count - lost)
        return
      case .refused(let line):
        trouble(line)
        return queue.dropped(spans.count)
      case .failed(let line, let after):
        trouble(line)
        asked = after
      }
      let isLast = endsBy != nil || clock.now - begin >= Self.longest || Task.isCancelled
      if !isLast {
        let end = clock.now + pause(asked)
        await rest(until: end) { self.endsBy != nil }
      } else if let endsBy, clock.now < endsBy, !Task.isCancelled {
        // Once more, or a few times: there is nobody to come after us.
        await rest(until: min(endsBy, clock.now + .milliseconds(500))) { false }
        if isOver { return queue.dropped(spans.count) }
      } else {
        return queue.dropped(spans.count)
      }
    }
  }

  /// 1 s, doubling up to 30 s, each shortened at random by up to half; or what the receiver asks for.
  private func pause(_ asked: Duration?) -> Duration {
    let failures = state.withLock { state in
      defer { state.failures += 1 }
      return state.failures
    }
    if let asked { return min(max(asked, .zero), Self.longestPause) }
    let longest = min(30_000, 1000 << min(failures, 5))
    return .milliseconds(longest - random.below(longest / 2))
  }

  private func answer(to message: [UInt8]) async -> SpanVerdict {
    let deadline = clock.now + Self.patience
    return await withTaskGroup(of: SpanVerdict?.self) { group in
      group.addTask { await self.post.send(message) }
      group.addTask {
        // The end may be set while the message is under way.
        while !Task.isCancelled, self.clock.now < deadline, !self.isOver {
          await self.queue.alarm.wait(until: min(deadline, self.endsBy ?? deadline), on: self.clock)
        }
        return nil
      }
      defer { group.cancelAll() }
      return await group.next().flatMap(\.self) ?? .failed("no answer in time")
    }
  }

  /// Returns at `deadline`, when the condition holds, or when cancelled.
  private func rest(until deadline: MonotonicTime, or condition: () -> Bool) async {
    while clock.now < deadline, !condition(), !Task.isCancelled {
      await queue.alarm.wait(until: deadline, on: clock)
    }
  }

  // MARK: What is told of it

  private func trouble(_ line: String) {
    let isNews = state.withLock { state in
      defer { state.isTroubled = true }
      return !state.isTroubled
    }
    if isNews { logger.warning("spans cannot be sent: \(line)", metadata: ["component": "tracing"]) }
  }

  private func worksAgain() {
    let isNews = state.withLock { state in
      defer {
        state.isTroubled = false
        state.failures = 0
      }
      return state.isTroubled
    }
    if isNews { logger.info("spans are sent again", metadata: ["component": "tracing"]) }
  }
}
