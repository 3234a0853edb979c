// A sink of the simulation: takes its time, fails, forgets to answer for what it has, and refuses what it was told to refuse. What it
// was given it writes down.

package import MartletCore
package import MartletEngine
internal import Synchronization

/// What all nodes' sinks of one name have been given.
package final class SinkLedger: Sendable {
  package struct Contents: Sendable {
    /// In the order in which they came.
    package var events: [OutgoingEvent] = []
    package var batches = 0
    package var closed = 0
  }

  private let contents = Mutex(Contents())

  package init() {}

  package var all: Contents { contents.withLock(\.self) }

  /// The events of a task, each as it first came.
  package func firsts(of task: TaskID) -> [OutgoingEvent] {
    var seen: Set<Int> = []
    return all.events.filter { $0.task == task && seen.insert($0.sequence).inserted }
  }

  func write(_ change: (inout Contents) -> Void) {
    contents.withLock { change(&$0) }
  }
}

/// How a sink takes a batch.
package enum SinkMood: Sendable {
  case fine
  /// Takes nothing and says so.
  case down
  /// Each event fails with this probability, after it was taken or before.
  case flaky(Double)
  /// Refuses events for which this says why.
  case picky(@Sendable (OutgoingEvent) -> String?)
  /// Gives no answer as long as it is so.
  case silent
}

package final class SimulatedSink: EventSink {
  package let name: String
  private let ledger: SinkLedger
  private let clock: any EngineClock
  private let random: RandomSource
  private let mood: @Sendable () -> SinkMood
  /// A process that has crashed tells nobody anything.
  private let isDead: @Sendable () -> Bool

  package init(
    _ name: String, ledger: SinkLedger, clock: any EngineClock, random: RandomSource,
    mood: @escaping @Sendable () -> SinkMood = { .fine }, isDead: @escaping @Sendable () -> Bool = { false }
  ) {
    self.name = name
    self.ledger = ledger
    self.clock = clock
    self.random = random
    self.mood = mood
    self.isDead = isDead
  }

  package func deliver(_ events: [OutgoingEvent]) async -> [SinkVerdict] {
    await pause(.milliseconds(1 + random.below(20)))
    while case .silent = mood(), !Task.isCancelled { await pause(.milliseconds(100)) }
    guard !isDead(), !Task.isCancelled else { return events.map { _ in .failed("not reached") } }
    ledger.write { $0.batches += 1 }
    let verdicts = events.map { take($0) }
    await pause(.milliseconds(random.below(20)))
    return verdicts
  }

  private func take(_ event: OutgoingEvent) -> SinkVerdict {
    switch mood() {
    case .fine, .silent: break
    case .down: return .failed("\(name) is down")
    case .flaky(let probability):
      guard random.fraction() < probability else { break }
      if random.below(2) == 0 { ledger.write { $0.events.append(event) } }
      return .failed("\(name) is flaky")
    case .picky(let complaint):
      if let line = complaint(event) { return .refused(line) }
    }
    ledger.write { $0.events.append(event) }
    return .delivered
  }

  package func close() async {
    ledger.write { $0.closed += 1 }
  }

  private func pause(_ duration: Duration) async {
    do { try await clock.sleep(for: duration) } catch {}  // cancelled: it goes on at once
  }
}
