import MartletEvents
import Testing

@Suite struct KafkaSettingsTests {
  private func problems(_ properties: [String: String]) -> [String] {
    KafkaSettings(brokers: ["localhost:9092"], properties: properties).problems
  }

  @Test func `defaults and the usual security properties are fine`() {
    #expect(problems([:]).isEmpty)
    #expect(
      problems([
        "security.protocol": "sasl_plaintext", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "u",
        "sasl.password": "p", "compression.type": "zstd", "linger.ms": "20",
      ]).isEmpty)
  }

  @Test func `a property that librdkafka does not know is told in its words`() {
    #expect(
      problems(["enable.magic": "true"]) == [
        "events.kafka.properties: No such configuration property: \"enable.magic\""
      ])
    #expect(problems(["security.protocol": "morse"])[0].contains("security.protocol"))
  }

  @Test(arguments: [
    ("enable.idempotence", "false"), ("acks", "1"), ("request.required.acks", "0"), ("partitioner", "random"),
    ("delivery.report.only.error", "true"), ("transactional.id", "x"), ("bootstrap.servers", "x:1"),
    ("message.timeout.ms", "1"), ("enable.auto.commit", "true"), ("test.mock.num.brokers", "1"),
  ])
  func `a property that would break a promise is refused with the reason`(name: String, value: String) {
    let found = problems([name: value])
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix("events.kafka.properties: \(name): ") == true)
  }

  @Test func `what agrees with the promises may be said`() {
    #expect(problems(["enable.idempotence": "true", "acks": "all", "partitioner": "murmur2"]).isEmpty)
  }

  @Test func `properties that make no client together are found before any broker is called`() {
    #expect(problems(["security.protocol": "ssl", "ssl.ca.location": "/nowhere.pem"])[0].contains("ssl.ca.location"))
    #expect(problems(["max.in.flight": "100"])[0].contains("max.in.flight"))
  }

  @Test func `brokers and topics are looked at`() {
    #expect(KafkaSettings(brokers: []).problems.count == 1)
    #expect(KafkaSettings(brokers: ["a:1,b:1"]).problems.count == 1)
    let topics = KafkaSettings.Topics(events: "with space", deadLetters: "..")
    #expect(KafkaSettings(brokers: ["a:1"], topics: topics).problems.count == 2)
  }

  @Test func `no problem tells a secret`() {
    let found = problems(["sasl.password": "hunter2", "sasl.mechanisms": "hunter2", "security.protocol": "sasl_ssl"])
    #expect(!found.isEmpty)
    #expect(!found.joined().contains("hunter2"))
  }
}
