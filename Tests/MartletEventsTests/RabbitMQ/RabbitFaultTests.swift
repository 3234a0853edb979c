// The broker stops, crashes, falls silent or runs short of memory, under load.

internal import Foundation
internal import MartletCore
internal import RabbitServer
internal import Testing

@testable internal import MartletEvents

@Suite(.serialized) struct RabbitFaultTests {
  private func withServer(_ body: (RabbitServer) async throws -> Void) async throws {
    let server = try await RabbitServer.start()
    do {
      try await body(server)
    } catch {
      await server.remove()
      throw error
    }
    await server.remove()
  }

  @Test func `Dead letters survive a restart, and the sink comes back by itself`() async throws {
    try await withServer { server in
      let (names, lines) = (RabbitNames(), RabbitLines())
      let sink = RabbitSink.make(try names.settings(server.url()), report: lines.add)
      let dead = rabbitDeadLetters(200)
      #expect(try await sink.deliverAll(dead) == 0)
      await server.stop()
      try await rabbitEventually { !sink.health.isUp }
      #expect(await sink.deliver(rabbitEvents(1)).allSatisfy { $0.line?.hasPrefix("RabbitMQ at localhost:") == true })
      try await server.startAgain()
      try await rabbitEventually { sink.health.isUp }  // although nobody delivers
      #expect(lines.all.first?.contains("CONNECTION_FORCED") == true)
      #expect(lines.all.last == "RabbitMQ at localhost:\(server.port) is back")
      #expect(try await server.probe().drain(names.deadLetters).map(\.messageID) == dead.map(\.id))
      #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])
      await sink.close()
    }
  }

  @Test func `Nothing is lost when the broker is killed in the middle of batches`() async throws {
    try await withServer { server in
      let names = RabbitNames()
      let sink = RabbitSink.make(try names.settings(server.url()))
      #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])
      let probe = try server.probe()
      try await probe.declareQueue(names.queue)
      try await probe.bind(names.queue, to: names.exchange)

      // No dead letters: a quorum queue of RabbitMQ 3.10 that is killed in its first seconds finds no leader afterwards.
      let all = rabbitEvents(6_000)
      let halves = [Array(all[..<3_000]), Array(all[3_000...])]
      var failures: [Int] = []
      for half in halves {
        async let failed = sink.deliverAll(half, batch: 1_000)
        // Once it is at work.
        let watcher = try server.probe()
        while try await watcher.count(names.queue) == 0 { await Task.yield() }
        await server.kill()
        try await server.startAgain()
        failures.append(try await failed)
        let arrived = Set(try await server.probe().drain(names.queue).map(\.messageID))
        #expect(Set(half.map(\.id)).subtracting(arrived).isEmpty)
      }
      print("RabbitMQ killed twice: \(failures) deliveries had to be repeated")
      #expect(failures.allSatisfy { $0 > 0 })
      await sink.close()
    }
  }

  @Test func `A broker that is short of memory takes nothing, says so, and holds nobody up`() async throws {
    try await withServer { server in
      let (names, lines) = (RabbitNames(), RabbitLines())
      let sink = RabbitSink.make(
        try names.settings(server.url()), limits: .answering(within: .seconds(2)), report: lines.add)
      #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])
      // Few; more than the system's buffers hold; a single one that is larger than what may be under way.
      for events in [rabbitEvents(5), rabbitEvents(4000, padding: 4000), rabbitEvents(1, padding: 30_000_000)] {
        try await server.setMemoryAlarm(true)
        let start = ContinuousClock.now
        let verdicts = await sink.deliver(events)
        #expect(ContinuousClock.now - start < .seconds(60))
        let line = "RabbitMQ at localhost:\(server.port) takes no messages for now: low on memory"
        #expect(verdicts.last == .failed(line))
        #expect(sink.health == RabbitHealth(isUp: false, trouble: line))
        let again = await sink.deliver(rabbitEvents(1))
        #expect(again == [.failed(line)])
        #expect(lines.all.contains(line))

        try await server.setMemoryAlarm(false)
        try await rabbitEventually { sink.health.isUp }
        _ = try await sink.deliverAll(rabbitEvents(2000))
        #expect(sink.health == RabbitHealth(isUp: true, trouble: nil))
      }
      await sink.close()
    }
  }

  @Test func `A broker that falls silent holds nobody up, and a delivery can be cancelled`() async throws {
    try await withServer { server in
      let names = RabbitNames()
      let sink = RabbitSink.make(try names.settings(server.url()), limits: .answering(within: .seconds(2)))
      #expect(await sink.deliver(rabbitEvents(1)) == [.delivered])
      server.signal(SIGSTOP)
      for events in [rabbitEvents(5), rabbitEvents(5)] {
        let start = ContinuousClock.now
        let verdicts = await sink.deliver(events)
        #expect(verdicts.allSatisfy { $0.line?.hasPrefix("RabbitMQ at localhost:") == true })
        #expect(ContinuousClock.now - start < .seconds(60))
      }
      server.signal(SIGCONT)
      try await rabbitEventually { sink.health.isUp }
      #expect(try await sink.deliverAll(rabbitEvents(100)) >= 0)
      await sink.close()

      let patient = RabbitSink.make(try names.settings(server.url()))
      #expect(await patient.deliver(rabbitEvents(1)) == [.delivered])
      server.signal(SIGSTOP)
      for events in [rabbitEvents(5), rabbitEvents(20_000, padding: 2000)] {
        let start = ContinuousClock.now
        let verdicts = await withTaskGroup(of: [SinkVerdict].self) { group in
          group.addTask { await patient.deliver(events) }
          group.cancelAll()
          return await group.next() ?? []
        }
        #expect(verdicts.count == events.count && verdicts.allSatisfy { $0 != .delivered })
        #expect(ContinuousClock.now - start < .seconds(60))
      }
      server.signal(SIGCONT)
      #expect(try await patient.deliverAll(rabbitEvents(100)) >= 0)
      await patient.close()
    }
  }

  @Test func `A consumer goes on when the broker is back, and what was not acknowledged comes again`() async throws {
    try await withServer { server in
      let names = RabbitNames()
      let settings = try names.settings(server.url())
      let sink = RabbitSink.make(settings)
      let dead = rabbitDeadLetters(20)
      #expect(try await sink.deliverAll(dead) == 0)
      let consumer = RabbitConsumer(
        settings, prefetch: 4, limits: .patient, random: RandomSource(seed: 1), report: { _ in })
      var seen: [String] = []
      let handled = try await consumer.consume(limit: 20) { delivery in
        seen.append(delivery.messageID ?? "")
        if seen.count == 7 {
          await server.stop()  // killed so young, its queue would find no leader
          try await server.startAgain()
        }
      }
      #expect(handled == 20)
      #expect(Set(seen) == Set(dead.map(\.id)))
      #expect(seen.count { $0 == seen[6] } == 2)  // its handler had ended when the broker was another
      let none = try await consumer.consume(untilEmpty: true) { _ in }
      #expect(none == 0)
      await sink.close()
    }
  }
}
