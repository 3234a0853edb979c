import KafkaBroker
import Logging
import MartletCore
import MartletEvents
import Testing

@Suite struct KafkaSinkTests {
  @Test func `5,000 events are delivered once each, in order per task, with key, headers and value`() async throws {
    let mock = try MockKafka(brokers: 3, topics: ["martlet.events": 6])
    let sink = KafkaFixtures.sink(mock)
    let events = KafkaFixtures.history(tasks: 500, perTask: 10)
    for batch in KafkaFixtures.batches(events, of: 1000) {
      #expect(await sink.deliver(batch) == batch.map { _ in .delivered })
    }
    await sink.close()
    let records = try await KafkaContents.of("martlet.events", at: mock.brokers).records
    #expect(records.count == 5000)
    #expect(Set(records.map(\.partition)).count == 6)
    let disordered = Dictionary(grouping: records, by: \.key).filter { task, records in
      records.map { $0.headers["ce_id"] } != (1...10).map { "\(task).\($0)" }
        || Set(records.map(\.partition)).count != 1
    }
    #expect(disordered.isEmpty)
    let event = events[1234]
    let record = try #require(records.first { $0.headers["ce_id"] == event.id })
    #expect(record.key == event.task.description)
    #expect(record.value == event.json(data: event.data))
    #expect(
      record.headers == [
        "content-type": "application/cloudevents+json; charset=UTF-8", "ce_specversion": "1.0", "ce_id": event.id,
        "ce_source": "/martlet/test", "ce_type": "martlet.task.succeeded", "ce_subject": event.task.description,
        "ce_time": "2023-11-14T22:13:20.123Z", "ce_sequence": "0000000003",
      ])
    #expect(record.headerNames.count == record.headers.count)
  }

  @Test func `a dead letter goes to both topics, to its own with the payload`() async throws {
    let mock = try MockKafka(topics: ["martlet.events": 2, "martlet.dead-letters": 2])
    let sink = KafkaFixtures.sink(mock)
    let dead = KafkaFixtures.event(
      task: 1, type: .dead, data: #"{"queue":"q"}"#, deadLetter: #"{"queue":"q","payload":{"a":1}}"#)
    let bare = KafkaFixtures.event(task: 2, type: .dead)
    let plain = KafkaFixtures.event(task: 3)
    #expect(await sink.deliver([dead, plain, bare]) == [.delivered, .delivered, .delivered])
    await sink.close()
    let events = try await KafkaContents.of("martlet.events", at: mock.brokers).records
    #expect(Set(events.map(\.value)) == Set([dead, plain, bare].map { $0.json(data: $0.data) }))
    let letters = try await KafkaContents.of("martlet.dead-letters", at: mock.brokers).records
    #expect(
      Set(letters.map(\.value)) == [
        dead.json(data: Array(#"{"queue":"q","payload":{"a":1}}"#.utf8)), bare.json(data: bare.data),
      ])
    #expect(Set(letters.map(\.key)) == [dead.task.description, bare.task.description])
  }

  @Test func `a dead letter that is too large is sent again without its payload`() async throws {
    let mock = try MockKafka(topics: ["martlet.events": 1, "martlet.dead-letters": 1])
    let sink = KafkaFixtures.sink(mock, properties: ["message.max.bytes": "2000"])
    let payload = String(repeating: "x", count: 4000)
    let dead = KafkaFixtures.event(
      task: 1, type: .dead, data: #"{"queue":"q"}"#, deadLetter: #"{"queue":"q","payload":"\#(payload)"}"#)
    let small = KafkaFixtures.event(task: 2, type: .dead, deadLetter: #"{"payload":1}"#)
    #expect(await sink.deliver([dead, small]) == [.delivered, .delivered])
    await sink.close()
    let letters = try await KafkaContents.of("martlet.dead-letters", at: mock.brokers).records
    #expect(
      Set(letters.map(\.value)) == [dead.json(data: dead.data), small.json(data: Array(#"{"payload":1}"#.utf8))])
  }

  @Test func `a dead letter counts as delivered only when both topics have it`() async throws {
    let mock = try MockKafka(topics: ["martlet.events": 1, "martlet.dead-letters": 1])
    mock.setTopic("martlet.dead-letters", to: .topicUnauthorized)
    let sink = KafkaFixtures.sink(mock, timeout: .seconds(15))
    let verdicts = await sink.deliver([
      KafkaFixtures.event(task: 1), KafkaFixtures.event(task: 2, type: .dead, deadLetter: "{}"),
      KafkaFixtures.event(task: 3),
    ])
    #expect([verdicts[0], verdicts[2]] == [.delivered, .delivered])
    #expect(
      verdicts[1]
        == .failed(
          "Kafka at \(mock.brokers[0]): topic martlet.dead-letters: Martlet's user is not allowed to write to it"))
    await sink.close()
  }

  @Test func `an event that is too large is refused, and the others are delivered`() async throws {
    let mock = try MockKafka(topics: ["martlet.events": 1])
    let sink = KafkaFixtures.sink(mock, properties: ["message.max.bytes": "2000"])
    let verdicts = await sink.deliver([
      KafkaFixtures.event(task: 1),
      KafkaFixtures.event(task: 2, data: #"{"x":"\#(String(repeating: "x", count: 4000))"}"#),
      KafkaFixtures.event(task: 3),
    ])
    #expect([verdicts[0], verdicts[2]] == [.delivered, .delivered])
    #expect(verdicts[1].isRefused)
    #expect(verdicts[1].line?.contains("topic martlet.events: a message of") == true)
    await sink.close()
  }

  @Test func `nothing to deliver needs no broker`() async {
    let sink = KafkaSink(KafkaFixtures.settings(["127.0.0.1:1"]), logger: KafkaFixtures.quiet)
    #expect(await sink.deliver([]).isEmpty)
    await sink.close()
  }

  @Test func `the speed of the sink with batches of 1,000`() async throws {
    let mock = try MockKafka(brokers: 1, topics: ["martlet.events": 6])
    let sink = KafkaFixtures.sink(mock)
    let batches = KafkaFixtures.batches(KafkaFixtures.history(tasks: 1000, perTask: 20), of: 1000)
    #expect(await sink.deliver(batches[0]).allSatisfy { $0 == .delivered })
    let start = ContinuousClock.now
    for batch in batches { #expect(await sink.deliver(batch).allSatisfy { $0 == .delivered }) }
    let seconds = ContinuousClock.now - start
    print("Kafka sink: \(Int(Double(batches.count * 1000) / (seconds / .seconds(1)))) events/s, batches of 1,000")
    await sink.close()
  }
}
