// Steps of schedules: of any number of them for a tick one stands, and a tick makes one task.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ScheduleStepTests {
  @Test(arguments: stores)
  func `a tick makes its task, which says whose it is, and the schedule moves on`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.written(.stub())
      #expect(try await bench.advance(bench.schedule().step(at: start)) == [.moved])
      #expect(try await bench.schedule().lookAt == start + .seconds(60))
      bench.advance(.seconds(62))
      #expect(try await bench.advance(bench.schedule().step(1, at: bench.now)) == [.made(at: bench.now)])
      let task = try await bench.record()
      #expect((task.status, task.scheduleName, task.runAt) == (.ready, "nightly", start + .seconds(60)))
      #expect((task.createdAt, task.availableAt) == (bench.now, bench.now))
      #expect(try await bench.events().map(\.type) == [.received, .ready])
      #expect(try await bench.countsByStatus() == [.ready: 1])
      let record = try await bench.schedule()
      #expect(record.handled == start + .seconds(60))
      #expect(record.lookAt == start + .seconds(120))
      #expect((record.lastRunAt, record.lastTask) == (bench.now, .stub(1)))
      #expect(try await bench.claimOne().id == .stub(1))
    }
  }

  @Test(arguments: stores)
  func `of many steps for one tick at once one makes its task`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for round in 0..<5 {
        let record = try await round == 0 ? bench.written(.stub()) : bench.schedule()
        bench.advance(.seconds(60))
        let now = bench.now
        let verdicts = try await withThrowingTaskGroup(of: [StepVerdict].self) { group in
          for number in 1...20 { group.addTask { try await bench.advance(record.step(round * 20 + number, at: now)) } }
          return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(verdicts.count { $0 == .made(at: now) } == 1)
        #expect(verdicts.count { $0 == .stale } == 19)
      }
      #expect(try await bench.countsByStatus() == [.ready: 5])
    }
  }

  @Test(arguments: stores)
  func `a tick that has its task makes no other, also where the clock was set back and the schedule changed`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.written(.stub(), revision: 1)
      for number in 1...3 {
        bench.advance(.seconds(60))
        #expect(try await bench.advance(bench.schedule().step(number, at: bench.now)) == [.made(at: bench.now)])
      }
      _ = try await bench.advance(bench.schedule().trigger(10))
      bench.time.set(start + .seconds(90))
      #expect(try await bench.advance(bench.schedule().step(4, at: bench.now)) == [.moved])
      _ = try await bench.written(.stub(paused: true), revision: 2, over: 1)
      #expect(try await bench.written(.stub(), revision: 3, over: 2).handled == bench.now)
      for number in 5...6 {
        bench.advance(.seconds(30 * Int64(number - 4)))
        #expect(try await bench.advance(bench.schedule().step(number, at: bench.now)) == [.passed])
        #expect(try await bench.schedule().handled == bench.now)
      }
      bench.advance(.seconds(60))
      #expect(try await bench.advance(bench.schedule().step(7, at: bench.now)) == [.made(at: bench.now)])
      var query = TaskQuery()
      query.scheduleName = "nightly"
      let ticks = try await bench.listAll(query).compactMap(\.runAt)
      #expect(ticks == [240, 180, 120, 60].map { start + .seconds($0) })
    }
  }

  @Test(arguments: stores)
  func `a step for what has been changed or deleted since changes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = try await bench.written(.stub(), revision: 1)
      let changed = try await bench.written(.stub(task: NewTask(type: "other")), revision: 2, over: 1)
      bench.advance(.seconds(60))
      #expect(try await bench.advance(first.step(1, at: bench.now)) == [.stale])
      #expect(try await bench.advance(first.trigger(1)) == [.stale])
      #expect(try await bench.schedule() == changed)
      _ = try await bench.store.deleteSchedule("nightly", revision: 2, actor: "key-1")
      #expect(try await bench.advance(changed.step(1, at: bench.now)) == [.stale])
      #expect(try await bench.advance(changed.trigger(1)) == [.stale])
      #expect(try await bench.countsByStatus() == [:])
    }
  }

  @Test(arguments: stores)
  func `a repeated step is answered as before and makes nothing more, also when others came between`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let record = try await bench.written(.stub())
      bench.advance(.seconds(60))
      let (step, trigger) = (record.step(1, at: bench.now), record.trigger(2))
      let made = bench.now
      #expect(try await bench.advance(step) == [.made(at: made)])
      bench.advance(.seconds(1))
      #expect(try await bench.advance(step) == [.made(at: made)])
      #expect(try await bench.advance(trigger) == [.made(at: bench.now)])
      bench.advance(.seconds(60))
      #expect(try await bench.advance(bench.schedule().step(3, at: bench.now)) == [.made(at: bench.now)])
      let before = try await bench.schedule()
      #expect(try await bench.advance(trigger) == [.made(at: made + .seconds(1))])
      #expect(try await bench.advance(step) == [.made(at: made)])
      #expect(try await bench.schedule() == before)
      #expect(try await bench.countsByStatus() == [.ready: 3])
    }
  }

  @Test(arguments: stores)
  func `steps of one call stand each by itself`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let a = try await bench.written(.stub("a"))
      let b = try await bench.written(.stub("b"))
      let c = try await bench.written(.stub("c", overlap: .skip))
      _ = try await bench.advance(c.trigger(9))
      bench.advance(.seconds(60))
      _ = try await bench.advance(b.step(1, at: bench.now))
      let gone = ScheduleRecord(
        .stub("gone"), revision: 1, createdAt: start, updatedAt: start, handled: start, lookAt: start)
      let verdicts = try await bench.advance(
        c.step(2, at: bench.now), a.step(3, at: bench.now), gone.step(4, at: bench.now), b.step(5, at: bench.now),
        try await bench.written(.stub("d")).step(at: bench.now))
      #expect(verdicts == [.passed, .made(at: bench.now), .stale, .stale, .moved])
      #expect(try await bench.countsByStatus() == [.ready: 3])
      #expect(try await bench.schedule("a").lastTask == .stub(3))
    }
  }

  @Test(arguments: stores)
  func `with overlap SKIP a tick is passed over while the latest task is not final, whoever made it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.written(.stub(overlap: .skip))
      bench.advance(.seconds(60))
      #expect(try await bench.advance(bench.schedule().step(1, at: bench.now)) == [.made(at: bench.now)])
      bench.advance(.seconds(60))
      #expect(try await bench.advance(bench.schedule().step(2, at: bench.now)) == [.passed])
      #expect(try await bench.schedule().handled == bench.now)
      #expect(try await bench.schedule().lastTask == .stub(1))
      let running = try await bench.claimOne()
      bench.advance(.seconds(60))
      #expect(try await bench.advance(bench.schedule().step(3, at: bench.now)) == [.passed])
      try await bench.finish(running.lease, .success)
      #expect(try await bench.advance(bench.schedule().trigger(4)) == [.made(at: bench.now)])
      bench.advance(.seconds(60))
      #expect(try await bench.advance(bench.schedule().step(5, at: bench.now)) == [.passed])
      // By hand it is made all the same.
      #expect(try await bench.advance(bench.schedule().trigger(6)) == [.made(at: bench.now)])
      // Only the latest counts, and what is not there any more is final.
      try await bench.steer(.cancel, .stub(6))
      bench.advance(.seconds(60))
      #expect(try await bench.advance(bench.schedule().step(7, at: bench.now)) == [.made(at: bench.now)])
      #expect(try await bench.countsByStatus() == [.ready: 2, .success: 1, .cancelled: 1])
    }
  }

  @Test(arguments: stores)
  func `a latest task that was deleted is final`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let record = try await bench.written(.stub(overlap: .skip))
      _ = try await bench.advance(record.trigger(1))
      try await bench.steer(.cancel, .stub(1))
      let all = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero)
      #expect(try await bench.store.prune(all, limit: 10) == 1)
      bench.advance(.seconds(60))
      #expect(try await bench.advance(record.step(2, at: bench.now)) == [.made(at: bench.now)])
    }
  }

  @Test(arguments: stores)
  func `a task by hand moves nothing, paused or not`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for (number, paused) in [false, true].enumerated() {
        let before = try await bench.written(.stub("s\(number)", paused: paused))
        bench.advance(.seconds(7))
        #expect(try await bench.advance(before.trigger(number + 1)) == [.made(at: bench.now)])
        var after = before
        (after.lastRunAt, after.lastTask) = (bench.now, .stub(number + 1))
        #expect(try await bench.schedule("s\(number)") == after)
      }
    }
  }

  @Test(arguments: stores)
  func `why a tick made no task is kept until the next one does, or the schedule is changed`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let record = try await bench.written(.stub())
      bench.advance(.seconds(60))
      let failing = record.step(now: bench.now, zones: .system) { (_) throws(ValidationFailure) in
        throw ValidationFailure([ValidationProblem(pointer: "/payload", detail: "is too \u{0} long")])
      }
      #expect(try await bench.advance(failing) == [.moved])
      var failed = try await bench.schedule()
      // What PostgreSQL cannot keep is replaced.
      #expect(failed.lastError?.message.hasPrefix("/task/payload is too ") == true)
      #expect((failed.lastError?.kind, failed.lastError?.at) == (.invalidTask, bench.now))
      #expect((failed.handled, failed.lastTask) == (bench.now, nil))
      _ = try await bench.advance(failed.trigger(9), failed.step(at: bench.now))
      #expect(try await bench.schedule().lastError == failed.lastError)
      bench.advance(.seconds(60))
      failed = try await bench.schedule()
      #expect(try await bench.advance(failed.step(1, at: bench.now)) == [.made(at: bench.now)])
      #expect(try await bench.schedule().lastError == nil)
      bench.advance(.seconds(60))
      let again = try await bench.schedule().step(now: bench.now, zones: .system) { (_) throws(ValidationFailure) in
        throw ValidationFailure([])
      }
      _ = try await bench.advance(again)
      #expect(try await bench.schedule().lastError != nil)
      #expect(try await bench.written(.stub(), revision: 2, over: 1).lastError == nil)
    }
  }

  @Test(arguments: stores)
  func `a tick that finds its queue full makes no task and says so, and goes on when there is room`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.maxDepth = .value(2) }
      _ = try await bench.written(.stub())
      _ = try await bench.written(.stub("other", every: 3600), revision: 2)
      for number in 1...2 {
        bench.advance(.seconds(60))
        #expect(try await bench.advance(bench.schedule().step(number, at: bench.now)) == [.made(at: bench.now)])
      }
      bench.advance(.seconds(60))
      let step = try await bench.schedule().step(3, at: bench.now)
      #expect(try await bench.advance(step) == [.queueFull("default")])
      let full = try await bench.schedule()
      #expect((full.handled, full.lastTask) == (start + .seconds(180), .stub(2)))
      #expect((full.lastError?.kind, full.lastError?.at) == (.queueFull, bench.now))
      #expect(full.lastError?.message.contains("'default'") == true)
      #expect(try await bench.advance(step) == [.stale])
      let byHand = try await bench.schedule("other")
      #expect(try await bench.advance(byHand.trigger(4)) == [.queueFull("default")])
      #expect(try await bench.schedule("other") == byHand)
      #expect(try await bench.countsByStatus() == [.ready: 2])
      #expect(try await bench.audit { $0.target = "other" }.map(\.action.rawValue) == ["schedule.put"])

      _ = try await bench.claimOne()
      bench.advance(.seconds(60))
      // One of two fits.
      #expect(
        try await bench.advance(bench.schedule().step(5, at: bench.now), byHand.trigger(6)) == [
          .made(at: bench.now), .queueFull("default"),
        ])
      #expect(try await bench.schedule().lastError == nil)
      try await bench.set { $0.maxDepth = .none }
      #expect(try await bench.advance(byHand.trigger(7)) == [.made(at: bench.now)])
    }
  }

  @Test(arguments: stores)
  func `where the latest task is not final a tick is passed over, whether its queue is full or not`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.maxDepth = .value(1) }
      _ = try await bench.written(.stub(overlap: .skip))
      for (number, verdict) in [(1, nil), (2, StepVerdict.passed)] {
        bench.advance(.seconds(60))
        let verdicts = try await bench.advance(bench.schedule().step(number, at: bench.now))
        #expect(verdicts == [verdict ?? .made(at: bench.now)])
      }
      #expect(try await bench.schedule().lastError == nil)
    }
  }

  @Test(arguments: stores)
  func `the audit has each change by somebody, once, and no ticks`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for _ in 1...2 { _ = try await bench.put(.stub(), revision: 1) }
      bench.advance(.seconds(60))
      for _ in 1...2 { _ = try await bench.put(.stub(paused: true), revision: 2, over: 1) }
      _ = try await bench.put(.stub(), revision: 3, over: 1)
      let paused = try await bench.schedule()
      for _ in 1...2 { _ = try await bench.advance(paused.trigger(1)) }
      let resumed = try await bench.written(.stub(), revision: 4, over: 2)
      bench.advance(.seconds(60))
      _ = try await bench.advance(resumed.step(2, at: bench.now))
      _ = try await bench.advance(paused.trigger(3))
      for revision: Int64 in [9, 4, 4] {
        _ = try await bench.store.deleteSchedule("nightly", revision: revision, actor: "key-2")
      }
      let entries = try await bench.audit { $0.target = "nightly" }.reversed()
      #expect(
        entries.map { "\($0.action.rawValue) \($0.actor) \($0.detail ?? "-")" } == [
          #"schedule.put key-1 {"created":true,"paused":false}"#,
          #"schedule.put key-1 {"created":false,"paused":true}"#,
          #"schedule.trigger key-1 {"taskId":"\#(TaskID.stub(1))"}"#,
          #"schedule.put key-1 {"created":false,"paused":false}"#, "schedule.delete key-2 -",
        ])
      #expect(entries.map(\.at) == [0, 60, 60, 60, 120].map { start + .seconds($0) })
    }
  }

  @Test(arguments: stores)
  func `the tasks of a schedule are listed by its name, as long as they are there`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let record = try await bench.written(.stub())
      let other = try await bench.written(.stub("other"))
      for number in 1...5 { _ = try await bench.advance((number == 3 ? other : record).trigger(number)) }
      var query = TaskQuery()
      query.scheduleName = "nightly"
      query.limit = 2
      #expect(try await bench.listAll(query).map(\.id) == [5, 4, 2, 1].map { .stub($0) })
      try await bench.steer(.cancel, .stub(4))
      let all = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero)
      #expect(try await bench.store.prune(all, limit: 10) == 1)
      #expect(try await bench.listAll(query).map(\.id) == [5, 2, 1].map { .stub($0) })
    }
  }
}
