// Reads a topic as a member of a group, one message after the other: `martlet dead-letters consume --from kafka`. At least once: a
// message is behind us only when its handler has succeeded.

package import Logging

package struct KafkaConsumer: Sendable {
  package static let defaultGroup = "martlet-dead-letters"

  private let settings: KafkaSettings
  private let logger: Logger

  package init(_ settings: KafkaSettings, logger: Logger) {
    self.settings = settings
    self.logger = logger
  }

  /// Hands over one message at a time, from where the group stands; a new group begins with the oldest. Ends when the task is
  /// cancelled, after `limit` messages, or, with `untilEmpty`, when nothing more is there; how many were handled.
  /// - Parameters:
  ///   - topic: nil for that of dead letters.
  ///   - handle: a message whose handler throws comes again next time.
  /// - Throws: what the handler throws; `KafkaFailure` for what does not heal by itself.
  @discardableResult
  package func consume(
    group: String = defaultGroup, from topic: String? = nil, limit: Int? = nil, untilEmpty: Bool = false,
    handle: (KafkaRecord) async throws -> Void
  ) async throws -> Int {
    let reader = KafkaReader(settings, group: group, topic: topic ?? settings.topics.deadLetters, logger: logger)
    do {
      let count = try await consume(reader, limit: limit, untilEmpty: untilEmpty, handle)
      await reader.close()
      return count
    } catch {
      await reader.close()
      throw error
    }
  }

  private func consume(
    _ reader: KafkaReader, limit: Int?, untilEmpty: Bool, _ handle: (KafkaRecord) async throws -> Void
  ) async throws -> Int {
    var count = 0
    while !Task.isCancelled, limit.map({ count < $0 }) ?? true {
      switch try await reader.next(untilEmpty: untilEmpty) {
      case .record(let record):
        try await handle(record)
        try await reader.commit(record)
        count += 1
      case .nothingYet: continue
      case .empty: return count
      }
    }
    return count
  }
}
