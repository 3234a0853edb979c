// The front of the consumer's thread: asked for the next message, for a commit, for the end, one question at a time.

internal import Logging

final class KafkaReader: Sendable {
  enum Answer: Sendable {
    case record(KafkaRecord)
    /// Ask again.
    case nothingYet
    /// The end of every partition that is ours was reached.
    case empty
  }
  typealias Reply<Value> = @Sendable (Result<Value, KafkaFailure>) -> Void

  private let mailbox = KafkaMailbox<KafkaReaderLoop.Letter>()

  init(_ settings: KafkaSettings, group: String, topic: String, logger: Logger) {
    let mailbox = mailbox
    KafkaMailbox<KafkaReaderLoop.Letter>.startThread("martlet-kafka-in") {
      KafkaReaderLoop(settings, group: group, topic: topic, mailbox: mailbox, logger: logger).run()
    }
  }

  deinit {
    _ = mailbox.post(.close { _ in })
  }

  /// Waits for a quarter of a second.
  func next(untilEmpty: Bool) async throws -> Answer {
    try await ask { .next(untilEmpty: untilEmpty, $0) }
  }

  func commit(_ record: KafkaRecord) async throws {
    try await ask { .commit(record, $0) }
  }

  /// Leaves the group.
  func close() async {
    _ = await withCheckedContinuation { (done: CheckedContinuation<Result<Void, KafkaFailure>, Never>) in
      let isTaken = mailbox.post(.close { done.resume(returning: $0) })
      if !isTaken { done.resume(returning: .success(())) }
    }
  }

  private func ask<Value: Sendable>(_ letter: (@escaping Reply<Value>) -> KafkaReaderLoop.Letter) async throws -> Value
  {
    try await withCheckedContinuation { answer in
      let isTaken = mailbox.post(letter { answer.resume(returning: $0) })
      if !isTaken { answer.resume(returning: .failure(KafkaFailure("the consumer is closed"))) }
    }.get()
  }
}
