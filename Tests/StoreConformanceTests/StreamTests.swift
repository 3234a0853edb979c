// The event stream: one order that never changes, whoever writes it, and what is kept of it.

import MartletCore
import MartletTestKit
import Testing

@Suite struct StreamTests {
  private static let hold = Duration.seconds(45)

  @Test(arguments: stores)
  func `events stand in the stream as they were appended, from position 1 on`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      #expect(try await bench.store.streamPage(after: 0, limit: 10) == StreamPage(events: [], first: 1, last: 0))
      try await bench.haveStream("a")
      let events = [event(2), event(1), event(1, 2, .started)]
      #expect(try await bench.store.appendToStream(events, relay: "a"))
      #expect(try await bench.store.appendToStream([event(3)], relay: "a"))
      let page = try await bench.store.streamPage(after: 0, limit: 10)
      #expect(page.first == 1)
      #expect(page.last == 4)
      #expect(page.events.map(\.position) == [1, 2, 3, 4])
      #expect(page.events.map(\.task) == [.stub(2), .stub(1), .stub(1), .stub(3)])
      #expect(page.events.map(\.type) == [.received, .received, .started, .received])
      #expect(Set(page.events.map(\.lane)) == [Lane(queue: "mail", type: "resize")])
      #expect(page.events.map(\.json) == (events + [event(3)]).map { $0.json(data: $0.data) })
      #expect(try await bench.store.streamPage(after: 1, limit: 2).events == Array(page.events[1...2]))
      #expect(try await bench.store.streamPage(after: 1, limit: 0) == StreamPage(events: [], first: 1, last: 4))
      #expect(try await bench.store.streamPage(after: 4, limit: 10).events == [])
    }
  }

  @Test(arguments: stores)
  func `what is told twice keeps its place`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.haveStream("a")
      #expect(try await bench.store.appendToStream([event(1), event(2)], relay: "a"))
      #expect(try await bench.store.appendToStream([event(1), event(2)], relay: "a"))
      #expect(try await bench.store.appendToStream([event(2), event(3), event(1), event(4)], relay: "a"))
      let page = try await bench.store.streamPage(after: 0, limit: 10)
      #expect(page.events.map(\.task) == [.stub(1), .stub(2), .stub(3), .stub(4)])
      #expect(page.events.map(\.position) == [1, 2, 3, 4])
      #expect(page.last == 4)
    }
  }

  @Test(arguments: stores)
  func `who has not the sink, or not any more, writes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      #expect(try await bench.store.appendToStream([event(1)], relay: "a") == false)
      try await bench.haveStream("a")
      #expect(try await bench.store.appendToStream([event(1)], relay: "b") == false)
      #expect(try await bench.store.appendToStream([event(1)], relay: "a"))
      bench.advance(Self.hold)
      #expect(try await bench.store.appendToStream([event(2)], relay: "a") == false)
      try await bench.haveStream("b")
      #expect(try await bench.store.appendToStream([event(2)], relay: "a") == false)
      #expect(try await bench.store.appendToStream([event(3)], relay: "b"))
      try await bench.store.release(sink: StreamPage.sink, relay: "b")
      #expect(try await bench.store.appendToStream([event(4)], relay: "b") == false)
      #expect(try await bench.store.streamPage(after: 0, limit: 10).events.map(\.task) == [.stub(1), .stub(3)])
    }
  }

  @Test(arguments: stores)
  func `whoever reads while relays take over from each other sees every position once, in order`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.haveStream("0")
      let total = try await withThrowingTaskGroup(of: Int.self) { group in
        for relay in 0..<4 {
          group.addTask {
            var written = 0
            for round in 0..<25 {
              // Takes what another may just be writing for; who has lost it tries all the same, as one that stood still.
              if round % 3 == 0 {
                try await bench.store.release(sink: StreamPage.sink, relay: "\((relay + 1) % 4)")
                _ = try await bench.store.takeEntries(
                  for: StreamPage.sink, relay: "\(relay)", limit: 1, hold: Self.hold)
              }
              let tasks = (0..<5).map { 1000 * (relay + 1) + round * 5 + $0 }
              if try await bench.store.appendToStream(tasks.map { event($0) }, relay: "\(relay)") {
                written += tasks.count
              }
            }
            return written
          }
        }
        group.addTask {
          var seen: [StreamedEvent] = []
          for _ in 0..<60 {
            let page = try await bench.store.streamPage(after: seen.last?.position ?? 0, limit: 7)
            #expect(page.events.map(\.position) == page.events.indices.map { Int64(seen.count + $0 + 1) })
            seen += page.events
          }
          let again = try await bench.store.streamPage(after: 0, limit: seen.count).events
          #expect(again == seen, "what was read stays as it was read")
          return 0
        }
        return try await group.reduce(0, +)
      }
      let all = try await bench.store.streamPage(after: 0, limit: 1000)
      #expect(total > 0)
      #expect(all.events.map(\.position) == (0..<total).map { Int64($0 + 1) })
      #expect(all.last == Int64(total))
    }
  }

  @Test(arguments: stores)
  func `events are deleted when they are too old, from the first on, and no position is given again`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.haveStream("a")
      #expect(try await bench.store.appendToStream([event(1), event(2), event(3)], relay: "a"))
      bench.advance(.seconds(10))
      #expect(try await bench.store.appendToStream([event(4)], relay: "a"))
      bench.advance(.milliseconds(19_999))
      #expect(try await bench.store.pruneStream(olderThan: .seconds(30), limit: 10) == 0)
      bench.advance(.milliseconds(1))
      #expect(try await bench.store.pruneStream(olderThan: .seconds(30), limit: 2) == 2)
      #expect(try await bench.store.streamPage(after: 0, limit: 10).first == 3)
      #expect(try await bench.store.pruneStream(olderThan: .seconds(30), limit: 10) == 1)
      #expect(try await bench.store.streamPage(after: 0, limit: 10).events.map(\.position) == [4])
      bench.advance(.seconds(10))
      #expect(try await bench.store.pruneStream(olderThan: .seconds(30), limit: 10) == 1)
      #expect(try await bench.store.streamPage(after: 0, limit: 10) == StreamPage(events: [], first: 5, last: 4))
      #expect(try await bench.store.pruneStream(olderThan: .seconds(30), limit: 10) == 0)
      #expect(try await bench.store.appendToStream([event(5)], relay: "a"))
      #expect(try await bench.store.streamPage(after: 0, limit: 10).events.map(\.position) == [5])
    }
  }

  @Test(arguments: stores)
  func `when the sink is forgotten its events go, and the next begin behind them`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.haveStream("a")
      #expect(try await bench.store.appendToStream([event(1), event(2)], relay: "a"))
      bench.advance(SinkState.patience - .milliseconds(1))
      try await bench.store.attend(to: [])
      #expect(try await bench.store.streamPage(after: 0, limit: 10).events.count == 2)
      bench.advance(.milliseconds(1))
      try await bench.store.attend(to: [])
      #expect(try await bench.store.streamPage(after: 0, limit: 10) == StreamPage(events: [], first: 3, last: 2))
      try await bench.haveStream("b")
      #expect(try await bench.store.appendToStream([event(1)], relay: "b"))
      #expect(try await bench.store.streamPage(after: 0, limit: 10).events.map(\.position) == [3])
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `the stream goes on where it was when the store is opened again`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.haveStream("a")
      #expect(try await bench.store.appendToStream([event(1)], relay: "a"))
      await bench.store.close()
      let again = StoreBench(
        store: try await store.make(bench.time, bench.directory), time: bench.time, directory: bench.directory)
      #expect(try await again.store.appendToStream([event(2)], relay: "a"))
      #expect(try await again.store.streamPage(after: 0, limit: 10).events.map(\.position) == [1, 2])
      await again.store.close()
    }
  }
}

private func event(_ task: Int, _ sequence: Int = 1, _ type: TaskEventType = .received) -> OutgoingEvent {
  OutgoingEvent(
    task: .stub(task), sequence: sequence, type: type, at: Timestamp(milliseconds: 1_700_000_000_000),
    lane: Lane(queue: "mail", type: "resize"), source: "/martlet/test", data: Array(#"{"queue":"mail"}"#.utf8))
}

extension StoreBench {
  /// Makes the sink known, and the relay's.
  fileprivate func haveStream(_ relay: String) async throws {
    try await store.attend(to: [StreamPage.sink])
    let taken = try await store.takeEntries(for: StreamPage.sink, relay: relay, limit: 1, hold: .seconds(45))
    try #require(taken != nil)
  }
}
