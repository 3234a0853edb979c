// What a schedule may say: every fault at its own pointer and all of them at once, and what an accepted one becomes.

import MartletCore
import Testing

private func new(_ change: (inout NewSchedule) -> Void = { _ in }) -> NewSchedule {
  var schedule = NewSchedule(name: "nightly", task: NewTask(type: "report"))
  schedule.cron = "0 2 * * *"
  change(&schedule)
  return schedule
}

private func accepted(_ schedule: NewSchedule) throws(ValidationFailure) -> Schedule {
  try schedule.accepted(defaults: TaskDefaults(), zones: zones)
}

private func failure(_ change: (inout NewSchedule) -> Void) -> ValidationFailure? {
  do {
    _ = try accepted(new(change))
    return nil
  } catch {
    return error
  }
}

/// `pointer: detail` for each fault.
private func faults(_ change: (inout NewSchedule) -> Void) -> [String] {
  failure(change)?.problems.map { "\($0.pointer): \($0.detail)" } ?? []
}

@Suite struct NewScheduleTests {
  @Test func `a name, a recurrence and a task are enough, and the rest is filled in`() throws {
    let schedule = try accepted(new())
    #expect(
      schedule
        == Schedule(
          name: "nightly", recurrence: .cron(try CronExpression("0 2 * * *"), timeZone: "UTC"), misfire: .skip,
          overlap: .allow, paused: false, task: NewTask(type: "report")))
  }

  @Test func `what is given is kept`() throws {
    let schedule = try accepted(
      new {
        ($0.cron, $0.timeZone, $0.misfire, $0.overlap) = ("@daily", "Europe/Berlin", .fireOnce, .skip)
        $0.paused = true
        $0.task.queue = "q"
        $0.task.payload = Array("[1, 2]".utf8)
      })
    #expect(schedule.recurrence == .cron(try CronExpression("0 0 * * *"), timeZone: "Europe/Berlin"))
    #expect((schedule.misfire, schedule.overlap) == (.fireOnce, .skip))
    #expect(schedule.paused)
    #expect(schedule.task.queue == "q")
    #expect(schedule.task.payload == Array("[1, 2]".utf8))
    // Defaults are those of the day on which a task is made.
    #expect(schedule.task.retries == nil)
  }

  @Test(arguments: [(1.0, 1000), (1.5, 1500), (90.001, 90_001), (1.0001, 1001), (3_155_760_000, 3_155_760_000_000)])
  func `an interval is seconds with fractions`(seconds: Double, milliseconds: Int64) throws {
    let schedule = try accepted(new { ($0.cron, $0.everySeconds, $0.timeZone) = (nil, seconds, "UTC") })
    #expect(schedule.recurrence == .every(milliseconds: milliseconds))
  }

  @Test(arguments: [0, -1, 0.999, 3_155_760_000.5, .nan, .infinity, -.infinity, .greatestFiniteMagnitude])
  func `an interval is at least a second and at most a century`(seconds: Double) {
    #expect(
      faults { ($0.cron, $0.everySeconds) = (nil, seconds) } == ["/everySeconds: must be from 1 to 3155760000"])
  }

  @Test func `there is one recurrence, not two and not none`() {
    #expect(faults { $0.everySeconds = 60 } == ["/everySeconds: cannot be given together with cron"])
    #expect(faults { $0.cron = nil } == ["/cron: is required, or everySeconds in its place"])
  }

  @Test func `a time zone goes with cron`() {
    #expect(
      faults { ($0.cron, $0.everySeconds, $0.timeZone) = (nil, 60, "Europe/Berlin") }
        == ["/timeZone: goes with cron; everySeconds counts from the schedule's creation"])
    #expect(
      faults { $0.timeZone = "Europe/Berln" }
        == ["/timeZone: is Europe/Berln, which is no time zone; names are as in Europe/Berlin or UTC"])
  }

  @Test func `a bad expression is told in its own words`() {
    #expect(faults { $0.cron = "0 24 * * *" } == ["/cron: the hour 24 is not within 0–23"])
  }

  @Test(arguments: ["", "a b", "a/b", "a\0b", "é", String(repeating: "a", count: 129)])
  func `a name is made as those of types are`(name: String) {
    #expect(faults { $0.name = name } == ["/name: must be 1–128 characters of A-Z a-z 0-9 . _ : -"])
  }

  @Test func `the task has the limits of any task`() {
    #expect(faults { $0.task.type = "a b" } == ["/task/type: must be 1–128 characters of A-Z a-z 0-9 . _ : -"])
    #expect(faults { $0.task.priority = 10 } == ["/task/priority: must be from 1 to 9"])
    #expect(faults { $0.task.tags = ["fine", "a\nb"] } == ["/task/tags/1: must not contain control characters"])
  }

  @Test func `the task has no times`() {
    let someTime = Timestamp.latest
    #expect(faults { $0.task.delaySeconds = 1 } == ["/task/delaySeconds: is not taken here: the schedule says when"])
    #expect(faults { $0.task.runAt = someTime } == ["/task/runAt: is not taken here: the schedule says when"])
    #expect(
      faults { $0.task.availableAt = someTime } == ["/task/availableAt: is not taken here: the schedule says when"])
    #expect(
      faults { $0.task.expiresAt = someTime } == [
        "/task/expiresAt: is not taken here: it would be the same for each task"
      ])
    // Each is told once, whatever else would be wrong with it.
    #expect(
      faults { ($0.task.delaySeconds, $0.task.runAt) = (-1, someTime) }.map { $0.prefix { $0 != ":" } }
        == ["/task/delaySeconds", "/task/runAt"])
  }

  @Test(arguments: [
    "delaySeconds", "runAt", "availableAt", "expiresAt", "dependencies", "onDependencyFailure", "ref", "idempotencyKey",
  ])
  func `fields that a template cannot have are refused by name`(field: String) {
    #expect(Schedule.refusal(ofTaskField: field)?.hasPrefix("is not taken here: ") == true)
  }

  @Test(arguments: ["type", "payload", "queue", "retries", "concurrencyKey", "notify", "tags"])
  func `other fields are not`(field: String) {
    #expect(Schedule.refusal(ofTaskField: field) == nil)
  }

  @Test func `all problems are told at once`() {
    let found = failure {
      ($0.name, $0.cron, $0.timeZone, $0.everySeconds) = ("", "* *", "nowhere", 0)
      $0.task.type = ""
      $0.task.runAt = .latest
      $0.task.payload = [UInt8](repeating: 32, count: 300_000)
    }
    #expect(
      found?.problems.map(\.pointer)
        == [
          "/name", "/cron", "/everySeconds", "/timeZone", "/everySeconds", "/task/runAt", "/task/type", "/task/payload",
        ])
    #expect(found?.payloadTooLarge == false)
  }

  @Test func `only a payload over the limit is told as such`() {
    let found = failure { $0.task.payload = [UInt8](repeating: 32, count: 300_000) }
    #expect(found?.problems.map(\.pointer) == ["/task/payload"])
    #expect(found?.payloadTooLarge == true)
    let more = failure { ($0.name, $0.task.payload) = ("", [UInt8](repeating: 32, count: 300_000)) }
    #expect(more?.payloadTooLarge == false)
  }

  @Test func `a hostile schedule is refused in words that repeat none of it`() {
    let hostile = String(repeating: "\u{202E}\0\u{1B}[2J", count: 1_000_000)
    let found = failure { ($0.name, $0.cron, $0.timeZone, $0.task.type) = (hostile, hostile, hostile, hostile) }
    #expect(found?.problems.map(\.pointer) == ["/name", "/cron", "/timeZone", "/task/type"])
    #expect(found?.problems.allSatisfy { $0.detail.utf8.count < 100 && !$0.detail.contains("[2J") } == true)
  }
}
