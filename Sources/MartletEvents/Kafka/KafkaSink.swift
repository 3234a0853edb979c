// Kafka as a place for events: each as a CloudEvent (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md,
// structured mode) to the topic of events, dead letters to their own topic too. The relay calls it.

package import Logging
package import MartletCore

package struct KafkaSink: EventSink {
  package let name = "kafka"
  private let topics: KafkaSettings.Topics
  private let producer: KafkaProducer

  package init(_ settings: KafkaSettings, logger: Logger) {
    topics = settings.topics
    producer = KafkaProducer(settings, logger: logger)
  }

  /// An event is delivered once all that it has to become is.
  package func deliver(_ events: [OutgoingEvent]) async -> [SinkVerdict] {
    var messages = events.map { message($0, to: topics.events, data: $0.data) }
    let letters = events.indices.filter { events[$0].type == .dead }
    for index in letters {
      messages.append(
        message(events[index], to: topics.deadLetters, data: events[index].deadLetter ?? events[index].data))
    }
    let sent = await producer.send(messages)
    var verdicts = Array(sent.prefix(events.count))
    var letterVerdicts = Array(sent.dropFirst(events.count))
    await sendSmaller(letters.map { events[$0] }, &letterVerdicts)
    for (index, verdict) in zip(letters, letterVerdicts) { verdicts[index] = verdicts[index].and(verdict) }
    return verdicts
  }

  package func close() async {
    await producer.close()
  }

  package func status() async -> KafkaStatus {
    await producer.status()
  }

  /// A dead letter that is too large with its payload is better than none without it.
  private func sendSmaller(_ events: [OutgoingEvent], _ verdicts: inout [SinkVerdict]) async {
    let refused = events.indices.filter { index in
      if case .refused = verdicts[index], events[index].deadLetter != nil { true } else { false }
    }
    guard !refused.isEmpty else { return }
    let again = await producer.send(
      refused.map { message(events[$0], to: topics.deadLetters, data: events[$0].data) })
    for (index, verdict) in zip(refused, again) { verdicts[index] = verdict }
  }

  private func message(_ event: OutgoingEvent, to topic: String, data: [UInt8]) -> KafkaMessage {
    // Those of binary mode besides, so that a consumer can choose without reading the value.
    let attributes = event.attributes.filter { $0.name != "datacontenttype" }
      .map { KafkaMessage.Header("ce_\($0.name)", $0.value) }
    return KafkaMessage(
      topic: topic, key: Array(event.task.description.utf8), value: event.json(data: data),
      headers: [.init("content-type", OutgoingEvent.contentType)] + attributes)
  }
}

extension SinkVerdict {
  /// Of two that both have to be delivered. What may go well soon is repeated soon.
  fileprivate func and(_ other: SinkVerdict) -> SinkVerdict {
    switch (self, other) {
    case (.failed, _): self
    case (_, .failed): other
    case (.refused, _): self
    case (.delivered, _): other
    }
  }
}
