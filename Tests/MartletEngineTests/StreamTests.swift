// The event stream of the engine: who hears what on which node, and what it costs when nobody listens.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct StreamTests {
  private static func options(feeds: Bool = true, kept: Duration = .seconds(3600)) -> SimulatedNode.Options {
    var options = SimulatedNode.Options()
    options.streamKept = kept
    options.feedsStream = feeds
    return options
  }

  private static func listen(
    _ node: SimulatedNode, after position: Int64? = 0, _ filter: StreamFilter = StreamFilter()
  ) async throws -> StreamListener {
    try await #require(node.engine.service.stream).listen(for: filter, after: position)
  }

  /// What a listener hears until it has been quiet for 3 s.
  private static func heard(_ listener: StreamListener) async -> [StreamedEvent] {
    var heard: [StreamedEvent] = []
    while case .events(let events) = await listener.next(within: .seconds(3)) { heard += events }
    return heard
  }

  @Test func `a task that succeeds is four events at the next four positions`() throws {
    try EngineBench.run(options: Self.options()) { bench, node in
      try await bench.clock.sleep(for: .seconds(1))
      let listener = try await Self.listen(node)
      let id = try await bench.submit(node)
      let heard = await Self.heard(listener)
      #expect(heard.map(\.position) == [1, 2, 3, 4])
      #expect(heard.map(\.type) == [.received, .ready, .started, .succeeded])
      #expect(heard.allSatisfy { $0.task == id })
      #expect(await node.engine.service.readiness().components.contains { $0.name == "stream" && $0.isHealthy })
    }
  }

  @Test func `while nobody listens nothing is read, and while somebody does all share what is read`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { _, _ in nil }
      try await bench.withNode(options: Self.options(), store: store) { node in
        try await bench.clock.sleep(for: .seconds(60))
        #expect(store.calls(of: .streamPage) == 0)
        var listeners: [StreamListener] = []
        for _ in 0..<50 { listeners.append(try await Self.listen(node, after: nil)) }
        let before = store.calls(of: .streamPage)
        for _ in 0..<20 { try await bench.submit(node) }
        for listener in listeners { #expect(await Self.heard(listener).count == 80) }
        let after = store.calls(of: .streamPage)
        #expect(after - before < 50 * 20, "one reader for all")
        listeners = []
        try await bench.clock.sleep(for: .seconds(1))
        let last = store.calls(of: .streamPage)
        try await bench.clock.sleep(for: .seconds(60))
        #expect(store.calls(of: .streamPage) == last)
      }
    }
  }

  @Test func `who listens on one node hears what another has done, also when the one that tells dies`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      try await bench.withNode(process: 1, options: Self.options()) { first in
        try await bench.clock.sleep(for: .seconds(1))
        try await bench.withNode(process: 2, options: Self.options()) { second in
          let listener = try await Self.listen(second)
          try await bench.wait(for: try await bench.submit(first))
          #expect(await Self.heard(listener).map(\.position) == [1, 2, 3, 4])
          first.crash()
          try await bench.wait(for: try await bench.submit(second))
          try await bench.clock.sleep(for: .seconds(15))
          #expect(await Self.heard(listener).map(\.position) == [5, 6, 7, 8])
        }
      }
    }
  }

  @Test func `a store that fails for a while costs time only`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { operation, number in
        switch operation {
        case .appendToStream: number % 3 == 1 ? .after : number % 3 == 2 ? .before : nil
        case .streamPage: number > 1 && number % 2 == 0 ? .before : nil
        default: nil
        }
      }
      try await bench.withNode(options: Self.options(), store: store) { node in
        try await bench.clock.sleep(for: .seconds(1))
        let listener = try await Self.listen(node)
        for _ in 0..<5 { try await bench.wait(for: try await bench.submit(node)) }
        try await bench.clock.sleep(for: .seconds(60))
        // It may be unlucky each time that it asks for a while.
        var heard: [StreamedEvent] = []
        for _ in 0..<200 where heard.count < 20 {
          if case .events(let events) = await listener.next(within: .milliseconds(3100)) { heard += events }
        }
        #expect(heard.map(\.position) == (1...20).map { Int64($0) })
        for (_, events) in Dictionary(grouping: heard, by: \.task) {
          #expect(events.map(\.type) == [.received, .ready, .started, .succeeded])
        }
      }
    }
  }

  @Test func `events go when they are too old, and who wanted to hear them is sent away`() throws {
    try EngineBench.run(options: Self.options(kept: .seconds(30))) { bench, node in
      try await bench.clock.sleep(for: .seconds(1))
      let listener = try await Self.listen(node)
      try await bench.wait(for: try await bench.submit(node))
      try await bench.clock.sleep(for: .seconds(60))
      #expect(try await bench.store.streamPage(after: 0, limit: 10) == StreamPage(events: [], first: 5, last: 4))
      // It has not looked before, and the window of the node still has them.
      #expect(await Self.heard(listener).count == 4)
      await #expect(throws: StreamRefusal.self) { _ = try await Self.listen(node, after: 3) }
      await #expect(throws: StreamRefusal.self) { _ = try await Self.listen(node, after: 5) }
      let late = try await Self.listen(node, after: 4)
      try await bench.wait(for: try await bench.submit(node))
      #expect(await Self.heard(late).map(\.position) == [5, 6, 7, 8])
    }
  }

  @Test func `a node that does not feed the stream hands it on all the same, and one that drains sends all away`()
    throws
  {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      try await bench.withNode(process: 1, options: Self.options()) { first in
        try await bench.clock.sleep(for: .seconds(1))
        try await bench.withNode(process: 2, options: Self.options(feeds: false)) { second in
          #expect(await second.engine.service.readiness().components.allSatisfy { $0.name != "stream" })
          let listener = try await Self.listen(second)
          try await bench.wait(for: try await bench.submit(first))
          #expect(await Self.heard(listener).count == 4)
          second.engine.drain()
          guard case .ended = await listener.next(within: .seconds(3600)) else {
            Issue.record("it goes on")
            return
          }
        }
      }
    }
  }
}
