import KafkaBroker
import Logging
import MartletCore
import MartletEvents
import Testing

@Suite struct SmallKafkaTests {
  @Test func `a real broker takes events and dead letters, and gives the dead letters back`() async throws {
    let broker = try await SmallKafka.start()
    let sink = KafkaSink(KafkaFixtures.settings(broker.brokers), logger: KafkaFixtures.quiet)
    var events = KafkaFixtures.history(tasks: 100, perTask: 10)
    events += (0..<20).map {
      KafkaFixtures.event(task: $0, sequence: 11, type: .dead, deadLetter: #"{"payload":\#($0)}"#)
    }
    for batch in KafkaFixtures.batches(events, of: 300) {
      #expect(await sink.deliver(batch) == batch.map { _ in .delivered })
    }
    #expect(await sink.status() == KafkaStatus(isUp: true, trouble: nil))
    await sink.close()

    let records = try await KafkaContents.of("martlet.events", at: broker.brokers).records
    #expect(records.count == events.count)
    let disordered = Dictionary(grouping: records, by: \.key).filter { task, records in
      records.map { $0.headers["ce_id"] } != (1...records.count).map { "\(task).\($0)" }
    }
    #expect(disordered.isEmpty)
    let consumer = KafkaConsumer(KafkaFixtures.settings(broker.brokers), logger: KafkaFixtures.quiet)
    let seen = Seen<KafkaRecord>()
    #expect(try await consumer.consume(untilEmpty: true) { seen.add($0) } == 20)
    #expect(
      Set(seen.all.map(\.message.value))
        == Set(events.suffix(20).map { $0.json(data: $0.deadLetter ?? []) }))
    #expect(try await consumer.consume(untilEmpty: true) { _ in } == 0)
    await broker.remove()
  }

  @Test func `a real broker that is stopped and started again has everything in the end`() async throws {
    let broker = try await SmallKafka.start()
    let sink = KafkaSink(KafkaFixtures.settings(broker.brokers, timeout: .seconds(15)), logger: KafkaFixtures.quiet)
    let events = KafkaFixtures.history(tasks: 50, perTask: 4)
    #expect(await sink.deliver(Array(events[..<100])).allSatisfy { $0 == .delivered })
    await broker.stop()
    let verdicts = await sink.deliver(Array(events[100...]))
    #expect(verdicts.allSatisfy { $0.isFailed })
    #expect(await !sink.status().isUp)
    try await broker.startAgain()
    var open = Array(events[100...])
    for _ in 0..<10 where !open.isEmpty {
      open = zip(open, await sink.deliver(open)).filter { $0.1 != .delivered }.map(\.0)
    }
    #expect(open.isEmpty)
    await sink.close()
    let ids = try await KafkaContents.of("martlet.events", at: broker.brokers).records.map { $0.headers["ce_id"] }
    #expect(Set(ids) == Set(events.map(\.id)))
    await broker.remove()
  }
}
