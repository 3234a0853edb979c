// Events to a broker that is well: what arrives where, and what counts as not delivered.

internal import Foundation
internal import MartletCore
internal import RabbitServer
internal import Testing

@testable internal import MartletEvents

struct RabbitSinkTests {
  @Test func `Events arrive in the order of each task, under their type's name and with all that CloudEvents asks for`()
    async throws
  {
    let server = try await RabbitServer.shared
    let (names, probe) = (RabbitNames(), try server.probe())
    let sink = RabbitSink.make(try names.settings(server.url()))
    #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])  // makes the exchange
    try await probe.declareQueue(names.queue)
    try await probe.bind(names.queue, to: names.exchange)

    let events = rabbitEvents(5000, tasks: 20)
    for start in stride(from: 0, to: events.count, by: 1000) {
      let verdicts = await sink.deliver(Array(events[start..<start + 1000]))
      #expect(verdicts == Array(repeating: .delivered, count: 1000))
    }
    let received = try await probe.drain(names.queue)
    #expect(received.count == events.count)
    var latest: [String: Int] = [:]
    for (event, message) in zip(events, received) {
      let task = event.task.description
      #expect(message.exchange == names.exchange)
      #expect(message.routingKey == event.typeName && message.routingKey.hasPrefix("martlet.task."))
      #expect(message.type == event.typeName)
      #expect(message.contentType == "application/cloudevents+json; charset=UTF-8")
      #expect(message.deliveryMode == 2)
      #expect(message.messageID == event.id)
      #expect(message.seconds == 1_770_000_000 + Int((event.at.milliseconds - 1_770_000_000_000) / 1000))
      #expect(message.body == event.json(data: event.data))
      let expected = [
        "cloudEvents:specversion": "1.0", "cloudEvents:id": event.id, "cloudEvents:source": "/martlet/test",
        "cloudEvents:type": event.typeName, "cloudEvents:subject": task, "cloudEvents:time": event.at.description,
        "cloudEvents:sequence": event.attributes.last?.value, "task": task,
      ]
      #expect(message.headers == expected.compactMapValues(\.self))
      #expect(event.sequence == latest[task, default: 0] + 1)
      latest[task] = event.sequence
    }
    await sink.close()
  }

  @Test func `A batch is confirmed as a whole, quickly`() async throws {
    let server = try await RabbitServer.shared
    let (names, probe) = (RabbitNames(), try server.probe())
    let sink = RabbitSink.make(try names.settings(server.url()))
    let events = rabbitEvents(10_000)
    for isBound in [false, true] {
      #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])
      if isBound {
        try await probe.declareQueue(names.queue)
        try await probe.bind(names.queue, to: names.exchange)
      }
      let start = ContinuousClock.now
      #expect(try await sink.deliverAll(events) == 0)
      let rate = Double(events.count) / (ContinuousClock.now - start).secondsAsDouble
      print(
        "RabbitMQ, batches of 1,000, \(isBound ? "one durable queue" : "no queue"): \(Int(rate)) events/s confirmed")
    }
    try await probe.deleteQueue(names.queue)
    await sink.close()
  }

  @Test func `An event that no queue is bound for is delivered, and a binding takes the types that it names`()
    async throws
  {
    let server = try await RabbitServer.shared
    let (names, probe) = (RabbitNames(), try server.probe())
    let sink = RabbitSink.make(try names.settings(server.url()))
    #expect(await sink.deliver(rabbitEvents(40)).allSatisfy { $0 == .delivered })
    try await probe.declareQueue(names.queue)
    try await probe.bind(names.queue, to: names.exchange, "martlet.task.succeeded")
    #expect(await sink.deliver(rabbitEvents(40)).allSatisfy { $0 == .delivered })
    let received = try await probe.drain(names.queue)
    #expect(received.count == 10)
    #expect(received.allSatisfy { $0.routingKey == "martlet.task.succeeded" })
    #expect(await sink.deliver([]) == [])
    await sink.close()
  }

