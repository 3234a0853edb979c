// A recurring task: its definition, complete in every field, and what is decided about its ticks. The store calls the decisions
// inside its transactions and keeps what they answer; the scheduler and the API call the store.

/// An accepted schedule. `NewSchedule.accepted` makes one.
package struct Schedule: Sendable, Hashable {
  /// 1–128 of `A-Z a-z 0-9 . _ : -`; its identity.
  package var name: String
  package var recurrence: Recurrence
  package var misfire: Misfire
  package var overlap: Overlap
  package var paused: Bool
  /// What each of its tasks is made from, as it was given: defaults are filled in when a task is made.
  package var task: NewTask

  package init(
    name: String, recurrence: Recurrence, misfire: Misfire, overlap: Overlap, paused: Bool, task: NewTask
  ) {
    self.name = name
    self.recurrence = recurrence
    self.misfire = misfire
    self.overlap = overlap
    self.paused = paused
    self.task = task
  }

  /// What becomes of a tick that nobody saw in time: `grace` after it, or later.
  package enum Misfire: String, Sendable, Hashable, CaseIterable {
    /// It makes no task; the schedule goes on with the next tick.
    case skip = "SKIP"
    /// It makes one all the same: one for all that were missed.
    case fireOnce = "FIRE_ONCE"

    /// A tick that is seen later than this is missed. Long enough for a restart or a failover, and what Quartz takes too.
    package static let grace = Duration.seconds(60)
  }

  /// What becomes of a tick while the schedule's latest task, made by a tick or by hand, is not final.
  package enum Overlap: String, Sendable, Hashable, CaseIterable {
    /// It makes a task.
    case allow = "ALLOW"
    /// It makes none.
    case skip = "SKIP"
  }

  /// The instruction for a tick, or for a run by hand (nil). `runAt` tells the handler which run it is, however late.
  package func task(at tick: Timestamp?) -> NewTask {
    var task = task
    task.runAt = tick
    return task
  }
}

/// What to do about a schedule now. A tick is known by the schedule's name and its time: of one identity there is at most one
/// task, and the store sees to that also where a clock was set back.
package enum TickDecision: Sendable, Hashable {
  /// Nothing is due: nothing to write, except when to look again (`ScheduleTiming.next(after:)` of what is handled).
  case wait
  /// Make the task of this tick and note the tick as handled, in one transaction.
  case run(Timestamp)
  /// Only note it as handled.
  case pass(Timestamp, Reason)

  package enum Reason: Sendable, Hashable {
    case misfire
    case overlap
  }

  /// The tick to note.
  package var handled: Timestamp? {
    switch self {
    case .wait: nil
    case .run(let tick), .pass(let tick, _): tick
    }
  }
}

extension Schedule {
  /// What to do at `now`, by the clock of the database, if `handled` is the latest tick that was decided on.
  ///
  /// Of several due ticks only the latest counts, and the others are passed over under every policy, so that a fleet that comes
  /// back does not start with a storm. A tick at or before `handled` is never decided on again: where the clock was set back, the
  /// schedule waits until it is where it was.
  package func decision(
    _ timing: ScheduleTiming, handled: Timestamp, now: Timestamp, lastTaskIsUnfinished: Bool
  ) -> TickDecision {
    guard !paused, let tick = timing.latest(after: handled, through: now) else { return .wait }
    if misfire == .skip, now - tick > Misfire.grace { return .pass(tick, .misfire) }
    if overlap == .skip, lastTaskIsUnfinished { return .pass(tick, .overlap) }
    return .run(tick)
  }

  /// What a new schedule starts with as handled: its first tick is the first one after its creation.
  package static func handledAtCreation(now: Timestamp) -> Timestamp {
    now
  }

  /// What is handled once the schedule has been changed to `changed`.
  ///
  /// A schedule that is resumed, or that recurs otherwise than before, goes on from now: the ticks of the pause are not missed but
  /// unwanted, and those of the new recurrence begin with the change. Any other change leaves things as they are, so that a tick
  /// that is just due keeps its task. `now` counts even if it is before `handled`: pausing and resuming is the way out for a
  /// schedule that waits for a clock that had been wrong.
  package func handled(afterChangeTo changed: Schedule, handled: Timestamp, now: Timestamp) -> Timestamp {
    let isResumed = paused && !changed.paused
    return isResumed || recurrence != changed.recurrence ? now : handled
  }

  /// The next ticks that will be decided on, at most `count`; none while paused.
  package func upcoming(_ count: Int, _ timing: ScheduleTiming, handled: Timestamp, now: Timestamp) -> [Timestamp] {
    paused ? [] : timing.next(count, after: max(handled, now))
  }
}
