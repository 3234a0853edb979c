// The outbox: that no transition is forgotten, that a task's come in order, and what relays may and may not have.

import MartletCore
import MartletTestKit
import Testing

@Suite struct OutboxTests {
  static let hold = Duration.seconds(45)

  @Test(arguments: stores)
  func `every transition from the first attendance on leaves an entry, and none before it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1))
      #expect(try await bench.store.sinks() == [])
      #expect(try await bench.take() == nil)
      try await bench.store.attend(to: ["kafka"])
      #expect(try await bench.take()?.entries == [])
      try await bench.submit(.stub(2))
      let claimed = try await bench.claim(limit: 2)
      try await bench.renew(claimed[0].lease, progress: Progress(percent: 50, message: nil))
      for task in claimed { try await bench.finish(task.lease, .success) }
      let entries = try #require(try await bench.take()).entries
      #expect(entries.filter { $0.task == .stub(1) }.map(\.sequences) == [3...3, 4...4])
      #expect(entries.filter { $0.task == .stub(2) }.map(\.sequences) == [1...2, 3...3, 4...4])
      #expect(entries.map(\.number) == entries.map(\.number).sorted())
      #expect(Set(entries.map(\.at)) == [bench.now])
    }
  }

  @Test(arguments: stores)
  func `what is done a second time leaves no second entry`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      try await bench.submit(.stub(1))
      try await bench.submit(.stub(1))
      let task = try await bench.claimOne()
      try await bench.finish(task.lease, .success)
      try await bench.finish(task.lease, .success)
      try await bench.finish(task.lease, .failed)
      try await bench.steer(.cancel)
      #expect(try await bench.takeAll().map(\.sequences) == [1...2, 3...3, 4...4])
    }
  }

  @Test(arguments: stores)
  func `each sink has entries of its own`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      try await bench.submit(.stub(1))
      try await bench.store.attend(to: ["rabbitmq"])
      try await bench.submit(.stub(2))
      let first = try #require(try await bench.take()).entries
      #expect(first.map(\.task) == [.stub(1), .stub(2)])
      try await bench.store.settleEntries(delivered: first.map(\.number), putOff: [:], for: "kafka")
      #expect(try await bench.take()?.entries == [])
      #expect(try await bench.take("rabbitmq")?.entries.map(\.task) == [.stub(2)])
      #expect(try await bench.store.sinks().map(\.name) == ["kafka", "rabbitmq"])
      #expect(try await bench.store.sinks().map(\.waiting) == [0, 1])
    }
  }

  @Test(arguments: stores)
  func `the entries tell the events of their transitions, with the attempts and errors that they are about`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      var task = AcceptedTask.stub(retries: 1)
      task.backoff = RetryPolicy(strategy: .fixed, baseSeconds: 1, jitter: 0)
      try await bench.submit(task)
      try await bench.finish(try await bench.claimOne().lease, .failed)
      bench.advance(.seconds(1))
      try await bench.promote()
      try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)), logs: ["so"])
      try await bench.steer(.retry)
      let page = try #require(try await bench.take())
      let story = try #require(page.stories[.stub(1)])
      #expect(story.events == (try await bench.events()))
      #expect(page.entries.flatMap { Array($0.sequences) } == story.events.map(\.sequence))
      var record = try await bench.record()
      record.payload = nil
      #expect(story.record == record)
      let told = story.events.compactMap { event in
        story.attempts[event.sequence].map { "\(event.type.rawValue) \($0)" }
      }
      #expect(told == ["started 1", "failed 1", "retry 1", "started 2", "failed 2", "dead 2"])
      #expect(story.errors.keys.sorted() == [1, 2])
      #expect(story.errors[2] == .stub)
    }
  }

  @Test(arguments: stores)
  func `while one relay has a sink no other gets its entries, until the time is over or it lets go`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      try await bench.submit(.stub(1))
      #expect(try await bench.take(relay: "a")?.entries.count == 1)
      #expect(try await bench.take(relay: "b") == nil)
      #expect(try await bench.store.sinks().first?.relay == "a")
      bench.advance(Self.hold - .milliseconds(1))
      #expect(try await bench.take(relay: "b") == nil)
      #expect(try await bench.take(relay: "a")?.entries.count == 1)  // and prolongs it
      bench.advance(Self.hold - .milliseconds(1))
      #expect(try await bench.take(relay: "b") == nil)
      bench.advance(.milliseconds(1))
      #expect(try await bench.take(relay: "b")?.entries.count == 1)
      #expect(try await bench.take(relay: "a") == nil)
      try await bench.store.release(sink: "kafka", relay: "a")
      #expect(try await bench.take(relay: "a") == nil)
      try await bench.store.release(sink: "kafka", relay: "b")
      #expect(try await bench.store.sinks().first?.relay == nil)
      #expect(try await bench.take(relay: "a")?.entries.count == 1)
    }
  }

  @Test(arguments: stores)
  func `what is put off waits, with what its task did later, and keeps no other waiting`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      try await bench.submit([.stub(1), .stub(2)])
      let first = try #require(try await bench.take()).entries
      let late = try #require(first.first { $0.task == .stub(1) })
      try await bench.store.settleEntries(delivered: [], putOff: [late.number: .seconds(5)], for: "kafka")
      for task in try await bench.claim(limit: 2) { try await bench.finish(task.lease, .success) }
      bench.advance(.milliseconds(4999))
      #expect(Set(try await bench.takeAll().map(\.task)) == [.stub(2)])
      bench.advance(.milliseconds(1))
      let all = try await bench.takeAll()
      #expect(all.filter { $0.task == .stub(1) }.map(\.sequences) == [1...2, 3...3, 4...4])
      #expect(all.first { $0.number == late.number }?.tries == 1)
    }
  }

  @Test(arguments: stores)
  func `entries are read oldest first, no more than asked for, and each until it is settled`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      for number in 1...10 { try await bench.submit(.stub(number)) }
      for number in stride(from: 1, through: 9, by: 2) {
        let page = try #require(try await bench.take(limit: 2))
        #expect(page.entries.map(\.task) == [.stub(number), .stub(number + 1)])
        #expect(try await bench.take(limit: 2) == page)
        try await bench.store.settleEntries(delivered: page.entries.map(\.number), putOff: [:], for: "kafka")
      }
      #expect(try await bench.take()?.entries == [])
      #expect(try await bench.store.sinks().map(\.oldest) == [nil])
    }
  }

  @Test(arguments: stores)
  func `neither retention nor a purge removes a task of which somebody has not heard`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      try await bench.bring(.stub(1), to: .success)
      try await bench.bring(.stub(2), to: .dead)
      bench.advance(.seconds(3600))
      let policy = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .zero)
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      let purge = try await bench.runBulk(.stub(1, .purge)).job
      #expect(purge.changed == 0)
      #expect(purge.failed == 1)
      let numbers = try await bench.takeAll().map(\.number)
      try await bench.store.settleEntries(delivered: numbers, putOff: [:], for: "kafka")
      #expect(try await bench.store.prune(policy, limit: 10) == 2)
    }
  }

  @Test(arguments: stores)
  func `a sink that nobody attends to for three days is forgotten with its entries`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka", "rabbitmq"])
      try await bench.submit(.stub(1))
      bench.advance(SinkState.patience - .milliseconds(1))
      try await bench.store.attend(to: ["rabbitmq"])
      #expect(try await bench.store.sinks().map(\.name) == ["kafka", "rabbitmq"])
      bench.advance(.milliseconds(1))
      try await bench.store.attend(to: ["rabbitmq"])
      #expect(try await bench.store.sinks().map(\.name) == ["rabbitmq"])
      bench.advance(SinkState.patience)
      try await bench.store.attend(to: [])
      #expect(try await bench.store.sinks() == [])
      try await bench.submit(.stub(2))
      try await bench.store.attend(to: ["kafka"])
      #expect(try await bench.take()?.entries == [])
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `what was not delivered is there when the store is opened again`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.store.attend(to: ["kafka"])
      try await bench.submit(.stub(1))
      await bench.store.close()
      let again = StoreBench(
        store: try await store.make(bench.time, bench.directory), time: bench.time, directory: bench.directory)
      #expect(try await again.take()?.entries.map(\.sequences) == [1...2])
      try await again.submit(.stub(2))
      #expect(try await again.takeAll().count == 2)
      await again.store.close()
    }
  }
}

extension StoreBench {
  fileprivate func take(
    _ sink: String = "kafka", relay: String = "relay", limit: Int = 1000
  ) async throws -> OutboxPage? {
    try await store.takePage(for: sink, relay: relay, limit: limit, hold: OutboxTests.hold)
  }

  /// What may be had now, in as many looks as that takes.
  fileprivate func takeAll() async throws -> [OutboxEntry] {
    var most: [OutboxEntry] = []
    // Where a store remembers a place, it looks behind it now and then.
    for _ in 1...25 {
      let entries = try #require(try await take()).entries
      if entries.count > most.count { most = entries }
    }
    return most
  }
}