  @Test func `A dead letter waits with its payload in a quorum queue, besides the event on the exchange`() async throws
  {
    let server = try await RabbitServer.shared
    let (names, probe) = (RabbitNames(), try server.probe())
    let sink = RabbitSink.make(try names.settings(server.url()))
    #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])
    try await probe.declareQueue(names.queue)
    try await probe.bind(names.queue, to: names.exchange)
    let dead = rabbitDeadLetters(3, padding: 300_000)  // more than two frames
    #expect(await sink.deliver(rabbitEvents(2) + dead) == Array(repeating: .delivered, count: 5))

    let letters = try await probe.drain(names.deadLetters)
    #expect(letters.map(\.body) == dead.map { $0.json(data: $0.deadLetter ?? []) })
    #expect(letters.map(\.messageID) == dead.map(\.id))
    #expect(letters.allSatisfy { $0.exchange.isEmpty && $0.type == "martlet.task.dead" && $0.deliveryMode == 2 })
    let events = try await probe.drain(names.queue)
    #expect(events.suffix(3).map(\.body) == dead.map { $0.json(data: $0.data) })
    let queues = try await server.control("list_queues", "name", "type", "durable")
    #expect(queues.split(separator: "\n").contains("\(names.deadLetters)\tquorum\ttrue"))
    await sink.close()
  }

  @Test func `What a full queue refuses is not delivered, and all else is`() async throws {
    let server = try await RabbitServer.shared
    let (names, probe) = (RabbitNames(), try server.probe())
    let sink = RabbitSink.make(try names.settings(server.url()))
    #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])
    try await probe.declareQueue(names.queue, arguments: ["x-overflow": "reject-publish"], maxLength: 3)
    try await probe.bind(names.queue, to: names.exchange, "martlet.task.received")
    let events = rabbitEvents(20)  // ten that are received, ten that are ready
    let verdicts = await sink.deliver(events)
    let line =
      "RabbitMQ at localhost:\(server.port), exchange \(names.exchange): refused (nack); "
      + "a queue is full, or has lost its disk or its members"
    #expect(verdicts[..<3].allSatisfy { $0 == .delivered })
    #expect(verdicts[3..<10].allSatisfy { $0 == .failed(line) })
    #expect(verdicts[10...].allSatisfy { $0 == .delivered })
    #expect(sink.health.isUp)
    try await probe.purge(names.queue)
    #expect(await sink.deliver([events[3]]) == [.delivered])
    await sink.close()
  }

  @Test func `A dead letter that comes back is not delivered, and the next one finds a new queue`() async throws {
    let server = try await RabbitServer.shared
    let (names, probe) = (RabbitNames(), try server.probe())
    let sink = RabbitSink.make(try names.settings(server.url()))
    let dead = rabbitDeadLetters(2)
    #expect(await sink.deliver(dead) == [.delivered, .delivered])
    try await probe.deleteQueue(names.deadLetters)
    let line =
      "RabbitMQ at localhost:\(server.port), queue \(names.deadLetters): came back (312 NO_ROUTE); the queue is gone"
    #expect(await sink.deliver([rabbitEvents(1)[0], dead[1]]) == [.delivered, .failed(line)])
    #expect(await sink.deliver([dead[1]]) == [.delivered])
    #expect(try await probe.drain(names.deadLetters).map(\.messageID) == [dead[1].id])
    await sink.close()
  }

  @Test func `An exchange that vanishes is said to be gone, and made anew`() async throws {
    let server = try await RabbitServer.shared
    let (names, probe) = (RabbitNames(), try server.probe())
    let lines = RabbitLines()
    let sink = RabbitSink.make(try names.settings(server.url()), report: lines.add)
    #expect(await sink.deliver(rabbitEvents(10)).allSatisfy { $0 == .delivered })
    try await probe.deleteExchange(names.exchange)
    let verdicts = await sink.deliver(rabbitEvents(10))
    let line =
      "RabbitMQ at localhost:\(server.port) closed the connection: NOT_FOUND - no exchange '\(names.exchange)' in vhost '/'"
    #expect(verdicts.allSatisfy { $0 == .failed(line) })
    #expect(try await sink.deliverAll(rabbitEvents(10)) >= 0)
    #expect(lines.all == [line, "RabbitMQ at localhost:\(server.port) is back"])
    await sink.close()
  }
}
