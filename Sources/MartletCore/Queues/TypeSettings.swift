// What operators set for a type of task: what its submissions leave out, and whether it is given out at all. Kept by the stores,
// applied by the service that accepts tasks.

package struct TypeSettings: Sendable, Hashable {
  /// Nothing of it is given out, whatever the queue.
  package var isPaused = false
  package var defaults = TypeDefaults()

  package init() {}
}

/// Fields of a new task as `NewTask` has them; nil leaves it to the installation.
package struct TypeDefaults: Sendable, Hashable {
  package var queue: String?
  package var priority: Int?
  package var retries: Int?
  package var backoff: NewTask.Backoff?
  package var timeoutSeconds: Double?
  package var leaseSeconds: Double?
  package var notify: [NoticeTarget]?

  package init() {}

  /// What is wrong with the values, by the rules of tasks; the pointers are relative to the defaults.
  package var problems: [ValidationProblem] {
    var problems = Problems()
    if let queue { problems.checkName(queue, at: "/queue") }
    problems.checkValues(of: NewTask(type: "any").filled(from: self))
    problems.checkNotify(notify)
    return problems.all
  }
}

extension NewTask {
  /// The fields that the client left out, as far as the type has something for them.
  package func filled(from defaults: TypeDefaults) -> NewTask {
    var task = self
    task.queue = queue ?? defaults.queue
    task.priority = priority ?? defaults.priority
    task.retries = retries ?? defaults.retries
    task.backoff = backoff.map { $0.filled(from: defaults.backoff) } ?? defaults.backoff
    task.timeoutSeconds = timeoutSeconds ?? defaults.timeoutSeconds
    task.leaseSeconds = leaseSeconds ?? defaults.leaseSeconds
    task.notify = notify ?? defaults.notify
    return task
  }
}

extension NewTask.Backoff {
  fileprivate func filled(from defaults: NewTask.Backoff?) -> NewTask.Backoff {
    guard let defaults else { return self }
    var backoff = self
    backoff.strategy = strategy ?? defaults.strategy
    backoff.baseSeconds = baseSeconds ?? defaults.baseSeconds
    backoff.factor = factor ?? defaults.factor
    backoff.maxSeconds = maxSeconds ?? defaults.maxSeconds
    backoff.jitter = jitter ?? defaults.jitter
    return backoff
  }
}
