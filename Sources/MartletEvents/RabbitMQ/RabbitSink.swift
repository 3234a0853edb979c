// Events to RabbitMQ: each to a topic exchange under its type's name, dead letters to a queue besides. The relay calls it.
//
// Delivered means confirmed by the broker, which says so once all queues that take the message have it on disk (quorum queues: most
// of their members). An event that no queue is bound for is delivered, too: an exchange is a notice-board, who wants what is its
// readers' business and changes without us, and with `mandatory` one type that nobody reads would hold up the outbox for ever. The
// dead-letter queue is different: we promise that dead letters wait there, so a message that comes back from it is a failure.

package import MartletCore

package final class RabbitSink: EventSink {
  package let name = "rabbitmq"
  private let settings: RabbitSettings
  private let connection: RabbitConnection

  /// - Parameters:
  ///   - timeout: for all of a batch to be confirmed.
  ///   - random: for the pauses between tries to connect.
  ///   - report: told in one line that the broker is lost, and that it is back.
  package convenience init(
    _ settings: RabbitSettings, timeout: Duration = .seconds(10), random: RandomSource = .system,
    report: @escaping @Sendable (String) -> Void
  ) {
    var limits = RabbitLimits()
    limits.answer = timeout
    limits.connect = min(limits.connect, timeout)
    self.init(settings, limits: limits, random: random, report: report)
  }

  init(
    _ settings: RabbitSettings, limits: RabbitLimits, random: RandomSource,
    clock: @escaping @Sendable () -> ContinuousClock.Instant = { .now }, report: @escaping @Sendable (String) -> Void
  ) {
    self.settings = settings
    connection = RabbitConnection(settings, limits: limits, random: random, clock: clock, report: report) {
      link throws(RabbitFailure) in
      try link.declareExchange()
      try link.declareDeadLetterQueue()
      try link.selectConfirms()
    }
  }

  package var health: RabbitHealth { connection.health }

  package func deliver(_ events: [OutgoingEvent]) async -> [SinkVerdict] {
    guard !events.isEmpty else { return [] }
    let messages = events.map(messages(of:))
    let reply = await connection.publish(messages.flatMap(\.self))
    var answers = reply.answers[...]
    return messages.map { messages in
      defer { answers = answers.dropFirst(messages.count) }
      return zip(messages, answers).lazy.compactMap { self.trouble($0, $1, reply.reason) }.first
        .map(SinkVerdict.failed) ?? .delivered
    }
  }

  package func close() async {
    await connection.close()
  }

  private func trouble(_ message: RabbitMessage, _ answer: RabbitConfirms.Answer, _ reason: String) -> String? {
    switch answer {
    case .confirmed: nil
    case .denied:
      "\(settings.place), \(message.target): refused (nack); a queue is full, or has lost its disk or its members"
    case .returned(let why): "\(settings.place), \(message.target): came back (\(why)); the queue is gone"
    case .unanswered: reason
    }
  }
}

// MARK: - Messages

extension RabbitSink {
  private func messages(of event: OutgoingEvent) -> [RabbitMessage] {
    let headers = Self.headers(event)
    func message(exchange: String, routingKey: String, isMandatory: Bool, data: [UInt8]) -> RabbitMessage {
      RabbitMessage(
        exchange: exchange, routingKey: routingKey, isMandatory: isMandatory, id: event.id, type: event.typeName,
        at: event.at, headers: headers, body: event.json(data: data))
    }
    var messages = [
      message(exchange: settings.exchange, routingKey: event.typeName, isMandatory: false, data: event.data)
    ]
    if let deadLetter = event.deadLetter {
      messages.append(
        message(exchange: "", routingKey: settings.deadLetterQueue, isMandatory: true, data: deadLetter))
    }
    return messages
  }

  /// The attributes once more, for bindings and readers that look at headers alone
  /// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md, 3.1.3). What the content type
  /// of the data is stands in the body: the message's own is the event's.
  private static func headers(_ event: OutgoingEvent) -> [(name: String, value: String)] {
    event.attributes.filter { $0.name != "datacontenttype" }.map { ("cloudEvents:\($0.name)", $0.value) }
      + [("task", event.task.description)]
  }
}
