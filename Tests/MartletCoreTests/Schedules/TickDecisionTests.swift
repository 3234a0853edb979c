// Which tick makes a task, which is only noted, and from where a schedule goes on when it or the clock has changed.

import MartletCore
import Testing

private func schedule(
  _ expression: String = "*/5 * * * *", misfire: Schedule.Misfire = .skip, overlap: Schedule.Overlap = .allow,
  paused: Bool = false
) throws -> Schedule {
  Schedule(
    name: "s", recurrence: .cron(try CronExpression(expression), timeZone: "UTC"), misfire: misfire, overlap: overlap,
    paused: paused, task: NewTask(type: "t"))
}

/// On 2026-01-01.
private func at(_ clock: String) throws -> Timestamp {
  try time("2026-01-01T\(clock)Z")
}

extension Schedule {
  fileprivate func decision(handled: String, now: String, lastTaskIsUnfinished: Bool = false) throws -> TickDecision {
    let timing = try ScheduleTiming(recurrence, anchor: at("00:00:00"), zones: zones)
    return try decision(
      timing, handled: at(handled), now: at(now), lastTaskIsUnfinished: lastTaskIsUnfinished)
  }
}

@Suite struct TickDecisionTests {
  @Test func `a tick makes its task when its time has come and not before`() throws {
    let schedule = try schedule()
    #expect(try schedule.decision(handled: "10:00:00", now: "10:04:59.999") == .wait)
    #expect(try schedule.decision(handled: "10:00:00", now: "10:05:00") == .run(at("10:05:00")))
    #expect(try schedule.decision(handled: "10:00:00", now: "10:05:03.5") == .run(at("10:05:00")))
  }

  @Test func `a tick that is handled is not decided on again`() throws {
    let schedule = try schedule(misfire: .fireOnce)
    #expect(try schedule.decision(handled: "10:05:00", now: "10:05:00") == .wait)
    #expect(try schedule.decision(handled: "10:05:00", now: "10:09:59") == .wait)
  }

  @Test func `a tick is missed when it is seen more than the grace after its time`() throws {
    #expect(Schedule.Misfire.grace == .seconds(60))
    let skip = try schedule(misfire: .skip)
    #expect(try skip.decision(handled: "10:00:00", now: "10:06:00") == .run(at("10:05:00")))
    #expect(try skip.decision(handled: "10:00:00", now: "10:06:00.001") == .pass(at("10:05:00"), .misfire))
    let once = try schedule(misfire: .fireOnce)
    #expect(try once.decision(handled: "10:00:00", now: "10:06:00.001") == .run(at("10:05:00")))
  }

  @Test func `of many missed ticks FIRE_ONCE makes up for one, the latest`() throws {
    let once = try schedule(misfire: .fireOnce)
    #expect(try once.decision(handled: "00:00:00", now: "10:03:00") == .run(at("10:00:00")))
    #expect(try once.decision(handled: "10:00:00", now: "10:03:00") == .wait)
  }

  @Test func `after an outage SKIP goes on with a tick that is just due, and only with that one`() throws {
    let skip = try schedule("* * * * *")
    #expect(try skip.decision(handled: "00:00:00", now: "10:03:30") == .run(at("10:03:00")))
    let rarely = try schedule("0 * * * *")
    #expect(try rarely.decision(handled: "00:00:00", now: "10:03:30") == .pass(at("10:00:00"), .misfire))
  }

