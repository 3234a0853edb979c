// Schedules through time: on one node and on several, with restarts, lost answers and schedules that are of no use any more.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

/// Where the clock of a bench begins.
private let begin = Timestamp("2027-01-15T08:00:00Z")!

extension EngineBench {
  /// What the schedule has made, first to last.
  fileprivate func made(by name: String = "s") async throws -> [TaskRecord] {
    var query = TaskQuery()
    query.scheduleName = name
    query.limit = 1000
    return try await store.list(query).tasks.reversed()
  }

  fileprivate func rest(_ seconds: Double) async throws {
    try await clock.sleep(for: .milliseconds(Int64(seconds * 1000)))
  }

  /// Written past the service.
  fileprivate func put(
    _ name: String = "s", _ recurrence: Recurrence = .every(milliseconds: 60_000),
    misfire: Schedule.Misfire = .skip, overlap: Schedule.Overlap = .allow, task: NewTask = NewTask(type: "test")
  ) async throws {
    let schedule = Schedule(
      name: name, recurrence: recurrence, misfire: misfire, overlap: overlap, paused: false, task: task)
    _ = try await store.putSchedule(
      ScheduleChange(schedule, revision: Int64(name.hashValue), expected: nil, actor: "test"))
  }
}

private func new(_ name: String = "s", _ change: (inout NewSchedule) -> Void = { _ in }) -> NewSchedule {
  var schedule = NewSchedule(name: name, task: NewTask(type: "test"))
  schedule.everySeconds = 60
  change(&schedule)
  if schedule.cron != nil { schedule.everySeconds = nil }
  return schedule
}

extension SimulatedNode {
  fileprivate func put(_ schedule: NewSchedule) async throws {
    _ = try await engine.schedules.put(schedule, by: .unguarded)
  }
}

@Suite struct ScheduleRunnerTests {
  @Test func `a tick makes its task at its time and not before, and the task knows which tick it is`() throws {
    try EngineBench.run { bench, node in
      try await bench.rest(10.5)
      try await node.put(new { ($0.cron, $0.timeZone) = ("*/2 * * * *", "Europe/Berlin") })
      try await bench.rest(600)
      let made = try await bench.made()
      #expect(made.map(\.runAt) == (1...5).map { begin + .seconds($0 * 120) })
      for task in made {
        let late = try #require(task.runAt.map { task.createdAt - $0 })
        #expect(late >= .zero && late < .milliseconds(100), "\(late)")
        #expect(task.status == .success)
        #expect(task.scheduleName == "s")
      }
    }
  }

