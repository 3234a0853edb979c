import Logging
import MartletCore
import MartletEvents
import Testing

@Suite struct KafkaLogTests {
  private struct LineHandler: LogHandler {
    let lines: Seen<String>
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      lines.add("\(event.message) \(event.metadata ?? [:])")
    }
  }

  @Test func `what librdkafka logs is passed on, once for each thing, and never with a password`() async {
    let lines = Seen<String>()
    // The broker's name gets into the lines, and here it is the password too.
    let settings = KafkaSettings(
      brokers: ["localhost:1"], timeout: .seconds(3),
      properties: [
        "security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN", "sasl.username": "u",
        "sasl.password": "localhost",
      ])
    let producer = KafkaProducer(settings, logger: Logger(label: "kafka") { _ in LineHandler(lines: lines) })
    let verdicts = await producer.send([KafkaMessage(topic: "t", key: nil, value: [1])])
    #expect(verdicts.allSatisfy { $0.isFailed })
    await producer.close()
    let failures = lines.all.filter { $0.contains("FAIL") }
    #expect(failures.count == 1)
    #expect(failures.first?.contains("***:1") == true)
    #expect(!lines.all.contains { $0.contains("localhost") })
    #expect(lines.all.count < 10)
  }
}
