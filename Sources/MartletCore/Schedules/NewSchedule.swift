// A schedule as a client gives it, and its validation. HTTP decodes into `NewSchedule`, embedders make one by hand.

/// A wish for a recurring task. Nil fields take their defaults.
package struct NewSchedule: Sendable, Hashable {
  /// 1–128 of `A-Z a-z 0-9 . _ : -`
  package var name: String
  /// Five fields as in crontab(5); or else `everySeconds`.
  package var cron: String?
  /// 1 s to 100 years, fractions of milliseconds rounded up.
  package var everySeconds: Double?
  /// A name of the IANA database, for `cron` only; default `UTC`.
  package var timeZone: String?
  /// Default `SKIP`.
  package var misfire: Schedule.Misfire?
  /// Default `ALLOW`.
  package var overlap: Schedule.Overlap?
  package var paused = false
  /// What each task is made from: without what `Schedule.refusal` names.
  package var task: NewTask

  package init(name: String, task: NewTask) {
    self.name = name
    self.task = task
  }

  /// The accepted form, or every problem at once. Reads the zone's file.
  package func accepted(defaults: TaskDefaults, zones: ZoneDatabase) throws(ValidationFailure) -> Schedule {
    var problems = Problems()
    problems.checkName(name, at: "/name")
    let recurrence = recurrence(zones, into: &problems)
    let isPayloadTooLarge = checkTask(defaults, into: &problems)
    guard let recurrence, problems.all.isEmpty else {
      throw ValidationFailure(problems.all, payloadTooLarge: isPayloadTooLarge && problems.all.count == 1)
    }
    return Schedule(
      name: name, recurrence: recurrence, misfire: misfire ?? .skip, overlap: overlap ?? .allow, paused: paused,
      task: task)
  }

  /// Nil only where there is a problem.
  private func recurrence(_ zones: ZoneDatabase, into problems: inout Problems) -> Recurrence? {
    let expression = cron.flatMap { read($0, into: &problems) }
    let timeZone = timeZone ?? "UTC"
    problems.check(everySeconds, in: 1...Limits.farthestSeconds, at: "/everySeconds")
    if cron == nil, everySeconds != nil {
      // UTC is taken, so that what an answer shows can be put back.
      if timeZone != "UTC" {
        problems.add("/timeZone", "goes with cron; everySeconds counts from the schedule's creation")
      }
    } else {
      checkZone(timeZone, zones, into: &problems)
    }
    switch (cron, everySeconds) {
    case (.some, nil):
      return expression.map { .cron($0, timeZone: timeZone) }
    case (nil, .some(let seconds)):
      // Only a checked number can be rounded.
      return problems.all.isEmpty ? .every(milliseconds: Duration.wire(seconds: seconds).wholeMilliseconds) : nil
    case (.some, .some):
      problems.add("/everySeconds", "cannot be given together with cron")
    case (nil, nil):
      problems.add("/cron", "is required, or everySeconds in its place")
    }
    return nil
  }

  private func checkZone(_ timeZone: String, _ zones: ZoneDatabase, into problems: inout Problems) {
    do {
      _ = try zones.rules(named: timeZone)
    } catch {
      problems.add("/timeZone", error.description)
    }
  }

  private func read(_ text: String, into problems: inout Problems) -> CronExpression? {
    do {
      return try CronExpression(text)
    } catch {
      problems.add("/cron", error.description)
      return nil
    }
  }

  /// Adds the problems of the template and says whether one of them is a payload over the limit.
  private func checkTask(_ defaults: TaskDefaults, into problems: inout Problems) -> Bool {
    let given: [(String, Bool)] = [
      ("delaySeconds", task.delaySeconds != nil), ("runAt", task.runAt != nil),
      ("availableAt", task.availableAt != nil), ("expiresAt", task.expiresAt != nil),
      ("dependencies", !task.dependencies.isEmpty), ("onDependencyFailure", task.onDependencyFailure != nil),
      ("ref", task.ref != nil), ("idempotencyKey", task.idempotencyKey != nil),
    ]
    for (field, isGiven) in given where isGiven {
      problems.add("/task/\(field)", Schedule.refusal(ofTaskField: field) ?? "")
    }
    do {
      // Neither the id nor the time matters to a task without times.
      _ = try task.asTemplate.accepted(id: TaskID(high: 0, low: 0), defaults: defaults, now: .earliest)
      return false
    } catch {
      for problem in error.problems { problems.add("/task\(problem.pointer)", problem.detail) }
      return error.payloadTooLarge
    }
  }
}

extension Schedule {
  /// Why a field of a task has no place in a schedule's template; nil if it has.
  package static func refusal(ofTaskField field: String) -> String? {
    switch field {
    case "delaySeconds", "runAt", "availableAt": "is not taken here: the schedule says when"
    case "expiresAt": "is not taken here: it would be the same for each task"
    case "dependencies", "onDependencyFailure", "ref": "is not taken here: tasks of a schedule depend on no others"
    case "idempotencyKey": "is not taken here: each tick makes one task anyway"
    default: nil
    }
  }
}
