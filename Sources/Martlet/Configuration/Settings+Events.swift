// Who is told what happens: the settings of `events`.

package import MartletEvents

extension Settings {
  /// Who is told what happens to tasks. Nobody, unless a broker is named or the stream turned on.
  public struct Events: Sendable, Hashable {
    /// Apache Kafka, or what speaks its protocol.
    public var kafka: Kafka
    /// RabbitMQ.
    public var rabbitmq: RabbitMQ
    /// How long events are kept for `GET /events/stream`; 0 turns it off.
    public var streamSeconds: Double

    public init(kafka: Kafka = Kafka(), rabbitmq: RabbitMQ = RabbitMQ(), streamSeconds: Double = 0) {
      self.kafka = kafka
      self.rabbitmq = rabbitmq
      self.streamSeconds = streamSeconds
    }
  }

  /// Events and dead letters as messages of two topics.
  public struct Kafka: Sendable, Hashable {
    /// `host:port` each, some of the cluster's; empty turns it off.
    public var brokers: [String]
    /// Where the messages go.
    public var topics: Topics
    /// `name=value` each, for librdkafka: `security.protocol=SASL_SSL`. Secret.
    public var properties: [String]

    public init(brokers: [String] = [], topics: Topics = Topics(), properties: [String] = []) {
      self.brokers = brokers
      self.topics = topics
      self.properties = properties
    }

    /// Where the messages go.
    public struct Topics: Sendable, Hashable {
      /// Every event.
      public var events: String
      /// Dead letters once more, with their payloads.
      public var deadLetters: String

      public init(events: String = "martlet.events", deadLetters: String = "martlet.dead-letters") {
        self.events = events
        self.deadLetters = deadLetters
      }
    }
  }

  /// Events by an exchange, dead letters besides in a queue.
  public struct RabbitMQ: Sendable, Hashable {
    /// `amqp://user:password@host:5672/vhost` or `amqps://…`; nil turns it off. Secret.
    public var url: String?
    /// A topic exchange; the routing key is the event's type, `martlet.task.dead`.
    public var exchange: String
    /// A quorum queue.
    public var deadLetterQueue: String

    public init(
      url: String? = nil, exchange: String = "martlet.events", deadLetterQueue: String = "martlet.dead-letters"
    ) {
      self.url = url
      self.exchange = exchange
      self.deadLetterQueue = deadLetterQueue
    }
  }
}

// MARK: - What the rest of the server reads

extension Settings.Kafka {
  /// Nil where it is turned off.
  package var settings: KafkaSettings? {
    guard !brokers.isEmpty else { return nil }
    return KafkaSettings(
      brokers: brokers, topics: .init(events: topics.events, deadLetters: topics.deadLetters),
      properties: Dictionary(properties.compactMap(Self.pair)) { $1 })
  }

  fileprivate static func pair(_ property: String) -> (String, String)? {
    guard let equals = property.firstIndex(of: "="), equals > property.startIndex else { return nil }
    return (String(property[..<equals]), String(property[property.index(after: equals)...]))
  }
}

extension Settings.RabbitMQ {
  /// Nil where it is turned off.
  package func settings() throws(RabbitProblem) -> RabbitSettings? {
    guard let url else { return nil }
    return try RabbitSettings(url: url, exchange: exchange, deadLetterQueue: deadLetterQueue)
  }
}

extension Settings {
  /// What no setting of `events` can say by itself.
  static func eventComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    kafkaComplaints(settings.events.kafka) + rabbitComplaints(settings.events.rabbitmq)
  }

  private static func kafkaComplaints(_ kafka: Kafka) -> [(key: String, Complaint)] {
    if kafka.properties.contains(where: { Kafka.pair($0) == nil }) {
      return [("events.kafka.properties", "must be name=value each, as in security.protocol=SASL_SSL")]
    }
    return (kafka.settings?.problems ?? []).map { problem in
      let parts = problem.split(separator: ": ", maxSplits: 1).map(String.init)
      let key = parts.count == 2 && Setting.byKey[parts[0]] != nil ? parts[0] : "events.kafka.brokers"
      return (key, Complaint(parts.count == 2 && key == parts[0] ? parts[1] : problem))
    }
  }

  private static func rabbitComplaints(_ rabbitmq: RabbitMQ) -> [(key: String, Complaint)] {
    do throws(RabbitProblem) {
      _ = try rabbitmq.settings()
      return []
    } catch {
      return [("events.rabbitmq.url", Complaint(error.description))]
    }
  }
}
