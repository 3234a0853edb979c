// What clients can ask of Martlet: HTTP and embedders call it, and nothing else writes tasks. It validates, decides ids, lets
// the store write, and rings the bell.

package import MartletCore
internal import Synchronization

package final class TaskService: Sendable {
  package let defaults: TaskDefaults
  private let parts: EngineParts
  private let registry: HandlerRegistry
  private let ids: TaskIDGenerator
  private let submitting: Coalescer<Submission, SubmissionVerdict>
  private let reading: Coalescer<TaskID, TaskRecord?>
  private let isDraining = Mutex(false)
  /// Shown with a store that works.
  private let storeNote: String?

  init(_ parts: EngineParts, registry: HandlerRegistry, defaults: TaskDefaults, storeNote: String?) {
    self.parts = parts
    self.storeNote = storeNote
    self.registry = registry
    self.defaults = defaults
    ids = TaskIDGenerator(random: parts.random)
    submitting = Coalescer(lanes: parts.store.preferredConcurrency) { (submissions) throws(StoreError) in
      try await parts.timed("submit") { () throws(StoreError) in try await parts.store.submit(submissions) }
    }
    reading = Coalescer(lanes: 2) { (ids) throws(StoreError) in
      try await parts.timed("read") { () throws(StoreError) in try await parts.store.tasks(ids) }
    }
  }

  // MARK: Submit

  /// Accepts tasks, all or none; when it returns they are durable.
  package func submit(_ tasks: [NewTask]) async throws(ServiceError) -> [TaskRecord] {
    var problems: [ValidationProblem] = []
    var accepted: [AcceptedTask] = []
    var isTooLarge = false
    let now = try await storeNow()
    for (index, task) in tasks.enumerated() {
      do throws(ValidationFailure) {
        accepted.append(try accept(task, now: now))
      } catch {
        let prefix = tasks.count == 1 ? "" : "/tasks/\(index)"
        problems += error.problems.map { ValidationProblem(pointer: prefix + $0.pointer, detail: $0.detail) }
        isTooLarge = isTooLarge || error.payloadTooLarge
      }
    }
    guard problems.isEmpty else {
      throw .invalid(ValidationFailure(problems, payloadTooLarge: isTooLarge && problems.count == 1))
    }
    return try await write(accepted)
  }

  /// What a submission of this task would be refused for.
  package func problems(in task: NewTask) async throws(ServiceError) -> [ValidationProblem] {
    let now = try await storeNow()
    do throws(ValidationFailure) {
      _ = try accept(task, now: now)
      return []
    } catch {
      return error.problems
    }
  }

  private func accept(_ task: NewTask, now: Timestamp) throws(ValidationFailure) -> AcceptedTask {
    let problems = payloadProblems(task)
    do throws(ValidationFailure) {
      let accepted = try task.accepted(id: ids.next(at: now), defaults: defaults, now: now)
      guard problems.isEmpty else { throw ValidationFailure(problems) }
      return accepted
    } catch {
      if error.payloadTooLarge { throw error }
      throw ValidationFailure(error.problems + problems.filter { !error.problems.contains($0) })
    }
  }

  /// What the type's own handler has against the payload; one that is too long is not looked at.
  private func payloadProblems(_ task: NewTask) -> [ValidationProblem] {
    guard task.payload.count <= defaults.maxPayloadBytes, let handler = registry[task.type] else { return [] }
    return handler.problems(task.payload).map {
      ValidationProblem(pointer: "/payload" + $0.pointer, detail: $0.detail)
    }
  }

  private func write(_ tasks: [AcceptedTask]) async throws(ServiceError) -> [TaskRecord] {
    let verdicts: [SubmissionVerdict]
    do throws(StoreError) {
      verdicts = try await submitting([Submission(tasks)])
    } catch {
      throw .store(error, tasks: tasks.map(\.id))
    }
    guard case .accepted(let at)? = verdicts.first else { return [] }
    let records = tasks.map { TaskRecord($0, acceptedAt: at) }
    tell(of: records)
    return records
  }

  /// Rings for what was stored.
  private func tell(of records: [TaskRecord]) {
    var ready: Set<Lane> = []
    var earliest: Duration?
    for record in records {
      let lane = Lane(queue: record.queue, type: record.type)
      parts.metrics.submitted(lane)
      if record.status == .ready {
        ready.insert(lane)
      } else {
        earliest = min(earliest ?? .seconds(3600), record.availableAt - record.createdAt)
      }
    }
    parts.wakeUp.work(in: ready)
    if let earliest, earliest < .seconds(5) { parts.wakeUp.due(in: earliest) }
  }

  // MARK: Read

  package func task(_ id: TaskID) async throws(ServiceError) -> TaskRecord {
    let records: [TaskRecord?]
    do throws(StoreError) {
      records = try await reading([id])
    } catch {
      throw .store(error, tasks: [])
    }
    return try found(records.first ?? nil)
  }

  /// The task as soon as it is final, or as it is when `patience` is over.
  package func task(_ id: TaskID, finalWithin patience: Duration) async throws(ServiceError) -> TaskRecord {
    let deadline = parts.clock.now + patience
    while true {
      // The place is taken before the look: an end between the two is not missed.
      let record = try await withPlace(id, until: deadline)
      if record.status.isFinal || parts.clock.now >= deadline || isDraining.withLock(\.self) || Task.isCancelled {
        return record
      }
    }
  }

  private func withPlace(_ id: TaskID, until deadline: MonotonicTime) async throws(ServiceError) -> TaskRecord {
    let result: Result<TaskRecord, ServiceError> = await withTaskGroup(of: Void.self) { group in
      group.addTask { [parts] in await parts.board.wait(for: id) }
      group.addTask { [parts] in
        do { try await parts.clock.sleep(until: deadline) } catch {}  // cancelled: the task ended first
      }
      defer { group.cancelAll() }
      do throws(ServiceError) {
        let record = try await task(id)
        if record.status.isFinal || parts.clock.now >= deadline { return .success(record) }
        await group.next()
        return .success(try await task(id))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  package func list(_ query: TaskQuery) async throws(ServiceError) -> TaskPage {
    try await store("list") { (store) throws(StoreError) in try await store.list(query) }
  }

  package func attempts(of id: TaskID) async throws(ServiceError) -> [AttemptRecord] {
    try await found(store("attempts") { (store) throws(StoreError) in try await store.attempts(of: id) })
  }

  package func events(of id: TaskID) async throws(ServiceError) -> [TaskEvent] {
    try await found(store("events") { (store) throws(StoreError) in try await store.events(of: id) })
  }

  // MARK: Steer

  package func cancel(_ id: TaskID, actor: String) async throws(ServiceError) -> TaskRecord {
    let record = try await steer(Steering(.cancel, task: id, actor: actor), "cancelled")
    if record.status == .running { parts.wakeUp.cancelled(id) } else { parts.board.tell(id) }
    return record
  }

  package func retry(_ id: TaskID, actor: String) async throws(ServiceError) -> TaskRecord {
    let record = try await steer(Steering(.retry, task: id, actor: actor), "retried")
    parts.wakeUp.work(in: [Lane(queue: record.queue, type: record.type)])
    return record
  }

  package func patch(_ id: TaskID, with patch: TaskPatch, actor: String) async throws(ServiceError) -> TaskRecord {
    let problems = patch.problems
    guard problems.isEmpty else { throw .invalid(ValidationFailure(problems)) }
    let record = try await steer(Steering(.patch(patch), task: id, actor: actor), "changed")
    if record.status == .ready {
      parts.wakeUp.work(in: [Lane(queue: record.queue, type: record.type)])
    } else {
      parts.wakeUp.due(in: .zero)
    }
    return record
  }

  /// A new task with the same instructions; it is due at once and has no times of its own.
  package func replay(_ id: TaskID, actor: String) async throws(ServiceError) -> TaskRecord {
    let old = try await task(id)
    guard SteeringDecision.replay(old.status) != .illegal else { throw .invalidState(old.status, action: "replayed") }
    let new = AcceptedTask(
      id: ids.next(at: try await storeNow()), type: old.type, queue: old.queue, payload: old.payload ?? [],
      priority: old.priority, eligible: .now, runAt: nil, retries: old.retries, backoff: old.backoff,
      timeout: old.timeout, lease: old.lease, expiresAt: nil, tags: old.tags, metadata: old.metadata,
      traceparent: old.traceparent, replayOf: old.id)
    guard let record = try await write([new]).first else { throw .notFound }
    return record
  }

  private func steer(_ command: Steering, _ action: String) async throws(ServiceError) -> TaskRecord {
    let verdicts = try await store("steer") { (store) throws(StoreError) in try await store.steer([command]) }
    switch verdicts.first {
    case .done(let record): return record
    case .illegal(let status): throw .invalidState(status, action: action)
    case .notFound, nil: throw .notFound
    }
  }

  // MARK: Overview

  package func queues() async throws(ServiceError) -> [QueueSummary] {
    let counts = try await store("counts") { (store) throws(StoreError) in try await store.counts() }
    let oldest = try await store("oldest-ready") { (store) throws(StoreError) in try await store.oldestReady() }
    let now = try await storeNow()
    let rates = parts.metrics.lastMinute.finishedPerSecondByQueue
    return Dictionary(grouping: counts, by: \.lane.queue).map { queue, counts in
      QueueSummary(
        name: queue, counts: sums(counts),
        oldestReadySeconds: oldest[queue].map { max(0, (now - $0).secondsAsDouble) },
        throughputPerSecond: rates[queue] ?? 0)
    }.sorted { $0.name < $1.name }
  }

  package func workers() async throws(ServiceError) -> [WorkerRecord] {
    try await store("workers") { (store) throws(StoreError) in try await store.workers() }
  }

  package func statistics() async throws(ServiceError) -> Statistics {
    let counts = try await store("counts") { (store) throws(StoreError) in try await store.counts() }
    let recent = parts.metrics.lastMinute
    return Statistics(
      countedAt: try await storeNow(), byStatus: sums(counts),
      byType: Dictionary(grouping: counts, by: \.lane.type).mapValues(sums),
      submittedPerSecond: recent.submittedPerSecond, finishedPerSecond: recent.finishedPerSecond,
      wait: recent.wait, run: recent.run)
  }

  /// Never throws: trouble is what it tells.
  package func readiness() async -> Readiness {
    var components: [Readiness.Component] = []
    switch await parts.probe.ask(for: .seconds(1)) {
    case .success: components.append(.init(name: "store", isHealthy: true, detail: storeNote))
    case .failure(let error): components.append(.init(name: "store", isHealthy: false, detail: error.message))
    case nil: components.append(.init(name: "store", isHealthy: false, detail: "no answer within 1 s"))
    }
    if isDraining.withLock(\.self) {
      components.append(.init(name: "node", isHealthy: false, detail: "shutting down"))
    }
    return Readiness(components: components, canServe: components.allSatisfy(\.isHealthy))
  }

  /// Brings the gauges that are counted on demand (depths, oldest READY, workers) up to date before a scrape.
  package func refreshGauges() async throws(ServiceError) {
    let queues = try await queues()
    parts.metrics.setQueues(queues.map { ($0.name, $0.counts, $0.oldestReadySeconds) })
    parts.metrics.setWorkers(try await workers().count)
  }

  /// The types that this node or a live worker handles.
  package func handledTypes() async throws(ServiceError) -> Set<String> {
    try await workers().reduce(into: Set(registry.types)) { $0.formUnion($1.types) }
  }

  var localTypes: [String] { registry.types }

  /// Sends away who waits for a result.
  func drain() {
    isDraining.withLock { $0 = true }
    parts.board.close()
  }

  // MARK: Helpers

  private func storeNow() async throws(ServiceError) -> Timestamp {
    do throws(StoreError) {
      return try await parts.storeTime.now()
    } catch {
      throw .store(error, tasks: [])
    }
  }

  private func store<Value: Sendable>(
    _ operation: String, _ call: (any TaskStore) async throws(StoreError) -> Value
  ) async throws(ServiceError) -> Value {
    do throws(StoreError) {
      return try await parts.timed(operation) { () throws(StoreError) in try await call(parts.store) }
    } catch {
      throw .store(error, tasks: [])
    }
  }

  private func found<Value>(_ value: Value?) throws(ServiceError) -> Value {
    guard let value else { throw .notFound }
    return value
  }

  private func sums(_ counts: [TaskCount]) -> [TaskStatus: Int] {
    var sums = Dictionary(uniqueKeysWithValues: TaskStatus.allCases.map { ($0, 0) })
    for count in counts { sums[count.status, default: 0] += count.count }
    return sums
  }
}
