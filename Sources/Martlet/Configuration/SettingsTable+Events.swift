// The lines of the settings' table about who is told what happens. What is wrong between them says `Settings.eventComplaints`.

extension Setting {
  static let events: [Setting] = [
    Setting(
      "events.kafka.brokers", \.events.kafka.brokers, .list("list of `host:port`") { _ in nil }, needsRestart: true,
      "Some of a Kafka cluster's brokers: turns on events and dead letters as Kafka messages. Without it, off."),
    Setting(
      "events.kafka.topics.events", \.events.kafka.topics.events, .text("name of a topic") { _ in nil },
      needsRestart: true, "Topic for every event; the key is the task's id."),
    Setting(
      "events.kafka.topics.deadLetters", \.events.kafka.topics.deadLetters, .text("name of a topic") { _ in nil },
      needsRestart: true, "Topic for dead letters, with their payloads."),
    Setting(
      "events.kafka.properties", \.events.kafka.properties, .list("list of `name=value`") { _ in nil }, isSecret: true,
      needsRestart: true, "Handed to librdkafka as they are: `security.protocol=SASL_SSL` and the like."),
    Setting(
      "events.rabbitmq.url", \.events.rabbitmq.url, .optionalText("`amqp://…` or `amqps://…`"), isSecret: true,
      needsRestart: true,
      "A RabbitMQ broker: turns on events by an exchange and dead letters in a queue. Without it, off."),
    Setting(
      "events.rabbitmq.exchange", \.events.rabbitmq.exchange, .text("name of an exchange") { _ in nil },
      needsRestart: true, "Topic exchange for every event; the routing key is the event's type."),
    Setting(
      "events.rabbitmq.deadLetterQueue", \.events.rabbitmq.deadLetterQueue, .text("name of a queue") { _ in nil },
      needsRestart: true, "Quorum queue for dead letters, with their payloads."),
    Setting(
      "events.streamSeconds", \.events.streamSeconds, .number(0...Limits.farthestSeconds, unit: "seconds"),
      needsRestart: true,
      "How long events are kept for `GET /events/stream`, on all nodes alike; 0 turns the stream off."),
  ]
}
