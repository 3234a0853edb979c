// What the outbox can tell: the whole way of events from the store through the relay to Kafka, and to the event stream.

internal import Foundation
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletEvents

extension Bench {
  /// The events of tasks that came and succeeded, told from a full outbox: by the relay alone, with nobody else at work.
  func events(_ results: inout Results) async throws {
    let tasks = min(options.drainTasks, 20_000)
    var quiet = Logger(label: "bench")
    quiet.logLevel = .warning
    let kafka = try await withStore { store, _ in
      try await told(tasks, in: store, by: [KafkaSink(kafkaSettings, logger: quiet)])
    }
    results.add(.events, options.kafka.isEmpty ? "to a mock of Kafka" : "to Kafka", kafka, "events/s")
    let stream = try await withStore { store, _ in try await told(tasks, in: store, streamKept: .seconds(3600)) }
    results.add(.events, "to the event stream", stream, "events/s")
  }

  /// - Parameter sinks: one, or none and the stream.
  private func told(
    _ tasks: Int, in store: any TaskStore, by sinks: [any EventSink] = [], streamKept: Duration? = nil
  ) async throws -> Double {
    let name = sinks.first?.name ?? StreamPage.sink
    try await store.attend(to: [name])
    try await fill(store, tasks)
    try await claimAndFinishAll(store)
    let start = ContinuousClock.now
    try await withEngine(store, handlers: [], sinks: sinks, streamKept: streamKept) { _ in
      // Counting costs the store something: not too often.
      while try await store.sinks().contains(where: { $0.name == name && $0.waiting > 0 }) {
        try await Task.sleep(for: .milliseconds(50))
      }
    }
    // received, ready, started, succeeded
    return Double(4 * tasks) / elapsed(since: start)
  }

  /// Without brokers those that librdkafka plays itself: real connections, nothing on disk.
  private var kafkaSettings: KafkaSettings {
    options.kafka.isEmpty
      ? KafkaSettings(brokers: ["127.0.0.1:1"], properties: ["test.mock.num.brokers": "1"])
      : KafkaSettings(brokers: options.kafka)
  }
}
