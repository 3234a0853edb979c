// A schedule as it is read back, and the one decision that the scheduler takes about it. Pure: `ScheduleRunner` brings the
// store's time and what a task is accepted by, the store carries out the step.

/// Everything known of a schedule now.
package struct ScheduleRecord: Sendable, Hashable {
  package var schedule: Schedule
  /// Of its definition; another one with each change.
  package var revision: Int64
  /// What intervals are counted from; survives every change of the definition.
  package var createdAt: Timestamp
  /// When the definition was last written.
  package var updatedAt: Timestamp
  /// The latest tick that was decided on, or the time up to which ticks are nobody's.
  package var handled: Timestamp
  /// When it is due to be looked at; nil for never.
  package var lookAt: Timestamp?
  /// When its latest task was made, by a tick or by hand.
  package var lastRunAt: Timestamp?
  package var lastTask: TaskID?
  package var lastError: ScheduleError?

  package init(
    _ schedule: Schedule, revision: Int64, createdAt: Timestamp, updatedAt: Timestamp, handled: Timestamp,
    lookAt: Timestamp?, lastRunAt: Timestamp? = nil, lastTask: TaskID? = nil, lastError: ScheduleError? = nil
  ) {
    self.schedule = schedule
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt
    self.handled = handled
    self.lookAt = lookAt
    self.lastRunAt = lastRunAt
    self.lastTask = lastTask
    self.lastError = lastError
  }

  /// What a change that is carried out now makes of it; of nothing where it is new.
  package static func after(_ change: ScheduleChange, of old: ScheduleRecord?, now: Timestamp) -> ScheduleRecord {
    let schedule = change.schedule
    var record =
      old
      ?? ScheduleRecord(
        schedule, revision: change.revision, createdAt: now, updatedAt: now,
        handled: Schedule.handledAtCreation(now: now), lookAt: nil)
    if let old {
      record.handled = old.schedule.handled(afterChangeTo: schedule, handled: old.handled, now: now)
    }
    record.schedule = schedule
    record.revision = change.revision
    record.updatedAt = now
    record.lookAt = schedule.paused ? nil : now
    record.lastError = nil
    return record
  }
}

/// Why a schedule's latest tick made no task although it should have. Gone with the next task that a tick makes, and with the
/// next change.
package struct ScheduleError: Sendable, Hashable {
  package enum Kind: String, Sendable, CaseIterable {
    /// The task is not valid any more: a limit was lowered, or its handler asks for more than before.
    case invalidTask = "INVALID_TASK"
    /// The rules of the time zone cannot be read on the node that looked.
    case timeZone = "TIME_ZONE"
    /// As many tasks waited in its queue as the queue's `maxDepth` allows.
    case queueFull = "QUEUE_FULL"
  }
  package var kind: Kind
  /// One line for people.
  package var message: String
  package var at: Timestamp

  package init(_ kind: Kind, _ message: String, at: Timestamp) {
    self.kind = kind
    self.message = message
    self.at = at
  }
}

extension ScheduleRecord {
  /// However far away the next tick is, the schedule is looked at again after this: the rules of its zone may have changed.
  package static let longestRest = Duration.seconds(86_400)
  /// Until a zone that cannot be read is tried again.
  package static let pauseAfterTrouble = Duration.seconds(60)

  /// What to do about it at `now`, by the store's clock.
  /// - Parameter accept: makes the row of a task, or says why there can be none. Called at most once.
  package func step(
    now: Timestamp, zones: ZoneDatabase, accept: (NewTask) throws(ValidationFailure) -> AcceptedTask
  ) -> ScheduleStep {
    let timing: ScheduleTiming
    do throws(ZoneProblem) {
      timing = try self.timing(zones)
    } catch {
      return step(
        to: handled, lookAt: now + Self.pauseAfterTrouble,
        error: ScheduleError(.timeZone, "the time zone \(error.description)", at: now))
    }
    // The store looks at the latest task itself, in the transaction that would make the next one.
    let decision = schedule.decision(timing, handled: handled, now: now, lastTaskIsUnfinished: false)
    let handled = decision.handled ?? handled
    let lookAt = timing.next(after: max(handled, now)).map { min($0, now + Self.longestRest) }
    guard case .run(let tick) = decision else { return step(to: handled, lookAt: lookAt, error: lastError) }
    do throws(ValidationFailure) {
      var task = try accept(schedule.task(at: tick))
      task.scheduleName = schedule.name
      let full = ScheduleError(
        .queueFull, "as many tasks wait in the queue '\(task.queue)' as its maxDepth allows", at: now)
      return step(to: handled, lookAt: lookAt, task: task, error: nil, errorIfFull: full)
    } catch {
      return step(to: handled, lookAt: lookAt, error: ScheduleError(.invalidTask, Self.sentence(error), at: now))
    }
  }

  package func timing(_ zones: ZoneDatabase) throws(ZoneProblem) -> ScheduleTiming {
    try ScheduleTiming(schedule.recurrence, anchor: createdAt, zones: zones)
  }

  private func step(
    to handled: Timestamp, lookAt: Timestamp?, task: AcceptedTask? = nil, error: ScheduleError?,
    errorIfFull: ScheduleError? = nil
  ) -> ScheduleStep {
    ScheduleStep(
      name: schedule.name, revision: revision,
      move: ScheduleStep.Move(
        from: self.handled, to: handled, lookAt: lookAt, error: error, errorIfFull: errorIfFull), task: task,
      unlessUnfinished: schedule.overlap == .skip, actor: Actor.scheduler)
  }

  private static let longestMessage = 1000

  private static func sentence(_ failure: ValidationFailure) -> String {
    let all = failure.problems.map { "/task\($0.pointer) \($0.detail)" }.joined(separator: "; ")
    return String(all.prefix(longestMessage))
  }
}
