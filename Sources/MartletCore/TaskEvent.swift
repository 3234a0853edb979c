// The history of a task: one event for every transition, with a gapless `sequence` per task. Stores keep most of them in
// the columns of the task's own rows and put them together when asked (docs/decisions, "history").

/// What happened. On the wire and in CloudEvents each stands behind `martlet.task.`.
package enum TaskEventType: String, CaseIterable, Sendable {
  case received, ready, started, succeeded
  /// An attempt ended FAILED, TIMED_OUT or LOST.
  case failed
  case retry, dead, cancelled, snoozed, released
  /// Retried by hand.
  case retried
  /// Patched, or its cancellation requested.
  case updated
}

package struct TaskEvent: Sendable, Hashable {
  /// 1 is `received`; no number is left out.
  package var sequence: Int
  package var type: TaskEventType
  package var at: Timestamp
  /// Who did it: a worker's id, `api` or the credential's name, `scheduler`, `rescuer`.
  package var actor: String
  /// Why, where there is something to say: `RETRIES_EXHAUSTED`, `attempt 2`, the fields patched.
  package var cause: String?

  package init(sequence: Int, type: TaskEventType, at: Timestamp, actor: String, cause: String? = nil) {
    self.sequence = sequence
    self.type = type
    self.at = at
    self.actor = actor
    self.cause = cause
  }
}

/// Actors that are not workers.
package enum Actor {
  package static let api = "api"
  package static let scheduler = "scheduler"
  package static let rescuer = "rescuer"
}
