// What a caller of `TaskService` can be told. `MartletHTTP` makes problem documents of these in one place.

package import MartletCore

package enum ServiceError: Error, Sendable, Hashable {
  /// Every problem of the input at once.
  case invalid(ValidationFailure)
  case notFound
  /// The task's state forbids the action.
  case invalidState(TaskStatus, action: String)
  /// The store failed. With an unknown outcome, `tasks` are the ids that may or may not have been stored.
  case store(StoreError, tasks: [TaskID])
}
