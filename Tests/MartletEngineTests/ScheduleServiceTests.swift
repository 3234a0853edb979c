// What clients can do with schedules, whose queues they may touch, and what they are told.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

private func new(_ name: String = "s", queue: String? = nil, _ change: (inout NewSchedule) -> Void = { _ in })
  -> NewSchedule
{
  var schedule = NewSchedule(name: name, task: NewTask(type: "test"))
  schedule.cron = "0 0 1 1 *"
  schedule.task.queue = queue
  change(&schedule)
  return schedule
}

private func failure(_ call: () async throws -> Void) async -> ServiceError? {
  do {
    try await call()
    return nil
  } catch {
    return error as? ServiceError
  }
}

@Suite struct ScheduleServiceTests {
  private static let bound = Credential(
    actor: "key:mail", roles: [.operator], queues: [QueuePattern("mail*")].compactMap(\.self))

  @Test func `a new schedule is told with its next ticks, and another of its name is refused`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      let view = try await service.create(new(), by: .unguarded)
      #expect(view.upcoming.map(\.description) == (2028...2037).map { "\($0)-01-01T00:00:00.000Z" })
      #expect(view.next == view.upcoming.first)
      #expect(
        await failure { _ = try await service.create(new(), by: .unguarded) }
          == .alreadyExists("s"))
      let told = try await service.schedule("s", next: 0, by: .unguarded)
      #expect((told.upcoming, told.next) == ([], view.next))
      #expect(try await service.schedule("s", next: 100, by: .unguarded).upcoming.count == 100)
    }
  }

  @Test func `a schedule is put in the place of another one, and a paused one has no next tick`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      let first = try await service.put(new(), by: .unguarded)
      let second = try await service.put(new { $0.paused = true }, by: .unguarded)
      #expect((first.isNew, second.isNew) == (true, false))
      #expect((second.schedule.next, second.schedule.upcoming) == (nil, []))
      #expect(first.schedule.record.createdAt == second.schedule.record.createdAt)
    }
  }

  @Test func `everything that is wrong is told at once, what the handler says too`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      let wrong = new {
        ($0.cron, $0.timeZone) = ("60 * * * *", "Nowhere")
        $0.task = NewTask(type: "typed", payload: Array(#"{"width":0}"#.utf8))
        $0.task.priority = 0
        $0.task.idempotencyKey = "k"
      }
      let error = await failure { _ = try await service.create(wrong, by: .unguarded) }
      guard case .invalid(let failure) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(
        failure.problems.map(\.pointer) == [
          "/cron", "/timeZone", "/task/idempotencyKey", "/task/priority", "/task/payload/width",
        ])
      let page = try await service.schedules(after: nil, limit: 10, by: .unguarded)
      #expect(page.schedules == [])
    }
  }

  @Test func `a task by hand is made at once, of a paused schedule too, and has no tick`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      _ = try await service.put(new { ($0.paused, $0.overlap) = (true, .skip) }, by: .unguarded)
      for _ in 1...2 {
        let task = try await service.trigger("s", by: .unguarded)
        #expect((task.scheduleName, task.runAt, task.status) == ("s", nil, .ready))
        try await bench.wait(for: task.id) { $0.status == .success }
        #expect(try await service.schedule("s", next: 1, by: .unguarded).record.lastTask == task.id)
      }
      #expect(
        await failure { _ = try await service.trigger("t", by: .unguarded) } == .notFound)
    }
  }

  @Test func `a task by hand whose answer was lost is named`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { operation, _ in operation == .advanceSchedules ? .after : nil }
      var options = SimulatedNode.Options()
      options.isScheduler = false
      try await bench.withNode(options: options, store: store) { node in
        let service = node.engine.schedules
        _ = try await service.put(new(), by: .unguarded)
        let error = await failure { _ = try await service.trigger("s", by: .unguarded) }
        guard case .store(.unknownOutcome, let tasks) = error else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(try await bench.record(try #require(tasks.first)).scheduleName == "s")
      }
    }
  }

  @Test func `a task by hand that is not valid any more is refused at its place`() throws {
    try EngineBench.run { bench, node in
      let task = NewTask(type: "typed", payload: Array(#"{"width":0}"#.utf8))
      let schedule = Schedule(
        name: "s", recurrence: .every(milliseconds: 1_000_000_000), misfire: .skip, overlap: .allow, paused: false,
        task: task)
      _ = try await bench.store.putSchedule(ScheduleChange(schedule, revision: 1, expected: nil, actor: "test"))
      let error = await failure {
        _ = try await node.engine.schedules.trigger("s", by: .unguarded)
      }
      #expect(
        error
          == .invalid(ValidationFailure([ValidationProblem(pointer: "/task/payload/width", detail: "must be above 0")]))
      )
    }
  }

  @Test func `who is bound to queues sees and changes the schedules of these alone`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      _ = try await service.put(new("mine", queue: "mail-out"), by: Self.bound)
      _ = try await service.put(new("other", queue: "billing"), by: .unguarded)
      _ = try await service.put(new("plain"), by: .unguarded)
      let page = try await service.schedules(after: nil, limit: 10, by: Self.bound)
      #expect(page.schedules.map(\.record.schedule.name) == ["mine"])
      for name in ["other", "plain", "none"] {
        #expect(
          await failure { _ = try await service.schedule(name, next: 1, by: Self.bound) }
            == .notFound)
        #expect(await failure { try await service.delete(name, by: Self.bound) } == .notFound)
        #expect(await failure { _ = try await service.trigger(name, by: Self.bound) } == .notFound)
      }
      for name in ["other", "plain"] {
        let write = new(name, queue: "mail")
        #expect(await failure { _ = try await service.put(write, by: Self.bound) } == .notFound)
        #expect(await failure { _ = try await service.create(write, by: Self.bound) } == .nameTaken)
        let calls: [() async throws -> Void] = [
          { _ = try await service.create(new("fresh"), by: Self.bound) },
          { _ = try await service.put(new("mine", queue: "billing"), by: Self.bound) },
        ]
        for call in calls { #expect(await failure(call) == .forbiddenQueue) }
      }
      #expect(
        await failure { _ = try await service.create(new("mine", queue: "mail"), by: Self.bound) }
          == .alreadyExists("mine"))
      #expect(try await bench.store.schedule("fresh") == nil)
      #expect(try await service.schedules(after: nil, limit: 10, by: .unguarded).schedules.count == 3)
      try await service.delete("mine", by: Self.bound)
      #expect(
        await failure { _ = try await service.delete("mine", by: Self.bound) } == .notFound
      )
    }
  }

  @Test func `a task by hand goes into no queue that is full`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      _ = try await service.put(new(queue: "small"), by: .unguarded)
      var patch = QueuePatch()
      patch.maxDepth = .value(0)
      _ = try await bench.store.change(queue: "small", patch, actor: "api")
      #expect(await failure { _ = try await service.trigger("s", by: .unguarded) } == .queueFull("small"))
    }
  }

  @Test func `pages are full over what the caller may not see, however much of it there is`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      // More than are read at a time.
      let all = (100..<560).map { "s\($0)" }
      for name in all {
        _ = try await service.put(new(name, queue: name.hasSuffix("50") ? "mail" : "billing"), by: .unguarded)
      }
      var names: [String] = []
      var pages = 0
      var next: String?
      repeat {
        let page = try await service.schedules(after: next, limit: 2, by: Self.bound)
        names += page.schedules.map(\.record.schedule.name)
        pages += 1
        next = page.next
        #expect(next == nil || next == names.last)
      } while next != nil
      #expect((names, pages) == (["s150", "s250", "s350", "s450", "s550"], 3))
    }
  }

  @Test func `of changes that meet none is lost, and each is told as it was written`() throws {
    try EngineBench.run { bench, node in
      let service = node.engine.schedules
      let told = try await withThrowingTaskGroup(of: (Int?, Bool).self) { group in
        for priority in 1...9 {
          group.addTask {
            let (view, isNew) = try await service.put(new { $0.task.priority = priority }, by: .unguarded)
            return (view.record.schedule.task.priority, isNew)
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(told.compactMap(\.0).sorted() == Array(1...9))
      #expect(told.count { $0.1 } == 1)
    }
  }
}
