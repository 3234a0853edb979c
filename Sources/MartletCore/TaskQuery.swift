// What lists can ask for. All given filters must hold.

package struct TaskQuery: Sendable, Hashable {
  /// Empty is any.
  package var statuses: Set<TaskStatus> = []
  package var types: Set<String> = []
  package var queues: Set<String> = []
  /// The queues that the caller is bound to; nil is all of them, and an empty one none.
  package var scope: [QueuePattern]?
  package var tag: String?
  package var worker: String?
  package var metadata: [String: String] = [:]
  package var graphID: TaskID?
  package var idempotencyKey: String?
  package var scheduleName: String?
  /// Inclusive.
  package var createdAfter: Timestamp?
  /// Exclusive.
  package var createdBefore: Timestamp?
  /// Only tasks with smaller ids: the `next` of the page before.
  package var before: TaskID?
  /// 1…1000
  package var limit = 50
  package var includesPayload = false
  package var includesResult = false

  package init() {}

  /// The filters alone, applied to one task: the meaning that every store's SQL has to match.
  package func matches(_ task: TaskRecord) -> Bool {
    (statuses.isEmpty || statuses.contains(task.status))
      && (types.isEmpty || types.contains(task.type))
      && (queues.isEmpty || queues.contains(task.queue))
      && (scope?.contains { $0.matches(task.queue) } ?? true)
      && (tag.map(task.tags.contains) ?? true)
      && (worker.map { $0 == task.worker } ?? true)
      && metadata.allSatisfy { task.metadata[$0.key] == $0.value }
      && (graphID.map { $0 == task.graphID } ?? true)
      && (idempotencyKey.map { $0 == task.idempotencyKey } ?? true)
      && (scheduleName.map { $0 == task.scheduleName } ?? true)
      && (createdAfter.map { task.createdAt >= $0 } ?? true)
      && (createdBefore.map { task.createdAt < $0 } ?? true)
      && (before.map { task.id < $0 } ?? true)
  }
}

package struct TaskPage: Sendable, Hashable {
  package var tasks: [TaskRecord]
  /// Where the next page begins; nil after the last.
  package var next: TaskID?

  package init(tasks: [TaskRecord], next: TaskID?) {
    self.tasks = tasks
    self.next = next
  }
}
