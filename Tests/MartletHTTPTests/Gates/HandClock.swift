// A clock that a test moves by hand, and a log that it reads.

internal import Logging
internal import MartletEngine
internal import Synchronization

/// Stands still until it is moved; tells who sleeps until when.
final class HandClock: EngineClock {
  private let state = Mutex(State())
  private let naps = AsyncStream<MonotonicTime>.makeStream()

  private struct State {
    var now = MonotonicTime(nanoseconds: 1_000_000_000)
    var sleepers: [(deadline: MonotonicTime, waker: AsyncStream<Void>.Continuation)] = []
  }

  var now: MonotonicTime { state.withLock(\.now) }

  func sleep(until deadline: MonotonicTime) async throws {
    let (wakes, waker) = AsyncStream.makeStream(of: Void.self)
    state.withLock { state in
      if state.now >= deadline { waker.finish() } else { state.sleepers.append((deadline, waker)) }
    }
    naps.continuation.yield(deadline)
    for await _ in wakes {}
    try Task.checkCancellation()
  }

  func advance(by duration: Duration) {
    state.withLock { state in
      state.now = state.now + duration
      for sleeper in state.sleepers where sleeper.deadline <= state.now { sleeper.waker.finish() }
      state.sleepers.removeAll { $0.deadline <= state.now }
    }
  }

  /// Returns once somebody has gone to sleep for so long from now. For one caller at a time.
  func nap(of duration: Duration) async {
    let wanted = now + duration
    for await deadline in naps.stream where deadline == wanted { return }
  }
}

/// Everything from info on, line by line.
final class LogProbe: LogHandler, @unchecked Sendable {
  private let seen = Mutex<[String]>([])

  var logLevel: Logger.Level {
    get { .info }
    set {}
  }
  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  var lines: [String] { seen.withLock(\.self) }
  var logger: Logger { Logger(label: "test") { _ in self } }

  func log(event: LogEvent) {
    seen.withLock { $0.append("\(event.level): \(event.message)") }
  }
}
