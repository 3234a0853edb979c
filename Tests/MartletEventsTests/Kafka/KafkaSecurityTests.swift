// TLS and SASL: `events.kafka.properties` reach librdkafka, and what is wrong with them is one clear line without the password.

internal import ChildProcess
internal import Foundation
internal import KafkaBroker
internal import MartletCore
internal import Testing

@testable internal import MartletEvents

@Suite struct KafkaSecurityTests {
  private static let password = "s/cr@t"

  /// A certificate that is its own authority, for 127.0.0.1.
  private static func identity(in folder: URL, _ name: String) async throws -> (certificate: String, key: String) {
    let (certificate, key) = (
      folder.appendingPathComponent("\(name).pem").path, folder.appendingPathComponent(name).path
    )
    let status = try await Child([
      "/usr/bin/openssl", "req", "-x509", "-days", "2", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1",
      "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key,
    ]).ended()
    try #require(status == 0)
    return (certificate, key)
  }

  private static func properties(_ certificate: String, password: String = password) -> [String: String] {
    [
      "security.protocol": "SASL_SSL", "ssl.ca.location": certificate, "sasl.mechanisms": "PLAIN",
      "sasl.username": "martlet", "sasl.password": password,
    ]
  }

  @Test func `events go over TLS with user and password, and with a wrong one of either not at all`() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-kafka-tls-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let ours = try await Self.identity(in: folder, "ours")
    let stranger = try await Self.identity(in: folder, "stranger")
    let mock = try MockKafka(topics: ["martlet.events": 3])
    let door = try await KafkaDoor.open(
      before: mock.brokers[0], user: "martlet", password: Self.password, certificate: ours.certificate, key: ours.key)
    func sink(_ properties: [String: String], timeout: Duration = .seconds(60)) -> KafkaSink {
      KafkaSink(
        KafkaSettings(brokers: ["127.0.0.1:\(door.port)"], timeout: timeout, properties: properties),
        logger: KafkaFixtures.quiet)
    }

    let good = sink(Self.properties(ours.certificate))
    let events = (0..<100).map { KafkaFixtures.event(task: $0) }
    #expect(await good.deliver(events) == [SinkVerdict](repeating: .delivered, count: 100))
    await good.close()
    #expect(Set(door.shown) == ["martlet \(Self.password)"])
    #expect(try await KafkaContents.of("martlet.events", at: mock.brokers).records.count == 100)

    for (properties, words) in [
      (Self.properties(ours.certificate, password: "not-this-one"), "who is that"),
      (Self.properties(stranger.certificate), "certificate"),
    ] {
      let refused = sink(properties, timeout: .seconds(3))
      let verdicts = await refused.deliver(Array(events.prefix(2)))
      let line = try #require(verdicts[0].line)
      #expect(verdicts == [.failed(line), .failed(line)])
      #expect(line.lowercased().contains(words), "\(line)")
      #expect(!line.contains("\n") && !line.contains("not-this-one") && !line.contains(Self.password))
      await refused.close()
    }
    await door.close()
  }
}