  @Test func `overlap SKIP passes a tick over while the last task is not final`() throws {
    let skip = try schedule(overlap: .skip)
    #expect(
      try skip.decision(handled: "10:00:00", now: "10:05:00", lastTaskIsUnfinished: true)
        == .pass(at("10:05:00"), .overlap))
    #expect(try skip.decision(handled: "10:00:00", now: "10:05:00") == .run(at("10:05:00")))
    let allow = try schedule(overlap: .allow)
    #expect(
      try allow.decision(handled: "10:00:00", now: "10:05:00", lastTaskIsUnfinished: true) == .run(at("10:05:00")))
  }

  @Test func `a task that is not final also keeps a missed tick from being made up for`() throws {
    let schedule = try schedule(misfire: .fireOnce, overlap: .skip)
    #expect(
      try schedule.decision(handled: "08:00:00", now: "10:03:00", lastTaskIsUnfinished: true)
        == .pass(at("10:00:00"), .overlap))
  }

  @Test func `what is decided tells what to note`() throws {
    #expect(TickDecision.wait.handled == nil)
    #expect(TickDecision.run(try at("10:00:00")).handled == (try at("10:00:00")))
    #expect(TickDecision.pass(try at("10:00:00"), .misfire).handled == (try at("10:00:00")))
  }

  @Test func `a new schedule begins with the first tick after its creation`() throws {
    let schedule = try schedule(misfire: .fireOnce)
    #expect(Schedule.handledAtCreation(now: try at("10:05:00")) == (try at("10:05:00")))
    #expect(try schedule.decision(handled: "10:05:00", now: "10:05:00") == .wait)
    #expect(try schedule.decision(handled: "10:05:00", now: "10:10:00") == .run(at("10:10:00")))
  }

  @Test func `a paused schedule decides nothing, and the ticks of the pause are not made up for`() throws {
    let running = try schedule(misfire: .fireOnce)
    let paused = try schedule(misfire: .fireOnce, paused: true)
    #expect(try paused.decision(handled: "08:00:00", now: "10:05:00") == .wait)
    #expect(
      running.handled(afterChangeTo: paused, handled: try at("08:00:00"), now: try at("08:03:00"))
        == (try at("08:00:00")))
    let resumed = paused.handled(afterChangeTo: running, handled: try at("08:00:00"), now: try at("10:03:00"))
    #expect(resumed == (try at("10:03:00")))
    #expect(try running.decision(handled: "10:03:00", now: "10:04:00") == .wait)
    #expect(try running.decision(handled: "10:03:00", now: "10:05:00") == .run(at("10:05:00")))
  }

  @Test func `another recurrence begins with the change, any other change leaves a due tick its task`() throws {
    let old = try schedule()
    let (handled, now) = (try at("10:00:00"), try at("10:05:00.3"))
    func after(_ change: (inout Schedule) throws -> Void) throws -> Timestamp {
      var changed = old
      try change(&changed)
      return old.handled(afterChangeTo: changed, handled: handled, now: now)
    }
    #expect(try after { _ in } == handled)
    #expect(try after { $0.task.priority = 9 } == handled)
    #expect(try after { ($0.misfire, $0.overlap) = (.fireOnce, .skip) } == handled)
    // Written otherwise, but the same.
    #expect(try after { $0.recurrence = .cron(try CronExpression("*/5 * * * ?"), timeZone: "UTC") } == handled)
    #expect(try after { $0.recurrence = .cron(try CronExpression("*/4 * * * *"), timeZone: "UTC") } == now)
    #expect(try after { $0.recurrence = .cron(try CronExpression("*/5 * * * *"), timeZone: "Europe/Berlin") } == now)
    #expect(try after { $0.recurrence = .every(milliseconds: 300_000) } == now)
  }

  @Test func `while the clock is set back nothing runs twice, and the schedule waits`() throws {
    let schedule = try schedule(misfire: .fireOnce)
    #expect(try schedule.decision(handled: "10:05:00", now: "09:30:00") == .wait)
    #expect(try schedule.decision(handled: "10:05:00", now: "10:05:30") == .wait)
    #expect(try schedule.decision(handled: "10:05:00", now: "10:10:00") == .run(at("10:10:00")))
  }

  @Test func `pausing and resuming ends the wait for a clock that had been wrong`() throws {
    let (running, paused) = (try schedule(), try schedule(paused: true))
    let future = try time("2031-01-01T00:00:00Z")
    #expect(paused.handled(afterChangeTo: running, handled: future, now: try at("10:03:00")) == (try at("10:03:00")))
  }

  @Test func `upcoming ticks are those that will be decided on`() throws {
    let schedule = try schedule()
    let timing = try cron("*/5 * * * *")
    #expect(
      schedule.upcoming(2, timing, handled: try at("10:00:00"), now: try at("10:12:00"))
        == [try at("10:15:00"), try at("10:20:00")])
    #expect(schedule.upcoming(1, timing, handled: try at("11:00:00"), now: try at("10:12:00")) == [try at("11:05:00")])
    let paused = try self.paused()
    #expect(paused.upcoming(2, timing, handled: try at("10:00:00"), now: try at("10:12:00")).isEmpty)
  }

  private func paused() throws -> Schedule {
    try schedule(paused: true)
  }

  @Test func `a task of a tick says which, and one by hand does not`() throws {
    let schedule = try schedule()
    #expect(schedule.task(at: try at("10:05:00")).runAt == (try at("10:05:00")))
    #expect(schedule.task(at: nil) == schedule.task)
  }

  @Test func `whatever happens, a tick makes at most one task, in time and in order`() throws {
    let made = try (0..<40).map { try life(seed: $0) }
    #expect(made.reduce(0, +) > 1000)
  }

  /// Nodes look at random, with clocks of the database that jump, pauses, changes and outages; all they share is what is noted.
  /// Tells how many tasks were made.
  private func life(seed: UInt64) throws -> Int {
    var random = SplitMix64(state: seed)
    let expressions = ["* * * * *", "*/5 * * * *", "7 */2 * * *", "30 2 * * *"]
    var current = try schedule(
      expressions.randomElement(using: &random)!, misfire: Bool.random(using: &random) ? .skip : .fireOnce,
      overlap: Bool.random(using: &random) ? .skip : .allow)
    var now = try at("00:00:00")
    var handled = Schedule.handledAtCreation(now: now)
    var made: [Timestamp] = []
    for _ in 0..<1500 {
      switch Int.random(in: 0..<100, using: &random) {
      case 0: now = now + .seconds(-Int.random(in: 1...7200, using: &random))
      case 1: now = now + .seconds(Int.random(in: 60...200_000, using: &random))
      case 2:
        var changed = current
        if Bool.random(using: &random) {
          changed.paused = true
        } else {
          let expression = try CronExpression(expressions.randomElement(using: &random)!)
          changed.recurrence = .cron(expression, timeZone: "UTC")
        }
        // A change on a clock that is set back may go over ticks again: there the store's key holds.
        if now >= handled { handled = current.handled(afterChangeTo: changed, handled: handled, now: now) }
        if now >= handled { current = changed }
      case 3...10:
        var resumed = current
        resumed.paused = false
        if now >= handled {
          handled = current.handled(afterChangeTo: resumed, handled: handled, now: now)
          current = resumed
        }
      default: now = now + .milliseconds(Int.random(in: 0...90_000, using: &random))
      }
      let timing = try ScheduleTiming(current.recurrence, anchor: .earliest, zones: zones)
      let isUnfinished = Bool.random(using: &random)
      let decision = current.decision(timing, handled: handled, now: now, lastTaskIsUnfinished: isUnfinished)
      if let tick = decision.handled {
        #expect(tick > handled && tick <= now)
        #expect(timing.next(after: tick).map { $0 > now } != false)
      }
      if case .run(let tick) = decision {
        #expect(made.last.map { $0 < tick } != false)
        #expect(!current.paused)
        #expect(current.misfire == .fireOnce || now - tick <= Schedule.Misfire.grace)
        #expect(current.overlap == .allow || !isUnfinished)
        made.append(tick)
      }
      handled = decision.handled ?? handled
    }
    return made.count
  }
}
