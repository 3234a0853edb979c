// The part of the store's contract that keeps schedules. Its comments are the specification, as those of `TaskStore` are: each
// sentence is a test of the conformance suite. What a schedule means is decided by `Schedule` and `ScheduleRecord.step`; the
// store keeps what they answer, and sees to it that a tick is decided on once.

package protocol ScheduleBook: Sendable {
  /// Writes a definition. Where the schedule of this name is not the one that the change expects, nothing is changed.
  ///
  /// A new schedule is created now, and its ticks up to now are handled. A replaced one keeps when it was created, its latest
  /// task and when that was made; what is handled is as `Schedule.handled(afterChangeTo:handled:now:)` says; its error is
  /// forgotten. It is due to be looked at now, or never while paused.
  ///
  /// The same change again, known by its revision, changes nothing and is answered in the same way. The audit has its `note`.
  func putSchedule(_ change: ScheduleChange) async throws(StoreError) -> ScheduleVerdict

  /// Deletes the schedule of this name if it has this revision; its tasks stay. False where it has another one, and nothing is
  /// changed; true where there is none, so that it can be repeated. The audit has what was deleted (`schedule.delete`).
  func deleteSchedule(_ name: String, revision: Int64, actor: String) async throws(StoreError) -> Bool

  /// Nil where there is none of this name.
  func schedule(_ name: String) async throws(StoreError) -> ScheduleRecord?

  /// In order of their names byte by byte, those behind `name`; at most `limit`. Payloads are left out: they are empty.
  func schedules(after name: String?, limit: Int) async throws(StoreError) -> [ScheduleRecord]

  /// Those that are due to be looked at, the longest due first, at most `limit`.
  func dueSchedules(limit: Int) async throws(StoreError) -> DueSchedules

  /// Carries out what was decided about schedules, each step by itself and whole: the schedule moves on, and the task is
  /// written with its name. One verdict per step, in order; no schedule is there twice.
  ///
  /// A step stands only if the schedule is as it was when the step was decided on: of any number of nodes that come to one
  /// tick, one writes its task. Whether the latest task is final is looked at in the same transaction. The audit has the `note`
  /// of a step by hand.
  ///
  /// A tick for which the schedule has made a task that is still stored makes no other, also where the clock was set back and the
  /// schedule changed meanwhile.
  ///
  /// A step makes no task beyond its queue's `maxDepth`, however it comes to be: by a tick or by hand.
  ///
  /// A step whose task is stored already is answered as `.made` with the time of that, and changes nothing: a call of which the
  /// outcome is not known can be repeated, or left alone and decided anew.
  func advanceSchedules(_ steps: [ScheduleStep]) async throws(StoreError) -> [StepVerdict]
}

/// A definition to be written.
package struct ScheduleChange: Sendable, Hashable {
  package var schedule: Schedule
  /// Drawn at random by whoever changes it, so that the same change is known again, and another one too.
  package var revision: Int64
  /// The revision of the definition that it replaces; nil: there is to be none.
  package var expected: Int64?
  package var actor: String

  package init(_ schedule: Schedule, revision: Int64, expected: Int64?, actor: String) {
    self.schedule = schedule
    self.revision = revision
    self.expected = expected
    self.actor = actor
  }
}

package enum ScheduleVerdict: Sendable, Hashable {
  /// The schedule as it is now.
  case done(ScheduleRecord)
  /// It is not as expected: there, gone, or changed by somebody else.
  case conflict
}

package struct DueSchedules: Sendable, Hashable {
  /// The store's time of looking.
  package var now: Timestamp
  package var schedules: [ScheduleRecord]
  /// How long until the next of the others is due; nil where none will be. Zero where the limit cut this call short.
  package var nextIn: Duration?

  package init(now: Timestamp, schedules: [ScheduleRecord], nextIn: Duration?) {
    self.now = now
    self.schedules = schedules
    self.nextIn = nextIn
  }
}

/// What was decided about a schedule as it was read.
package struct ScheduleStep: Sendable, Hashable {
  package var name: String
  package var revision: Int64
  /// Where the schedule comes from and goes to; nil for a task by hand, which moves nothing.
  package var move: Move?
  /// The task to make, with `scheduleName`; nil for none.
  package var task: AcceptedTask?
  /// No task, but the move all the same, while the schedule's latest task is not final.
  package var unlessUnfinished: Bool
  package var actor: String

  package struct Move: Sendable, Hashable {
    /// What was handled when the step was decided on: it stands only if that is so still.
    package var from: Timestamp
    /// What is handled with it.
    package var to: Timestamp
    /// When to look again; nil for never.
    package var lookAt: Timestamp?
    /// What the schedule tells from now on.
    package var error: ScheduleError?
    /// What it tells instead where the task's queue is full.
    package var errorIfFull: ScheduleError?

    package init(
      from: Timestamp, to: Timestamp, lookAt: Timestamp?, error: ScheduleError?, errorIfFull: ScheduleError? = nil
    ) {
      self.from = from
      self.to = to
      self.lookAt = lookAt
      self.error = error
      self.errorIfFull = errorIfFull
    }
  }

  package init(
    name: String, revision: Int64, move: Move?, task: AcceptedTask?, unlessUnfinished: Bool = false, actor: String
  ) {
    self.name = name
    self.revision = revision
    self.move = move
    self.task = task
    self.unlessUnfinished = unlessUnfinished
    self.actor = actor
  }
}

package enum StepVerdict: Sendable, Hashable {
  /// The task is stored, accepted at this time.
  case made(at: Timestamp)
  /// The schedule has moved; there was no task to make.
  case moved
  /// The schedule has moved, and its task was not made: its latest one is not final, or the tick has its task already.
  case passed
  /// As many tasks wait in this queue as its `maxDepth` allows: the task was not made. The schedule has moved, and tells why; a task
  /// by hand leaves it as it was.
  case queueFull(String)
  /// The schedule is not as it was: nothing was changed.
  case stale
}
