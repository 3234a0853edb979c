// What the tests of this folder share: events, sinks, lines that can be awaited.

internal import Foundation
internal import MartletCore
internal import RabbitServer
internal import Synchronization

@testable internal import MartletEvents

extension RabbitLimits {
  /// For a machine that is busy with other tests: what must not fail has all the time that it needs.
  static let patient = {
    var limits = RabbitLimits()
    (limits.connect, limits.answer, limits.heartbeat) = (.seconds(30), .seconds(60), .seconds(60))
    limits.tick = .milliseconds(50)
    limits.lastPause = .milliseconds(500)
    return limits
  }()

  static func answering(within duration: Duration) -> RabbitLimits {
    var limits = patient
    (limits.answer, limits.connect) = (duration, duration)
    return limits
  }
}

/// Names that no other test has.
struct RabbitNames {
  let exchange: String
  let deadLetters: String
  let queue: String

  init() {
    let mark = UUID().uuidString.prefix(8).lowercased()
    (exchange, deadLetters, queue) = ("events-\(mark)", "dead-\(mark)", "queue-\(mark)")
  }

  func settings(_ url: String) throws -> RabbitSettings {
    try RabbitSettings(url: url, exchange: exchange, deadLetterQueue: deadLetters)
  }
}

extension RabbitSink {
  static func make(
    _ settings: RabbitSettings, limits: RabbitLimits = .patient, report: @escaping @Sendable (String) -> Void = { _ in }
  ) -> RabbitSink {
    RabbitSink(settings, limits: limits, random: RandomSource(seed: 1), report: report)
  }

  /// Repeats what was not delivered, as the relay does. The events in the order of the batches; how often one failed.
  func deliverAll(_ events: [OutgoingEvent], batch size: Int = 1000) async throws -> Int {
    var failures = 0
    var start = 0
    while start < events.count {
      var pending = Array(events[start..<min(start + size, events.count)])
      while !pending.isEmpty {
        let verdicts = await deliver(pending)
        let failed = zip(pending, verdicts).filter { $1 != .delivered }.map(\.0)
        failures += failed.count
        pending = failed
        // The broker may be on its way back.
        if !failed.isEmpty { try await Task.sleep(for: .milliseconds(20)) }
      }
      start += size
    }
    return failures
  }
}

/// Of so many tasks in turn: their events 1, 2, 3 and on.
func rabbitEvents(_ count: Int, tasks: Int = 10, padding: Int = 0) -> [OutgoingEvent] {
  let types: [TaskEventType] = [.received, .ready, .started, .succeeded]
  let filling = String(repeating: "x", count: padding)
  return (0..<count).map { number in
    let (task, step) = (number % tasks, number / tasks)
    return OutgoingEvent(
      task: TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 + UInt64(task)), sequence: step + 1,
      type: types[step % types.count], at: Timestamp(milliseconds: 1_770_000_000_123 + Int64(number)),
      lane: Lane(queue: "default", type: "resize"), source: "/martlet/test",
      data: Array(#"{"queue":"default","note":"grün \#(filling)"}"#.utf8))
  }
}

func rabbitDeadLetters(_ count: Int, padding: Int = 0) -> [OutgoingEvent] {
  rabbitEvents(count, tasks: count).map { event in
    var event = event
    event.type = .dead
    let filling = String(repeating: "y", count: padding)
    event.deadLetter = Array(#"{"queue":"default","payload":{"to":"somebody","rest":"\#(filling)"}}"#.utf8)
    return event
  }
}

/// Lines that were reported.
final class RabbitLines: Sendable {
  private let lines = Mutex<[String]>([])

  func add(_ line: String) { lines.withLock { $0.append(line) } }

  var all: [String] { lines.withLock(\.self) }
}

/// Waits for something that the broker or the connection does in its own time.
func rabbitEventually(_ condition: () async throws -> Bool) async throws {
  while try await !condition() { try await Task.sleep(for: .milliseconds(20)) }
}

extension RabbitServer {
  func probe() throws -> RabbitProbe { try RabbitProbe(url()) }
}
