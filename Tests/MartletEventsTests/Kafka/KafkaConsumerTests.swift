import KafkaBroker
import Logging
import MartletCore
import MartletEvents
import Testing

@Suite(.timeLimit(.minutes(2))) struct KafkaConsumerTests {
  private struct HandlerFailed: Error {}

  private func fill(_ brokers: [String], _ numbers: Range<Int>, _ topic: String = "martlet.dead-letters") async {
    let producer = KafkaProducer(KafkaFixtures.settings(brokers), logger: KafkaFixtures.quiet)
    let verdicts = await producer.send(
      numbers.map {
        KafkaMessage(
          topic: topic, key: Array("key \($0)".utf8), value: Array("value \($0)".utf8), headers: [.init("n", "\($0)")])
      })
    #expect(verdicts.allSatisfy { $0 == .delivered })
    await producer.close()
  }

  /// The mock brokers let a new group wait for three seconds, in which a session must not end, and one whose last member has left
  /// for a session less a second.
  private func consumer(_ brokers: [String]) -> KafkaConsumer {
    let properties = ["session.timeout.ms": "4000", "heartbeat.interval.ms": "500"]
    return KafkaConsumer(KafkaFixtures.settings(brokers, properties: properties), logger: KafkaFixtures.quiet)
  }

  private func text(_ record: KafkaRecord) -> String { String(decoding: record.message.value, as: UTF8.self) }

  @Test func `it hands over all there is, oldest first, and goes on behind it next time`() async throws {
    let mock = try MockKafka(topics: ["martlet.dead-letters": 1])
    let consumer = consumer(mock.brokers)
    await fill(mock.brokers, 0..<30)
    let seen = Seen<KafkaRecord>()
    #expect(try await consumer.consume(untilEmpty: true) { seen.add($0) } == 30)
    #expect(seen.all.map(text) == (0..<30).map { "value \($0)" })
    #expect(seen.all[7].message.key == Array("key 7".utf8))
    #expect(seen.all[7].message.headers == [.init("n", "7")])
    #expect(seen.all[7].offset == 7)
    await fill(mock.brokers, 30..<33)
    let later = Seen<KafkaRecord>()
    #expect(try await consumer.consume(untilEmpty: true) { later.add($0) } == 3)
    #expect(later.all.map(text) == ["value 30", "value 31", "value 32"])
    // Another group begins at the beginning.
    #expect(try await consumer.consume(group: "other", untilEmpty: true) { _ in } == 33)
  }

  @Test func `a message whose handler fails stops it, and comes again`() async throws {
    let mock = try MockKafka(topics: ["martlet.dead-letters": 1])
    let consumer = consumer(mock.brokers)
    await fill(mock.brokers, 0..<10)
    let seen = Seen<KafkaRecord>()
    await #expect(throws: HandlerFailed.self) {
      try await consumer.consume(untilEmpty: true) { record in
        if seen.add(record) == 4 { throw HandlerFailed() }
      }
    }
    #expect(seen.all.map(text) == (0..<4).map { "value \($0)" })
    let again = Seen<KafkaRecord>()
    try await consumer.consume(untilEmpty: true) { again.add($0) }
    #expect(again.all.map(text) == (3..<10).map { "value \($0)" })
  }

  @Test func `after the limit it ends, and leaves the rest`() async throws {
    let mock = try MockKafka(topics: ["martlet.dead-letters": 1])
    let consumer = consumer(mock.brokers)
    await fill(mock.brokers, 0..<10)
    #expect(try await consumer.consume(limit: 3) { _ in } == 3)
    let rest = Seen<KafkaRecord>()
    try await consumer.consume(untilEmpty: true) { rest.add($0) }
    #expect(rest.all.map(text) == (3..<10).map { "value \($0)" })
  }

  @Test func `it follows until it is cancelled, with what it has handled behind it`() async throws {
    let mock = try MockKafka(topics: ["martlet.dead-letters": 2])
    let consumer = consumer(mock.brokers)
    let (numbers, sender) = AsyncStream.makeStream(of: String.self)
    let count = try await withThrowingTaskGroup(of: Int.self) { group in
      group.addTask { try await consumer.consume { sender.yield(String(decoding: $0.message.value, as: UTF8.self)) } }
      await fill(mock.brokers, 0..<5)
      var seen: Set<String> = []
      for await value in numbers {
        seen.insert(value)
        if seen.count == 5 { break }
      }
      group.cancelAll()
      return try await group.next()
    }
    #expect(count == 5)
    #expect(try await consumer.consume(untilEmpty: true) { _ in } == 0)
  }

  @Test func `what does not heal ends it with a line that names topic and broker`() async throws {
    let mock = try MockKafka()
    mock.setTopic("nowhere", to: .unknownTopic)
    let error = await #expect(throws: KafkaFailure.self) {
      try await consumer(mock.brokers).consume(from: "nowhere", untilEmpty: true) { _ in }
    }
    #expect(error?.description == "Kafka at \(mock.brokers[0]): topic nowhere: it does not exist")
  }
}
