// Schedules: their definitions, and when they are due.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ScheduleTests {
  // MARK: Definitions

  @Test(arguments: stores)
  func `a new schedule is created now, with its ticks up to now handled, and is due to be looked at`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let record = try await bench.written(.stub())
      #expect(
        record
          == ScheduleRecord(
            .stub(), revision: 1, createdAt: start, updatedAt: start, handled: start, lookAt: start))
      #expect(try await bench.schedule() == record)
      #expect(try await bench.due() == DueSchedules(now: start, schedules: [record], nextIn: nil))
      #expect(try await bench.store.schedule("Nightly") == nil)
    }
  }

  @Test(arguments: stores)
  func `every field of a definition comes back as it was given`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var task = NewTask(type: "a.B_c:1-2", payload: Array(#"{ "b": "\u0000é", "a": [1.0, 1e3] }"#.utf8))
      task.queue = "q"
      task.priority = 9
      task.retries = 0
      task.backoff = NewTask.Backoff()
      task.backoff?.strategy = .linear
      task.backoff?.baseSeconds = 0.1
      task.timeoutSeconds = 1.5
      task.leaseSeconds = 7
      task.tags = ["é", "a\"b\\"]
      task.metadata = ["k\u{202E}": "", "z": "\u{1F426}"]
      task.concurrencyKey = "customer 7"
      let given = Schedule(
        name: "a.B_c:1-2", recurrence: .cron(try CronExpression("@daily"), timeZone: "Europe/Berlin"),
        misfire: .fireOnce, overlap: .skip, paused: true, task: task)
      let record = try await bench.written(given, revision: .min)
      #expect(record.schedule == given)
      #expect(record.lookAt == nil)
      let found = try await bench.schedule(given.name)
      #expect(found == record)
      #expect(found.schedule.recurrence.cronColumns?.cron == "@daily")
      #expect(found.schedule.task.payload == task.payload)
      // The least that there can be.
      let least = Schedule.stub("least", every: 1, task: NewTask(type: "t"))
      #expect(try await bench.written(least, revision: .max).schedule == least)
    }
  }

  @Test(arguments: stores)
  func `a schedule that is not as expected is left as it is`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      #expect(try await bench.put(.stub(), revision: 1, over: 7) == .conflict)
      #expect(try await bench.store.schedule("nightly") == nil)
      let record = try await bench.written(.stub(), revision: 1)
      #expect(try await bench.put(.stub(every: 5), revision: 2) == .conflict)
      #expect(try await bench.put(.stub(every: 5), revision: 2, over: 7) == .conflict)
      #expect(try await bench.schedule() == record)
    }
  }

  @Test(arguments: stores)
  func `the same change again changes nothing and is answered as before`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let created = try await bench.written(.stub(), revision: 1)
      bench.advance(.seconds(5))
      #expect(try await bench.put(.stub(), revision: 1) == .done(created))
      let changed = try await bench.written(.stub(every: 5), revision: 2, over: 1)
      bench.advance(.seconds(5))
      #expect(try await bench.put(.stub(every: 5), revision: 2, over: 1) == .done(changed))
      #expect(try await bench.schedule() == changed)
    }
  }

  @Test(arguments: stores)
  func `a change keeps creation, latest task and, but for another recurrence or the end of a pause, what is handled`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.written(.stub(), revision: 1)
      bench.advance(.seconds(61))
      #expect(try await bench.advance(bench.schedule().step(1, at: bench.now)) == [.made(at: bench.now)])
      let handled = start + .seconds(60)
      var task = NewTask(type: "resize")
      task.priority = 9
      bench.advance(.seconds(10))
      let other = try await bench.written(.stub(task: task), revision: 2, over: 1)
      #expect(
        other
          == ScheduleRecord(
            .stub(task: task), revision: 2, createdAt: start, updatedAt: bench.now, handled: handled,
            lookAt: bench.now, lastRunAt: start + .seconds(61), lastTask: .stub(1)))
      let paused = try await bench.written(.stub(paused: true, task: task), revision: 3, over: 2)
      #expect((paused.handled, paused.lookAt) == (handled, nil))
      let resumed = try await bench.written(.stub(task: task), revision: 4, over: 3)
      #expect((resumed.handled, resumed.lookAt) == (bench.now, bench.now))
      bench.advance(.seconds(1))
      let recurring = try await bench.written(.stub(every: 61, task: task), revision: 5, over: 4)
      #expect(recurring.handled == bench.now)
      #expect(recurring.createdAt == start)
      #expect(try await bench.schedule() == recurring)
    }
  }

  @Test(arguments: stores)
  func `of many changes at once over the same definition one is written`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let verdicts = try await withThrowingTaskGroup(of: ScheduleVerdict.self) { group in
        for revision in 1...20 { group.addTask { try await bench.put(.stub(), revision: Int64(revision)) } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(verdicts.count { $0 != .conflict } == 1)
    }
  }

  @Test(arguments: stores)
  func `a schedule is deleted if it is the one that was meant; its tasks stay`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.written(.stub(), revision: 1)
      _ = try await bench.advance(bench.schedule().trigger(1))
      #expect(try await bench.store.deleteSchedule("nightly", revision: 2, actor: "key-1") == false)
      #expect(try await bench.schedule().revision == 1)
      #expect(try await bench.store.deleteSchedule("nightly", revision: 1, actor: "key-1"))
      #expect(try await bench.store.schedule("nightly") == nil)
      #expect(try await bench.store.deleteSchedule("nightly", revision: 1, actor: "key-1"))
      #expect(try await bench.record().scheduleName == "nightly")
      #expect(try await bench.due().schedules == [])
      // One of the same name is another.
      bench.advance(.seconds(1))
      let again = try await bench.written(.stub(), revision: 3)
      #expect((again.createdAt, again.lastTask) == (bench.now, nil))
    }
  }

  @Test(arguments: stores)
  func `schedules are listed by name, byte by byte, in pages and without payloads`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let names = ["B", "a", "a-", "a.", "a0", "aA", "a_", "aa", "b"]
      for (number, name) in names.shuffled().enumerated() {
        let task = NewTask(type: "t", payload: Array("[\(number)]".utf8))
        _ = try await bench.written(.stub(name, task: task), revision: Int64(number))
      }
      var found: [ScheduleRecord] = []
      while true {
        let page = try await bench.store.schedules(after: found.last?.schedule.name, limit: 2)
        #expect(page.count <= 2)
        if page.isEmpty { break }
        found += page
      }
      #expect(found.map(\.schedule.name) == names)
      #expect(found.allSatisfy { $0.schedule.task.payload.isEmpty })
    }
  }

  /// Each operation by its name in `StoreOperation`.
  static func calls(of store: any TaskStore) -> [(String, () async throws -> Void)] {
    let change = ScheduleChange(.stub(), revision: 1, expected: nil, actor: "key-1")
    return [
      ("putSchedule", { _ = try await store.putSchedule(change) }),
      ("deleteSchedule", { _ = try await store.deleteSchedule("a", revision: 1, actor: "key-1") }),
      ("schedule", { _ = try await store.schedule("a") }),
      ("schedules", { _ = try await store.schedules(after: nil, limit: 1) }),
      ("dueSchedules", { _ = try await store.dueSchedules(limit: 1) }),
      (
        "advanceSchedules",
        {
          let step = ScheduleStep(name: "a", revision: 1, move: nil, task: .stub(), actor: "key-1")
          _ = try await store.advanceSchedules([step])
        }
      ),
    ]
  }

  // MARK: Due

  @Test(arguments: stores)
  func `the longest due are told first, and when the next will be`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for (number, name) in ["c", "a", "b"].enumerated() {
        _ = try await bench.written(.stub(name, every: 60 - Int64(number)), revision: Int64(number))
      }
      _ = try await bench.written(.stub("paused", paused: true), revision: 9)
      #expect(try await bench.due().schedules.map(\.schedule.name) == ["a", "b", "c"])
      for name in ["a", "b", "c"] { _ = try await bench.advance(bench.schedule(name).step(at: start)) }
      #expect(try await bench.due() == DueSchedules(now: start, schedules: [], nextIn: .seconds(58)))
      bench.advance(.seconds(59))
      let due = try await bench.due()
      #expect(due.schedules.map(\.schedule.name) == ["b", "a"])
      #expect(due.nextIn == .seconds(1))
      let some = try await bench.due(limit: 1)
      #expect(some.schedules.map(\.schedule.name) == ["b"])
      #expect(some.nextIn == .zero)
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `schedules are there when the store is opened again`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let record = try await bench.written(.stub())
      bench.advance(.seconds(60))
      _ = try await bench.advance(record.step(1, at: bench.now))
      let before = try await bench.schedule()
      await bench.store.close()
      let again = try await store.make(bench.time, bench.directory)
      #expect(try await again.schedule("nightly") == before)
      #expect(try await again.advanceSchedules([record.step(2, at: bench.now)]) == [.stale])
      await again.close()
    }
  }
}
