// What a submission writes, and that repeating it writes nothing.

import MartletCore
import MartletTestKit
import Testing

@Suite struct SubmitTests {
  @Test(arguments: stores)
  func `a due task is READY at once, and its history says received and ready`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      let task = try await bench.record()
      #expect(task.status == .ready)
      #expect(task.availableAt == start)
      #expect(
        try await bench.events() == [event(1, .received, start, by: "api"), event(2, .ready, start, by: "api")])
      #expect(try await bench.attempts() == [])
    }
  }

  @Test(arguments: stores)
  func `the history says who submitted it, however it was written, and the first stays`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      func task(_ number: Int, by actor: String, _ change: (inout AcceptedTask) -> Void = { _ in }) -> AcceptedTask {
        var task = AcceptedTask.stub(number)
        task.submittedBy = actor
        change(&task)
        return task
      }
      try await bench.submit(task(1, by: "key:shop"), task(2, by: "token:\u{1F426} \u{0}"), task(3, by: "api"))
      let keyed = task(4, by: "key:shop") { $0.concurrencyKey = "a" }
      let child = task(5, by: "key:shop") { $0.dependencies = [.stub(1)] }
      try await bench.submit(keyed)
      try await bench.submit(child)
      try await bench.submit(task(1, by: "key:other"))
      for (number, actor) in [
        (1, "key:shop"), (2, "token:\u{1F426} \u{0}"), (3, "api"), (4, "key:shop"), (5, "key:shop"),
      ] {
        #expect(try await bench.events(.stub(number)).first == event(1, .received, start, by: actor), "\(number)")
      }
    }
  }

  @Test(arguments: stores)
  func `a task for later is PENDING, and its history says received alone`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(eligible: .after(.milliseconds(1))))
      #expect(try await bench.record().status == .pending)
      #expect(try await bench.events() == [event(1, .received, start, by: "api")])
    }
  }

  @Test(arguments: stores)
  func `a delay is counted from the store's own clock`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      bench.advance(.seconds(100))
      try await bench.submit(.stub(eligible: .after(.milliseconds(1500))))
      let task = try await bench.record()
      #expect(task.createdAt == start + .seconds(100))
      #expect(task.availableAt == start + .milliseconds(101_500))
    }
  }

  @Test(arguments: stores)
  func `a time that has passed counts as now`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1, eligible: .at(start + .seconds(-3600))), .stub(2, eligible: .at(start)),
        .stub(3, eligible: .after(.seconds(-5))))
      for number in 1...3 {
        let task = try await bench.record(.stub(number))
        #expect(task.status == .ready)
        #expect(task.availableAt == start)
      }
    }
  }

  @Test(arguments: stores)
  func `a delay beyond the last time that can be written ends there`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(eligible: .after(.seconds(Int64.max))))
      #expect(try await bench.record().availableAt == .latest)
    }
  }

  @Test(arguments: stores)
  func `the record that follows from the time of acceptance is what was written`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let tasks = [
        AcceptedTask.stub(1),
        AcceptedTask.stub(
          2, type: "mail", queue: "slow", payload: #"{"to":"a@b.c"}"#, priority: 9, eligible: .after(.seconds(60)),
          runAt: start + .seconds(60), retries: 0,
          backoff: RetryPolicy(strategy: .linear, baseSeconds: 2.5, factor: 3, maxSeconds: 77, jitter: 0.25),
          timeout: .milliseconds(1), lease: .seconds(3600), expiresAt: start + .seconds(90), tags: ["b", "a", "b"],
          metadata: ["order": "42", "empty": ""],
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
          replayOf: .stub(1)),
      ]
      let verdicts = try await bench.store.submit([Submission(tasks)])
      #expect(verdicts == [.accepted(at: start)])
      for task in tasks {
        #expect(try await bench.record(task.id) == TaskRecord(task, acceptedAt: start))
      }
    }
  }

  @Test(arguments: stores)
  func `a repeated submission changes nothing and is answered with the first acceptance`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(1))
      try await bench.finish(claimed.lease, .success(result: Array("1".utf8)))
      let before = try await bench.record()
      let events = try await bench.events()
      bench.advance(.seconds(10))
      let other = AcceptedTask.stub(1, type: "other", queue: "other", payload: "[]", eligible: .after(.seconds(5)))
      #expect(try await bench.store.submit([Submission([.stub(1)])]) == [.accepted(at: start)])
      #expect(try await bench.store.submit([Submission([other])]) == [.accepted(at: start)])
      #expect(try await bench.record() == before)
      #expect(try await bench.events() == events)
      #expect(try await bench.countsByStatus() == [.success: 1])
    }
  }

  @Test(arguments: stores)
  func `an id that comes twice in one call is one task, the first`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let verdicts = try await bench.store.submit([
        Submission([.stub(1, payload: "1"), .stub(1, payload: "2")]), Submission([.stub(1, payload: "3")]),
      ])
      #expect(verdicts == [.accepted(at: start), .accepted(at: start)])
      #expect(try await bench.record().payload == Array("1".utf8))
      #expect(try await bench.countsByStatus() == [.ready: 1])
      #expect(try await bench.claim(limit: 5).count == 1)
    }
  }

  @Test(arguments: stores)
  func `each submission of a call has its verdict, in order`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(2))
      bench.advance(.seconds(1))
      let verdicts = try await bench.store.submit([
        Submission([.stub(1)]), Submission([.stub(2)]), Submission([.stub(3), .stub(4)]),
      ])
      let now = start + .seconds(1)
      #expect(verdicts == [.accepted(at: now), .accepted(at: start), .accepted(at: now)])
      #expect(try await bench.countsByStatus() == [.ready: 4])
      #expect(try await bench.record(.stub(4)).createdAt == now)
    }
  }

  @Test(arguments: stores)
  func `submitting nothing is answered with nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let verdicts = try await bench.store.submit([])
      #expect(verdicts == [])
      #expect(try await bench.store.submit([Submission([])]) == [.accepted(at: start)])
      #expect(try await bench.store.counts() == [])
    }
  }

  @Test(arguments: stores)
  func `a thousand tasks of one submission are all stored`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...1000).map { .stub($0, eligible: $0.isMultiple(of: 2) ? .now : .after(.seconds(1))) })
      #expect(try await bench.countsByStatus() == [.ready: 500, .pending: 500])
      var query = TaskQuery()
      query.limit = 1000
      #expect(try await bench.listAll(query).map(\.id) == (1...1000).reversed().map { TaskID.stub($0) })
    }
  }
}
