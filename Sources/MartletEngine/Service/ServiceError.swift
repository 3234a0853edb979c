// What a caller of `TaskService` can be told. `MartletHTTP` makes problem documents of these in one place.

package import MartletCore

package enum ServiceError: Error, Sendable, Hashable {
  /// Every problem of the input at once.
  case invalid(ValidationFailure)
  /// The key was given with another request before.
  case idempotencyKeyReused(String)
  /// Tasks of one batch that wait for each other in a ring, as the client named them.
  case dependencyCycle([String])
  /// As many tasks wait in this queue as its `maxDepth` allows.
  case queueFull(String)
  case notFound
  /// The caller is bound to other queues than those named at these places of the request (JSON Pointers).
  case forbiddenQueues([String])
  /// There is a schedule of this name.
  case alreadyExists(String)
  /// The same, but the caller may not see that schedule.
  case nameTaken
  /// The caller is bound to other queues than that of the schedule as it was to become.
  case forbiddenQueue
  /// The task's state forbids the action.
  case invalidState(TaskStatus, action: String)
  /// The store failed. With an unknown outcome, `tasks` are the ids that may or may not have been stored.
  case store(StoreError, tasks: [TaskID])
}
