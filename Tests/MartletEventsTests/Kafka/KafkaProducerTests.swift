import KafkaBroker
import Logging
import MartletCore
import MartletEvents
import Testing

@Suite struct KafkaProducerTests {
  private func messages(_ count: Int, topic: String = "t") -> [KafkaMessage] {
    (0..<count).map { KafkaMessage(topic: topic, key: Array("key \($0 % 7)".utf8), value: Array("value \($0)".utf8)) }
  }

  private func producer(
    _ mock: MockKafka, timeout: Duration = .seconds(10), properties: [String: String] = [:]
  ) -> KafkaProducer {
    KafkaProducer(
      KafkaFixtures.settings(mock.brokers, timeout: timeout, properties: properties), logger: KafkaFixtures.quiet)
  }

  private func values(_ topic: String, _ mock: MockKafka) async throws -> [String] {
    try await KafkaContents.of(topic, at: mock.brokers).records.map { String(decoding: $0.value, as: UTF8.self) }
  }

  @Test(arguments: [
    [MockKafka.Fault.notLeader, .notEnoughReplicas, .requestTimedOut], [.disconnect],
    [.disconnect, .notLeader, .disconnect],
  ])
  func `errors that pass are outlived: delivered, once, in order`(faults: [MockKafka.Fault]) async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock)
    mock.fail(.produce, with: faults)
    #expect(await producer.send(messages(200)) == Array(repeating: .delivered, count: 200))
    await producer.close()
    #expect(try await values("t", mock) == (0..<200).map { "value \($0)" })
  }

  @Test func `a batch that the broker finds too large goes on as single messages`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock)
    // The batch, then one of its messages.
    mock.fail(.produce, with: [.messageTooLarge, .messageTooLarge])
    let verdicts = await producer.send(messages(20))
    #expect(verdicts[0].isRefused)
    #expect(verdicts.dropFirst().allSatisfy { $0 == .delivered })
    await producer.close()
    #expect(try await values("t", mock) == (1..<20).map { "value \($0)" })
  }

  @Test func `a single message that the broker finds too large is refused`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock)
    mock.fail(.produce, with: [.messageTooLarge])
    #expect(
      await producer.send(messages(1)) == [
        .refused("Kafka at \(mock.brokers[0]): topic t: a message of 7 bytes is too large (message.max.bytes)")
      ])
    #expect(await producer.send(messages(1)) == [.delivered])
    await producer.close()
  }

  @Test func `a topic that may not be written to fails by name, other topics go on`() async throws {
    let mock = try MockKafka(topics: ["t": 1, "closed": 1])
    let producer = producer(mock, timeout: .seconds(15))
    mock.setTopic("closed", to: .topicUnauthorized)
    let verdicts = await producer.send(messages(1, topic: "closed") + messages(1))
    #expect(
      verdicts == [
        .failed("Kafka at \(mock.brokers[0]): topic closed: Martlet's user is not allowed to write to it"), .delivered,
      ])
    await producer.close()
  }

  @Test func `a topic that does not exist fails by name, other topics go on`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock)
    mock.setTopic("nowhere", to: .unknownTopic)
    let verdicts = await producer.send(messages(1, topic: "nowhere") + messages(1))
    #expect(
      verdicts == [
        .failed("Kafka at \(mock.brokers[0]): topic nowhere: it does not exist, and the brokers do not make it"),
        .delivered,
      ])
    await producer.close()
  }

  @Test(arguments: [Duration.zero, .milliseconds(500)])
  func `after a fatal error a new producer goes on`(firstMessageAfter pause: Duration) async throws {
    let mock = try MockKafka(topics: ["t": 1])
    // Not one alone: a client that breaks before it has been given a message is replaced, and nobody hears of it.
    mock.fail(.initProducerID, with: Array(repeating: .clusterUnauthorized, count: 100))
    let producer = producer(mock)
    try await Task.sleep(for: pause)
    var verdicts = await producer.send(messages(10))
    #expect(verdicts.allSatisfy { $0.isFailed })
    mock.heal(.initProducerID)
    #expect(await producer.status().trouble?.contains("authoriz") == true)
    verdicts = await producer.send(messages(10))
    #expect(verdicts == Array(repeating: .delivered, count: 10))
    #expect(await producer.status() == KafkaStatus(isUp: true, trouble: nil))
    await producer.close()
    #expect(try await values("t", mock) == (0..<10).map { "value \($0)" })
  }

  @Test func `a fatal error with messages in flight loses none of those that are repeated`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock, properties: ["enable.gapless.guarantee": "true"])
    #expect(await producer.send(messages(5)) == Array(repeating: .delivered, count: 5))
    mock.fail(.produce, with: [.outOfOrderSequence])
    let first = await producer.send(messages(100, topic: "t"))
    #expect(first.contains { $0.isFailed })
    #expect(await producer.send(messages(100)) == Array(repeating: .delivered, count: 100))
    await producer.close()
    #expect(Set(try await values("t", mock)) == Set((0..<100).map { "value \($0)" }))
  }

  @Test func `brokers that are away fail the batch in time, and have it later`() async throws {
    let mock = try MockKafka(brokers: 2, topics: ["t": 2])
    let producer = producer(mock, timeout: .seconds(15))
    #expect(await producer.send(messages(10)) == Array(repeating: .delivered, count: 10))
    #expect(await producer.status() == KafkaStatus(isUp: true, trouble: nil))
    mock.goDown()
    let start = ContinuousClock.now
    let verdicts = await producer.send(messages(1000))
    #expect(ContinuousClock.now - start < .seconds(120))
    #expect(verdicts.count == 1000)
    #expect(verdicts.allSatisfy { $0.isFailed })
    let line = try #require(verdicts[999].line)
    #expect(
      line.hasPrefix("Kafka at \(mock.brokers.joined(separator: ",")): topic t: not acknowledged within 15.0 seconds; ")
    )
    #expect(!line.contains("\n"))
    let status = await producer.status()
    #expect(!status.isUp)
    #expect(status.trouble != nil)
    mock.comeUp()
    // Repeated by the relay until it is delivered; how long the library takes to connect again is its own affair.
    var tries = 1
    var again = await producer.send(messages(1000))
    while again.contains(where: { $0 != .delivered }), tries < 10 {
      again = await producer.send(messages(1000))
      tries += 1
    }
    #expect(again == Array(repeating: .delivered, count: 1000))
    #expect(await producer.status() == KafkaStatus(isUp: true, trouble: nil))
    await producer.close()
    #expect(Set(try await values("t", mock)).count == 1000)
  }

  @Test func `brokers that come back within the timeout cost time only`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    // Far longer than even a busy machine takes to see that they are gone and that they are back.
    let producer = producer(mock, timeout: .seconds(240))
    #expect(await producer.send(messages(1)) == [.delivered])
    mock.goDown()
    async let verdicts = producer.send(messages(500))
    let deadline = ContinuousClock.now + .seconds(120)
    while await producer.status().isUp, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(20)) }
    #expect(await !producer.status().isUp)
    mock.comeUp()
    #expect(await verdicts == Array(repeating: .delivered, count: 500))
    await producer.close()
    #expect(try await values("t", mock).count == 501)
  }

  @Test func `more messages than the queue holds wait their turn`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock, properties: ["queue.buffering.max.messages": "50"])
    #expect(await producer.send(messages(2000)) == Array(repeating: .delivered, count: 2000))
    await producer.close()
    #expect(try await values("t", mock) == (0..<2000).map { "value \($0)" })
  }

  @Test func `a batch in flight is answered when the producer closes`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock, timeout: .seconds(60))
    #expect(await producer.send(messages(1)) == [.delivered])
    mock.setDelay(milliseconds: 30_000)
    let start = ContinuousClock.now
    async let verdicts = producer.send(messages(100))
    // Letters are read in order: by the answer the batch has been taken, unless it comes after the end.
    _ = await producer.status()
    await producer.close()
    let lines = await verdicts
    #expect(lines.count == 100)
    #expect(lines.allSatisfy { $0.isFailed })
    #expect(await producer.send(messages(1)).allSatisfy { $0.isFailed })
    #expect(await !producer.status().isUp)
    await producer.close()
    #expect(ContinuousClock.now - start < .seconds(25))
  }

  @Test func `a cancelled batch is answered soon`() async throws {
    let mock = try MockKafka(topics: ["t": 1])
    let producer = producer(mock, timeout: .seconds(60))
    #expect(await producer.send(messages(1)) == [.delivered])
    mock.setDelay(milliseconds: 30_000)
    let batch = messages(100)
    let start = ContinuousClock.now
    let verdicts = await withTaskGroup(of: [SinkVerdict].self) { group in
      group.addTask { await producer.send(batch) }
      _ = await producer.status()
      group.cancelAll()
      return await group.next() ?? []
    }
    #expect(verdicts.count == 100)
    #expect(verdicts.allSatisfy { $0.isFailed })
    #expect(ContinuousClock.now - start < .seconds(25))
    await producer.close()
  }

  @Test func `settings that make no client fail every message with the reason`() async {
    let settings = KafkaFixtures.settings(
      ["127.0.0.1:1"], properties: ["security.protocol": "ssl", "ssl.ca.location": "/nowhere.pem"])
    let producer = KafkaProducer(settings, logger: KafkaFixtures.quiet)
    let verdicts = await producer.send(messages(3))
    #expect(verdicts.count == 3)
    #expect(verdicts.allSatisfy { $0.line?.contains("ssl.ca.location") == true })
    await producer.close()
  }
}
