// Settings as librdkafka wants them: a configuration object of names and texts. And which of the texts nobody may read.

internal import CRdkafka
internal import MartletCore

/// What a client is for.
enum KafkaRole {
  case producer
  /// Of a group.
  case consumer(group: String)
  /// To see whether the settings make a client; it calls nobody.
  case trial
}

extension KafkaSettings {
  var brokerList: String { brokers.joined(separator: ",") }

  /// The caller owns it.
  func makeConfiguration(_ role: KafkaRole) throws(KafkaFailure) -> OpaquePointer {
    guard let configuration = rd_kafka_conf_new() else { throw KafkaFailure("no memory for librdkafka") }
    do throws(KafkaFailure) {
      // Ours come last where they must win; they come first where the operator may know better.
      for (name, value) in Self.defaults(role) { try set(name, value, in: configuration) }
      for (name, value) in properties { try set(name, value, in: configuration) }
      for (name, value) in demands(role) { try set(name, value, in: configuration) }
    } catch {
      rd_kafka_conf_destroy(configuration)
      throw error
    }
    rd_kafka_conf_set_events(
      configuration,
      RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_REBALANCE)
    return configuration
  }

  func set(_ name: String, _ value: String, in configuration: OpaquePointer?) throws(KafkaFailure) {
    var text = [CChar](repeating: 0, count: 512)
    guard rd_kafka_conf_set(configuration, name, value, &text, text.count) != RD_KAFKA_CONF_OK else { return }
    throw KafkaFailure(redacted(String(text)))
  }

  private static func defaults(_ role: KafkaRole) -> [(String, String)] {
    // A broker that is back is noticed soon.
    let common = [("reconnect.backoff.max.ms", "2000"), ("socket.keepalive.enable", "true")]
    switch role {
    case .consumer:
      // A command that works on a dead letter may take its time: that the process lives is told by heartbeats.
      return common + [("auto.offset.reset", "earliest"), ("max.poll.interval.ms", "86400000")]
    case .producer, .trial:
      return common + [
        ("compression.type", "lz4"),
        // A batch comes as a whole and is waited for as a whole.
        ("linger.ms", "2"),
        // Shorter than the timeout: a topic that is missing shall be called that.
        ("topic.metadata.propagation.max.ms", "3000"),
      ]
    }
  }

  private func demands(_ role: KafkaRole) -> [(String, String)] {
    let common = [("client.id", clientID), ("log.queue", "true")]
    let calling = [("bootstrap.servers", brokerList)]
    let producing = [
      ("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", "\(max(timeout.wholeMilliseconds, 100))"),
    ]
    switch role {
    case .producer: return common + calling + producing
    case .trial: return common + producing
    case .consumer(let group):
      return common + calling + [
        ("group.id", group), ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
      ]
    }
  }

  /// A line of librdkafka without what is secret in the properties, on one line.
  func redacted(_ line: String) -> String {
    var line = line.split(whereSeparator: \.isNewline).joined(separator: " ")
    for (name, value) in properties where !value.isEmpty && Self.isSecret(name) {
      line = line.split(separator: value, omittingEmptySubsequences: false).joined(separator: "***")
    }
    return line
  }

  private static func isSecret(_ name: String) -> Bool {
    ["password", "secret", "key.pem", "oauthbearer.config"].contains { name.contains($0) }
  }
}

extension String {
  /// What C has written, up to its end.
  init(_ text: [CChar]) {
    self = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
