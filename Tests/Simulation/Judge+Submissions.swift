// Holds what is stored against what clients wanted and what they were told: each submission whole or not at all, each answer its own
// tasks, each task as it was submitted.

internal import MartletCore
internal import MartletTestKit

extension Judge {
  func checkSubmissions(
    _ submissions: [Int: Submission], _ tasks: [TaskID: TaskImage], _ auditor: Auditor
  ) throws(Violation) {
    var made: [Int: [TaskID]] = [:]
    for task in tasks.values where task.record.scheduleName == nil {
      let id = task.record.id
      guard let number = task.record.metadata[Self.mark].flatMap({ Int($0) }), let submission = submissions[number]
      else { throw Violation("G1", "stored and never submitted", tasks: [id]) }
      made[number, default: []].append(id)
      if submission.belief == .refused {
        throw Violation("G1", "submission \(number) was refused for good, and is stored", tasks: [id])
      }
      if submission.belief == .unknown { counters.count("unknown submission that had been stored") }
    }
    for (number, submission) in submissions.sorted(by: { $0.key < $1.key }) {
      let ids = (made[number] ?? []).sorted()
      if submission.belief == .unknown, ids.isEmpty { counters.count("unknown submission that had not been stored") }
      for answer in submission.answers { try check(answer, to: submission, number, tasks) }
      if submission.key != nil { try checkKey(of: submission, ids, tasks, auditor) }
      try checkWhole(submission, number, ids.compactMap { tasks[$0] })
    }
    for task in tasks.values where task.record.scheduleName != nil {
      try check(task, against: World.scheduledTask, named: [:])
    }
  }

  /// An answer is the client's own tasks in their order, and nobody else's.
  private func check(
    _ answer: [TaskID], to submission: Submission, _ number: Int, _ tasks: [TaskID: TaskImage]
  ) throws(Violation) {
    let promise = submission.key == nil ? "G1" : "G5"
    guard answer.count == submission.tasks.count else {
      throw Violation(promise, "submission \(number) was told of \(answer.count) tasks", tasks: answer)
    }
    for (place, id) in answer.enumerated() {
      guard let metadata = tasks[id]?.record.metadata else {
        throw Violation("G1", "acknowledged and lost: submission \(number)", tasks: [id])
      }
      guard metadata[Self.mark] == String(number), metadata[Self.place] == String(place) else {
        let its = "\(metadata[Self.place] ?? "?") of submission \(metadata[Self.mark] ?? "?")"
        throw Violation(promise, "submission \(number) was told of task \(its) as its task \(place)", tasks: [id])
      }
    }
    counters.count("answer held against its submission")
  }

  /// A key lives as long as its task: only after that one has gone it may stand for another.
  private func checkKey(
    of submission: Submission, _ ids: [TaskID], _ tasks: [TaskID: TaskImage], _ auditor: Auditor
  ) throws(Violation) {
    for (first, second) in zip(ids, ids.dropFirst()) {
      guard let gone = auditor.deletedAt(first), let next = tasks[second], gone <= next.record.createdAt else {
        throw Violation("G5", "two tasks of the key \(submission.key ?? "?")", tasks: ids)
      }
    }
  }

  /// All of its tasks or none, and each as it was wanted. One with a key is a single task, and may have been made again.
  private func checkWhole(_ submission: Submission, _ number: Int, _ tasks: [TaskImage]) throws(Violation) {
    guard !tasks.isEmpty else { return }
    let places = tasks.compactMap { $0.record.metadata[Self.place].flatMap { Int($0) } }.sorted()
    if submission.key == nil, places != Array(submission.tasks.indices) {
      throw Violation("G6", "of submission \(number) tasks \(places) are stored", tasks: tasks.map(\.record.id))
    }
    let named = Dictionary(
      tasks.compactMap { task in task.record.ref.map { ($0, task.record.id) } }, uniquingKeysWith: { first, _ in first }
    )
    for task in tasks {
      let place = task.record.metadata[Self.place].flatMap { Int($0) } ?? -1
      guard submission.tasks.indices.contains(place) else {
        throw Violation("G1", "stored and never submitted", tasks: [task.record.id])
      }
      try check(task, against: submission.tasks[place], named: named)
      counters.count("task held against what was wanted")
    }
  }

  /// - Parameter named: tasks of the same submission by their refs.
  private func check(_ task: TaskImage, against wanted: NewTask, named: [String: TaskID]) throws(Violation) {
    let record = task.record
    func require(_ holds: Bool, _ field: String) throws(Violation) {
      if !holds { throw Violation("G1", "stored with another \(field) than was submitted", tasks: [record.id]) }
    }
    func was(_ type: TaskEventType, _ field: String = "") -> Bool {
      task.events.contains { $0.type == type && (field.isEmpty || $0.cause?.contains(field) == true) }
    }
    try require(record.type == wanted.type, "type")
    try require(record.queue == wanted.queue ?? "default", "queue")
    try require(record.payload == wanted.payload, "payload")
    let priority = was(.updated, "priority") ? World.patchedPriority : wanted.priority ?? 5
    try require(record.priority == priority, "priority")
    try require(record.delay == wanted.delaySeconds.map { .seconds($0) }, "delay")
    try require(wanted.retries.map { record.retries == $0 } ?? true, "number of retries")
    try require(wanted.timeoutSeconds.map { record.timeout == .seconds($0) } ?? true, "timeout")
    try require(wanted.leaseSeconds.map { record.lease == .seconds($0) } ?? true, "lease")
    try require(wanted.backoff?.baseSeconds.map { record.backoff.baseSeconds == $0 } ?? true, "backoff")
    // A retry by hand takes it away.
    try require(record.expiresAt == wanted.expiresAt || record.expiresAt == nil && was(.retried), "expiresAt")
    try require(record.tags == wanted.tags, "tag")
    try require(record.metadata == wanted.metadata, "metadata")
    try require(record.dependencies == wanted.dependencies.compactMap { named[$0] }, "dependency")
    try require(record.onDependencyFailure == wanted.onDependencyFailure ?? .hold, "onDependencyFailure")
    try require(record.ref == wanted.ref, "ref")
    try require(record.idempotencyKey == wanted.idempotencyKey, "idempotency key")
    try require(record.concurrencyKey == wanted.concurrencyKey, "concurrency key")
    try require(record.notify == wanted.notify ?? [], "receiver")
  }
}
