// Events, messages and settings of the tests of Kafka.

import KafkaBroker
import Logging
import MartletCore
import MartletEvents
import Synchronization

enum KafkaFixtures {
  static let quiet = Logger(label: "kafka") { _ in SwiftLogNoOpLogHandler() }

  static func settings(
    _ brokers: [String], timeout: Duration = .seconds(10), properties: [String: String] = [:]
  ) -> KafkaSettings {
    KafkaSettings(brokers: brokers, timeout: timeout, properties: properties)
  }

  static func sink(
    _ mock: MockKafka, timeout: Duration = .seconds(10), properties: [String: String] = [:]
  ) -> KafkaSink {
    KafkaSink(settings(mock.brokers, timeout: timeout, properties: properties), logger: quiet)
  }

  static func task(_ number: Int) -> TaskID {
    TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | UInt64(number))
  }

  static func event(
    task number: Int, sequence: Int = 1, type: TaskEventType = .succeeded, data: String? = nil,
    deadLetter: String? = nil
  ) -> OutgoingEvent {
    OutgoingEvent(
      task: task(number), sequence: sequence, type: type, at: Timestamp(milliseconds: 1_700_000_000_123),
      lane: Lane(queue: "default", type: "resize"), source: "/martlet/test",
      data: Array((data ?? #"{"queue":"default","n":\#(sequence)}"#).utf8),
      deadLetter: deadLetter.map { Array($0.utf8) })
  }

  /// `perTask` events of each of `tasks` tasks, mixed.
  static func history(tasks: Int, perTask: Int) -> [OutgoingEvent] {
    (1...perTask).flatMap { sequence in (0..<tasks).map { event(task: $0, sequence: sequence) } }
  }

  static func batches(_ events: [OutgoingEvent], of count: Int) -> [[OutgoingEvent]] {
    stride(from: 0, to: events.count, by: count).map { Array(events[$0..<min($0 + count, events.count)]) }
  }
}

extension SinkVerdict {
  var line: String? {
    switch self {
    case .delivered: nil
    case .failed(let line), .refused(let line): line
    }
  }

  var isRefused: Bool {
    if case .refused = self { true } else { false }
  }

  var isFailed: Bool {
    if case .failed = self { true } else { false }
  }
}

/// What was handed to a handler, which may run anywhere.
final class Seen<Element: Sendable>: Sendable {
  private let list = Mutex<[Element]>([])

  var all: [Element] { list.withLock(\.self) }

  @discardableResult
  func add(_ element: Element) -> Int {
    list.withLock { list in
      list.append(element)
      return list.count
    }
  }
}
