// Reading the dead-letter queue: until when, and what becomes of a message whose handler fails.

internal import Foundation
internal import MartletCore
internal import RabbitServer
internal import Testing

@testable internal import MartletEvents

struct RabbitConsumerTests {
  private func withDeadLetters(
    _ count: Int, _ body: (RabbitConsumer, _ letters: [OutgoingEvent]) async throws -> Void
  ) async throws {
    let settings = try RabbitNames().settings(try await RabbitServer.shared.url())
    let sink = RabbitSink.make(settings)
    let letters = rabbitDeadLetters(count, padding: 100)
    #expect(try await sink.deliverAll(letters) == 0)
    await sink.close()
    try await body(
      RabbitConsumer(settings, prefetch: 8, limits: .patient, random: RandomSource(seed: 1), report: { _ in }), letters)
  }

  private struct Trouble: Error {}

  @Test func `Until the queue is empty, in order and each once`() async throws {
    try await withDeadLetters(300) { consumer, letters in
      var bodies: [[UInt8]] = []
      let handled = try await consumer.consume(untilEmpty: true) { delivery in
        #expect(delivery.type == "martlet.task.dead" && !delivery.isRedelivered)
        bodies.append(delivery.body)
      }
      #expect(handled == 300)
      #expect(bodies == letters.map { $0.json(data: $0.deadLetter ?? []) })
      let none = try await consumer.consume(untilEmpty: true) { _ in }
      #expect(none == 0)
    }
  }

  @Test func `So many and no more; the others stay`() async throws {
    try await withDeadLetters(50) { consumer, letters in
      for untilEmpty in [false, true] {
        var seen: [String] = []
        let taken = try await consumer.consume(limit: 20, untilEmpty: untilEmpty) { seen.append($0.messageID ?? "") }
        #expect(taken == 20)
        #expect(seen == letters.dropFirst(untilEmpty ? 20 : 0).prefix(20).map(\.id))
      }
      let rest = try await consumer.consume(untilEmpty: true) { _ in }
      #expect(rest == 10)
      let none = try await consumer.consume(limit: 0) { _ in }
      #expect(none == 0)
    }
  }

  @Test(arguments: [false, true])
  func `A message whose handler fails goes back, and the consumer ends with that error`(_ untilEmpty: Bool) async throws
  {
    try await withDeadLetters(10) { consumer, letters in
      var seen: [String] = []
      await #expect(throws: Trouble.self) {
        try await consumer.consume(untilEmpty: untilEmpty) { delivery in
          seen.append(delivery.messageID ?? "")
          if seen.count == 4 { throw Trouble() }
        }
      }
      #expect(seen == letters.prefix(4).map(\.id))
      var rest: Set<String> = []
      var isRedelivered = false
      let handled = try await consumer.consume(untilEmpty: true) { delivery in
        rest.insert(delivery.messageID ?? "")
        if delivery.messageID == letters[3].id { isRedelivered = delivery.isRedelivered }
      }
      #expect(handled == 7)
      #expect(rest == Set(letters.suffix(7).map(\.id)))
      #expect(isRedelivered)
    }
  }

  @Test func `A consumer that is cancelled ends, and takes along only what was handled`() async throws {
    try await withDeadLetters(10) { consumer, letters in
      let handled = try await withThrowingTaskGroup(of: Int.self) { group in
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        group.addTask {
          var count = 0
          return try await consumer.consume { _ in
            count += 1
            if count == 10 { continuation.finish() }
          }
        }
        for await _ in stream {}
        group.cancelAll()  // while it waits for more, or is about to
        return try await group.next() ?? 0
      }
      #expect(handled == 10)
      let none = try await consumer.consume(untilEmpty: true) { _ in }
      #expect(none == 0)
      #expect(letters.count == 10)
    }
  }
}
