// What is configured about Kafka (`events.kafka.…`), and what is wrong with it. Producer and consumer are made of it.

internal import CRdkafka

package struct KafkaSettings: Sendable, Hashable {
  package struct Topics: Sendable, Hashable {
    package var events: String
    package var deadLetters: String

    package init(events: String = "martlet.events", deadLetters: String = "martlet.dead-letters") {
      self.events = events
      self.deadLetters = deadLetters
    }
  }

  /// `host:port` each; some of the cluster's, the others are found through them.
  package var brokers: [String]
  package var topics: Topics
  package var clientID: String
  /// So long a message may take until the brokers have it; whoever sends a batch is answered two seconds later at the latest.
  package var timeout: Duration
  /// Handed to librdkafka as they are: `security.protocol`, `sasl.mechanisms`, `ssl.ca.location` and so on
  /// (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md).
  package var properties: [String: String]

  package init(
    brokers: [String], topics: Topics = Topics(), clientID: String = "martlet", timeout: Duration = .seconds(10),
    properties: [String: String] = [:]
  ) {
    self.brokers = brokers
    self.topics = topics
    self.clientID = clientID
    self.timeout = timeout
    self.properties = properties
  }

  /// One line for each thing that keeps it from being used; none is a secret. Certificates and keys are looked for, brokers are
  /// not called. Reads files: not for the cooperative pool's hot paths.
  package var problems: [String] {
    var found = brokerProblems + topicProblems + propertyProblems
    if found.isEmpty {
      do throws(KafkaFailure) {
        _ = try KafkaClient(self, role: .trial)
      } catch {
        found.append(error.description)
      }
    }
    return found
  }
}

// MARK: - What is wrong

extension KafkaSettings {
  private var brokerProblems: [String] {
    if brokers.isEmpty { return ["events.kafka.brokers: name at least one broker, as host:port"] }
    return brokers.contains { $0.isEmpty || $0.contains(",") || $0.contains(" ") }
      ? ["events.kafka.brokers: each must be host:port"] : []
  }

  private var topicProblems: [String] {
    [("events", topics.events), ("deadLetters", topics.deadLetters)].compactMap { field, topic in
      Self.isTopic(topic)
        ? nil
        : "events.kafka.topics.\(field): 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`, and not `.` or `..`"
    }
  }

  private static func isTopic(_ name: String) -> Bool {
    let isLegal = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
    return isLegal && (1...249).contains(name.utf8.count) && name != "." && name != ".."
  }

  private var propertyProblems: [String] {
    let configuration = rd_kafka_conf_new()
    defer { rd_kafka_conf_destroy(configuration) }
    return properties.sorted { $0.key < $1.key }.compactMap { name, value in
      if let reason = Self.refusal(name, value) { return "events.kafka.properties: \(name): \(reason)" }
      do throws(KafkaFailure) {
        try set(name, value, in: configuration)
        return nil
      } catch {
        return "events.kafka.properties: \(error)"
      }
    }
  }

  /// Why a property must not be set: Martlet's promises stand on it.
  private static func refusal(_ name: String, _ value: String) -> String? {
    switch name {
    case "enable.idempotence" where value != "true":
      "must stay true, or a retry could double an event or change the order"
    case "acks" where !["all", "-1"].contains(value), "request.required.acks" where !["all", "-1"].contains(value):
      "must stay all, or an event that counts as delivered could be lost with one broker"
    case "partitioner" where value == "random":
      "must go by the key, or the events of a task lose their order"
    case "delivery.report.only.error":
      "Martlet needs the report of every event"
    case "transactional.id":
      "events are sent without transactions"
    case "bootstrap.servers", "metadata.broker.list":
      "is set by events.kafka.brokers"
    case "client.id":
      "is set by events.kafka.clientId"
    case "message.timeout.ms", "delivery.timeout.ms":
      "is Martlet's own, so that a batch is answered in time"
    case "group.id", "enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof":
      "is Martlet's own: dead letters are marked as consumed once they are"
    case "log.queue", "test.mock.num.brokers":
      "is not for use here"
    default: nil
    }
  }
}
