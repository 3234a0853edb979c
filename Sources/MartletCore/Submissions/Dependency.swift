// What a task that waits for others makes of how they end. Pure: the stores ask when a task is stored, when one of those it
// waits for ends, and when one is deleted.

/// What happens to a task when one of those it depends on ends DEAD or CANCELLED.
public enum DependencyPolicy: String, Sendable, Hashable, CaseIterable {
  /// It waits on: retrying the dead one lets it go on.
  case hold = "HOLD"
  /// It is cancelled too (DEPENDENCY_FAILED), and so on down the graph as their policies say.
  case cancel = "CANCEL"
  /// It runs once all are final, however they ended.
  case run = "RUN"

  /// What a dependency in this state means for the task that waits.
  package func effect(of dependency: TaskStatus) -> DependencyEffect {
    switch (dependency, self) {
    case (.success, _), (.dead, .run), (.cancelled, .run): .met
    case (.dead, .cancel), (.cancelled, .cancel): .fails
    default: .open
    }
  }

  /// The same for a dependency that is deleted before it was met: what will never come is not waited for.
  package var effectOfDeletion: DependencyEffect { self == .run ? .met : .fails }
}

package enum DependencyEffect: Sendable, Hashable {
  /// Not decided yet.
  case open
  /// One less to wait for.
  case met
  /// The task that waits is cancelled.
  case fails
}