  @Test func `what its type has a default for and the schedule leaves out is filled in at each tick, and by hand`()
    throws
  {
    try EngineBench.run { bench, node in
      try await node.put(new { $0.task.priority = 7 })
      var settings = TypeSettings()
      settings.defaults.queue = "reports"
      settings.defaults.priority = 2
      settings.defaults.retries = 8
      _ = try await node.engine.service.rules.put(type: "test", settings, actor: "api")
      try await bench.rest(65)
      let byHand = try await node.engine.schedules.trigger("s", by: Credential(actor: "key:ops", roles: [.operator]))
      let made = try await bench.made()
      #expect(made.count == 2 && made.map(\.id).contains(byHand.id))
      for task in made { #expect((task.queue, task.priority, task.retries) == ("reports", 7, 8)) }
      var actors: [String?] = []
      for task in made { actors.append(try await bench.store.events(of: task.id)?.first?.actor) }
      #expect(actors == ["scheduler", "key:ops"])
    }
  }

  @Test func `an interval goes on from its creation, also with another task`() throws {
    try EngineBench.run { bench, node in
      try await node.put(new { $0.everySeconds = 7 })
      let created = try #require(try await bench.store.schedule("s")).createdAt
      try await bench.rest(30)
      try await node.put(
        new {
          $0.everySeconds = 7
          $0.task.priority = 9
        })
      try await bench.rest(30)
      let made = try await bench.made()
      #expect(made.map(\.runAt) == (1...8).map { created + .seconds($0 * 7) })
      #expect(made.map(\.priority) == [5, 5, 5, 5, 9, 9, 9, 9])
    }
  }

  @Test func `several schedules that are due at once, more than one look takes, all have their ticks`() throws {
    try EngineBench.run { bench, node in
      for number in 0..<120 { try await node.put(new("s\(number)") { $0.cron = "* * * * *" }) }
      try await bench.rest(121)
      for number in 0..<120 { #expect(try await bench.made(by: "s\(number)").count == 2) }
    }
  }

  @Test(arguments: 1...12)
  func `of several nodes one has a tick, whatever is lost between them and the store`(seed: UInt64) throws {
    try simulate(seed: seed) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let wire = HintWire(
        scheduler: scheduler, random: RandomSource(seed: seed), counters: bench.counters, loss: 0.3)
      var options = SimulatedNode.Options()
      options.wire = wire
      var faults = LinkFaults()
      (faults.failsBefore, faults.losesAnswer, faults.duplicates) = (0.1, 0.1, 0.1)
      faults.longestLatency = .milliseconds(50)
      try await bench.put("s", .every(milliseconds: 5000))
      try await bench.put("slow", .cron(try CronExpression("* * * * *"), timeZone: "America/New_York"))
      let counts = try await bench.withNode(process: 1, options: options) { [options, faults] one in
        try await bench.withNode(process: 2, options: options) { two in
          try await bench.withNode(process: 3, options: options) { three in
            for node in [one, two, three] { node.link.faults = faults }
            try await bench.rest(601)
            for node in [one, two, three] { node.link.faults = LinkFaults() }
            return (try await bench.made(), try await bench.made(by: "slow"))
          }
        }
      }
      #expect(counts.0.map(\.runAt) == (1...120).map { begin + .seconds($0 * 5) })
      #expect(counts.1.map(\.runAt) == (1...10).map { begin + .seconds($0 * 60) })
      #expect(bench.counters.all["answer lost after commit", default: 0] > 0)
    }
  }

  @Test(arguments: [(Schedule.Misfire.skip, [2, 5, 6]), (.fireOnce, [2, 4, 5, 6])])
  func `after hours without a scheduler SKIP goes on with the next tick, FIRE_ONCE with the last one missed`(
    misfire: Schedule.Misfire, hours: [Int64]
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      try await bench.withNode(process: 1) { node in
        try await node.put(new { ($0.cron, $0.misfire) = ("0 10-23 * * *", misfire) })
        try await bench.rest(2.5 * 3600)
      }
      try await bench.rest(2 * 3600)  // 12:30: those of 11 and 12 were missed
      try await bench.withNode(process: 2) { _ in try await bench.rest(1.6 * 3600) }
      let made = try await bench.made()
      #expect(made.map(\.runAt) == hours.map { begin + .seconds($0 * 3600) })
      if misfire == .fireOnce { #expect(made[1].createdAt - begin > .seconds(4 * 3600 + 1800)) }
    }
  }

  @Test func `a restart within a minute loses no tick`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      try await bench.put("s", .every(milliseconds: 60_000))
      for process in 1...5 {
        try await bench.withNode(process: process) { _ in try await bench.rest(91) }
        try await bench.rest(30)  // every second tick falls into the pause
      }
      #expect(try await bench.made().map(\.runAt) == (1...9).map { begin + .seconds($0 * 60) })
    }
  }

  @Test(arguments: [(0.0, 0.0..<0.1), (1.0, 0.1..<5.2)])
  func `a schedule written on another node is looked at at once by a hint, and within five seconds without`(
    loss: Double, expected: Range<Double>
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let wire = HintWire(
        scheduler: scheduler, random: RandomSource(seed: 2), counters: bench.counters, loss: loss)
      var api = SimulatedNode.Options()
      (api.isWorker, api.isScheduler, api.wire) = (false, false, wire)
      var other = SimulatedNode.Options()
      other.wire = wire
      try await bench.withNode(process: 1, options: api) { [other] first in
        try await bench.withNode(process: 2, options: other) { _ in
          try await bench.rest(21.3)
          let start = bench.clock.now
          try await first.put(new())
          while try await bench.store.schedule("s").flatMap(\.lookAt).map({ $0 <= begin + .seconds(60) }) != false {
            try await bench.rest(0.001)
          }
          #expect(expected.contains(bench.seconds(since: start)), "\(bench.seconds(since: start))")
        }
      }
    }
  }

  @Test func `a schedule whose task is not valid any more says so, and stops no other`() throws {
    try EngineBench.run { bench, node in
      var tooLong = NewTask(type: "test", payload: Array("\"\(String(repeating: "a", count: 300_000))\"".utf8))
      try await bench.put("a", task: tooLong)
      try await bench.put("b", task: NewTask(type: "typed", payload: Array(#"{"width":0}"#.utf8)))
      try await bench.put("c", .cron(try CronExpression("* * * * *"), timeZone: "Mars/Olympus_Mons"))
      try await bench.put("s")
      try await bench.rest(150)
      #expect(try await bench.made().count == 2)
      func error(_ name: String) async throws -> ScheduleError? { try await bench.store.schedule(name)?.lastError }
      #expect(try await error("a")?.message == "/task/payload is 300002 bytes; at most 262144 are taken")
      #expect(try await error("a")?.kind == .invalidTask)
      #expect(try await error("b")?.message == "/task/payload/width must be above 0")
      #expect(try await error("c")?.kind == .timeZone)
      #expect(try await error("c")?.message.hasPrefix("the time zone is Mars/Olympus_Mons") == true)
      for name in ["a", "b", "c"] { #expect(try await bench.made(by: name).isEmpty) }
      // What is put right goes on, and has no error any more.
      tooLong.payload = Array("{}".utf8)
      try await node.put(new("a"))
      #expect(try await error("a") == nil)
      try await bench.rest(61)
      #expect(try await bench.made(by: "a").count == 1)
    }
  }

  @Test func `with overlap SKIP a task that takes longer than the interval has the schedule to itself`() throws {
    try EngineBench.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(25))
      return .done
    }) { bench, node in
      try await node.put(new { ($0.everySeconds, $0.overlap) = (10, .skip) })
      try await node.put(new("both") { $0.everySeconds = 10 })
      try await bench.rest(71)
      #expect(try await bench.made(by: "both").count == 7)
      let made = try await bench.made()
      #expect(made.count == 3)
      for (task, next) in zip(made, made.dropFirst()) {
        let finishedAt = try #require(task.finishedAt)
        #expect(finishedAt <= next.createdAt)
      }
    }
  }

  @Test func `schedules that are far from their time cost no more than none`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { _, _ in nil }
      for number in 0..<200 { try await bench.put("s\(number)", .every(milliseconds: 100_000_000)) }
      try await bench.withNode(store: store) { _ in
        try await bench.rest(10)
        let (looks, steps) = (store.calls(of: .dueSchedules), store.calls(of: .advanceSchedules))
        try await bench.rest(100)
        #expect(store.calls(of: .dueSchedules) - looks <= 20)
        #expect(store.calls(of: .advanceSchedules) == steps)
      }
    }
  }

  @Test func `a store that fails for a while costs no tick that is less than a minute old`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      try await bench.put()
      let store = FaultyStore(bench.store) { _, _ in
        (50_000_000_000..<110_000_000_000).contains(scheduler.now) ? .before : nil
      }
      try await bench.withNode(store: store) { _ in try await bench.rest(130) }
      #expect(try await bench.made().map(\.runAt) == [60, 120].map { begin + .seconds($0) })
    }
  }
}
