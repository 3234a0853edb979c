// What clients can ask of Martlet: HTTP and embedders call it, and nothing else writes tasks. It validates, decides ids, lets
// the store write, and rings the bell.

package import MartletCore
internal import Synchronization

package final class TaskService: Sendable {
  /// What is set for queues and types.
  package let rules: QueueService
  /// What is set for all nodes.
  package let settings: SettingsService
  let parts: EngineParts
  let bulkIDs: TaskIDGenerator
  private let registry: HandlerRegistry
  let submitter: Submitter
  private let reading: Coalescer<TaskID, TaskRecord?>
  private let isDraining = Mutex(false)
  /// Shown with a store that works.
  private let storeNote: String?
  let relays: [OutboxRelay]
  /// For those who listen; nil where it is turned off.
  package let stream: EventStream?
  let notifier: Notifier?
  let accelerators: Accelerators?
  /// Counts for scrapes.
  let counting: StoreProbe
  private let configuration: (@Sendable () -> Readiness.Component)?

  init(
    _ parts: EngineParts, registry: HandlerRegistry, storeNote: String?, relays: [OutboxRelay], stream: EventStream?,
    notifier: Notifier?, keys: KeyShortcut?, accelerators: Accelerators?,
    configuration: (@Sendable () -> Readiness.Component)?, settings: (any SettingsPanel)?
  ) {
    self.settings = SettingsService(parts, settings ?? NoSettings())
    self.configuration = configuration
    self.notifier = notifier
    self.relays = relays
    self.stream = stream
    self.accelerators = accelerators
    self.parts = parts
    bulkIDs = TaskIDGenerator(random: parts.random)
    self.storeNote = storeNote
    self.registry = registry
    rules = QueueService(parts, registry: registry)
    counting = StoreProbe(clock: parts.clock) { () throws(StoreError) in try await Self.count(parts) }
    submitter = Submitter(parts, registry: registry, types: rules.types, shortcut: keys)
    reading = Coalescer(lanes: 2) { (ids) throws(StoreError) in
      try await parts.timed("read", items: ids.count) { () throws(StoreError) in try await parts.store.tasks(ids) }
    }
  }

  // MARK: Submit

  /// Accepts tasks, all or none; when it returns they are durable. One answer per task, in order.
  package func submit(
    _ request: SubmitRequest, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> [SubmittedTask] {
    try await submitter.submit(request, as: caller)
  }

  /// The same for tasks without a request around them.
  package func submit(_ tasks: [NewTask]) async throws(ServiceError) -> [TaskRecord] {
    try await submitter.submit(SubmitRequest(tasks.map { .init($0) }, isBatch: tasks.count != 1), as: .unguarded).map(
      \.record)
  }

  /// What this submission would be refused for, as far as that is known without the store.
  package func problems(in request: SubmitRequest) async -> [ValidationProblem] {
    await submitter.problems(in: request)
  }

  // MARK: Read

  // What is in queues that the caller is not bound to is not there for it.

  package func task(_ id: TaskID, as caller: Credential = .unguarded) async throws(ServiceError) -> TaskRecord {
    let records: [TaskRecord?]
    do throws(StoreError) {
      records = try await parts.shared("read", reading, [id])
    } catch {
      throw .store(error, tasks: [])
    }
    return try found(records.first.flatMap { $0 }.flatMap { caller.mayUse(queue: $0.queue) ? $0 : nil })
  }

  /// A task's queue never changes: who may see it once may always.
  private func check(_ id: TaskID, for caller: Credential) async throws(ServiceError) {
    if caller.queues != nil { _ = try await task(id, as: caller) }
  }

  /// The task as soon as it is final, or as it is when `patience` is over.
  package func task(
    _ id: TaskID, finalWithin patience: Duration, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> TaskRecord {
    try await check(id, for: caller)
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

  package func list(_ query: TaskQuery, as caller: Credential = .unguarded) async throws(ServiceError) -> TaskPage {
    var query = query
    query.scope = caller.queues
    return try await store("list") { (store) throws(StoreError) in try await store.list(query) }
  }

  package func graph(_ id: TaskID, as caller: Credential = .unguarded) async throws(ServiceError) -> TaskGraph {
    let graph = try found(try await store("graph") { (store) throws(StoreError) in try await store.graph(id) })
    guard caller.queues != nil else { return graph }
    return try found(graph.only(try await ids(inGraph: id, as: caller)))
  }

  /// The tasks of a graph that the caller may see.
  private func ids(inGraph id: TaskID, as caller: Credential) async throws(ServiceError) -> Set<TaskID> {
    var query = TaskQuery()
    query.graphID = id
    query.limit = 1000
    var ids: Set<TaskID> = []
    while true {
      let page = try await list(query, as: caller)
      ids.formUnion(page.tasks.map(\.id))
      guard let next = page.next else { return ids }
      query.before = next
    }
  }

  /// First to last, those after a number; 1…1000 of them, or as many as some megabytes hold: each may have 64 KiB of log lines.
  package func attempts(
    of id: TaskID, after number: Int, limit: Int, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> HistoryPage<AttemptRecord> {
    try await check(id, for: caller)
    var page = HistoryPage<AttemptRecord>([], next: number)
    var bytes = 0
    while let place = page.next, page.elements.count < limit, bytes < Self.pageBytes {
      let wanted = min(limit - page.elements.count, Self.attemptsAtOnce)
      let piece = try await found(
        store("attempts") { (store) throws(StoreError) in
          try await store.attempts(of: id, after: place, limit: wanted)
        })
      let fitting = piece.elements.prefix { attempt in
        defer { bytes += attempt.size }
        return bytes < Self.pageBytes
      }
      page.elements += fitting
      page.next = fitting.count < piece.elements.count ? fitting.last?.number : piece.next
    }
    return page
  }

  /// The attempt that goes beyond it is the last of its page, as in lists.
  private static let pageBytes = 8 * 1024 * 1024
  /// Nearly every history is whole after one call of the store.
  private static let attemptsAtOnce = 64

  /// In order, those after a sequence; 1…1000 of them.
  package func events(
    of id: TaskID, after sequence: Int, limit: Int, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> HistoryPage<TaskEvent> {
    try await check(id, for: caller)
    return try await found(
      store("events") { (store) throws(StoreError) in
        try await store.events(of: id, after: sequence, limit: limit)
      })
  }

  // MARK: Steer

  package func cancel(_ id: TaskID, as caller: Credential = .unguarded) async throws(ServiceError) -> TaskRecord {
    let record = try await steer(.cancel, id, as: caller, "cancelled")
    if record.status == .running { parts.wakeUp.cancelled(id) } else { parts.board.tell(id) }
    return record
  }

  package func retry(_ id: TaskID, as caller: Credential = .unguarded) async throws(ServiceError) -> TaskRecord {
    let record = try await steer(.retry, id, as: caller, "retried")
    parts.wakeUp.work(in: [Lane(queue: record.queue, type: record.type)])
    return record
  }

  package func patch(
    _ id: TaskID, with patch: TaskPatch, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> TaskRecord {
    let problems = patch.problems
    guard problems.isEmpty else { throw .invalid(ValidationFailure(problems)) }
    let record = try await steer(.patch(patch), id, as: caller, "changed")
    if record.status == .ready {
      parts.wakeUp.work(in: [Lane(queue: record.queue, type: record.type)])
    } else {
      parts.wakeUp.due(in: .zero)
    }
    return record
  }

  /// A new task with the same instructions; it is due at once and has no times of its own.
  /// - Parameter traceparent: of the call; nil keeps that of the old task.
  package func replay(
    _ id: TaskID, traceparent: String? = nil, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> TaskRecord {
    var old = try await task(id, as: caller)
    old.traceparent = traceparent ?? old.traceparent
    guard SteeringDecision.replay(old.status) != .illegal else { throw .invalidState(old.status, action: "replayed") }
    return try await submitter.replay(old, actor: caller.actor)
  }

  private func steer(
    _ verb: Steering.Action, _ id: TaskID, as caller: Credential, _ action: String
  ) async throws(ServiceError) -> TaskRecord {
    try await check(id, for: caller)
    let command = Steering(verb, task: id, actor: caller.actor)
    let verdicts = try await store("steer") { (store) throws(StoreError) in try await store.steer([command]) }
    switch verdicts.first {
    case .done(let record): return record
    case .illegal(let status): throw .invalidState(status, action: action)
    case .notFound, nil: throw .notFound
    }
  }

  // MARK: Overview

  package func queues(as caller: Credential = .unguarded) async throws(ServiceError) -> [QueueSummary] {
    let counts = try await counts(for: caller)
    let oldest = try await store("oldest-ready") { (store) throws(StoreError) in try await store.oldestReady() }
    let now = try await storeNow()
    let rates = parts.metrics.lastMinute.finishedPerSecondByQueue
    let settings = try await rules.settings().filter { caller.mayUse(queue: $0.key) }
    let counted = Dictionary(grouping: counts, by: \.lane.queue)
    return Set(counted.keys).union(settings.keys).map { queue in
      QueueSummary(
        name: queue, counts: sums(counted[queue] ?? []),
        oldestReadySeconds: oldest[queue].map { max(0, (now - $0).secondsAsDouble) },
        throughputPerSecond: rates[queue] ?? 0, settings: settings[queue] ?? QueueSettings())
    }.sorted { $0.name < $1.name }
  }

  private func counts(for caller: Credential) async throws(ServiceError) -> [TaskCount] {
    let counts = try await store("counts") { (store) throws(StoreError) in try await store.counts() }
    return caller.queues == nil ? counts : counts.filter { caller.mayUse(queue: $0.lane.queue) }
  }

  /// Of those for other queues beside the caller's, only the latter are told.
  package func workers(as caller: Credential = .unguarded) async throws(ServiceError) -> [WorkerRecord] {
    let all = try await store("workers") { (store) throws(StoreError) in try await store.workers() }
    return all.visible(to: caller)
  }

  package func statistics(as caller: Credential = .unguarded) async throws(ServiceError) -> Statistics {
    let counts = try await counts(for: caller)
    let recent = parts.metrics.lastMinute.visible(to: caller)
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
    case .failure(let error):
      components.append(.init(name: "store", isHealthy: false, detail: error.message, isForOperators: true))
    case nil: components.append(.init(name: "store", isHealthy: false, detail: "no answer within 1 s"))
    }
    if isDraining.withLock(\.self) {
      components.append(.init(name: "node", isHealthy: false, detail: "shutting down"))
    }
    let canServe = components.allSatisfy(\.isHealthy)
    // A configuration that was refused keeps nobody from being served: the one before it is in force.
    if let configuration { components.append(configuration()) }
    // A sink that is down keeps no task from being taken and carried out: what it has to hear waits for it.
    components += relays.map { relay in
      let idle = relay.isDelivering ? nil : "another node delivers"
      return .init(
        name: relay.name, isHealthy: relay.trouble == nil, detail: relay.trouble ?? idle,
        isForOperators: relay.trouble != nil)
    }
    if let notifier {
      let trouble = notifier.trouble
      components.append(
        .init(name: "notices", isHealthy: trouble == nil, detail: trouble, isForOperators: trouble != nil))
    }
    // Without what stands beside the store everything goes on, only slower.
    if let accelerators {
      let trouble = accelerators.trouble()
      components.append(
        .init(
          name: accelerators.name, isHealthy: trouble == nil, detail: trouble, isForOperators: trouble != nil))
    }
    return Readiness(components: components, canServe: canServe)
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
    stream?.close()
  }

  // MARK: Helpers

  func storeNow() async throws(ServiceError) -> Timestamp {
    do throws(StoreError) {
      return try await parts.storeTime.now()
    } catch {
      throw .store(error, tasks: [])
    }
  }

  func store<Value: Sendable>(
    _ operation: String, _ call: (any TaskStore) async throws(StoreError) -> Value
  ) async throws(ServiceError) -> Value {
    do throws(StoreError) {
      return try await parts.timed(operation) { () throws(StoreError) in try await call(parts.store) }
    } catch {
      throw .store(error, tasks: [])
    }
  }

  func found<Value>(_ value: Value?) throws(ServiceError) -> Value {
    guard let value else { throw .notFound }
    return value
  }

  private func sums(_ counts: [TaskCount]) -> [TaskStatus: Int] {
    var sums = Dictionary(uniqueKeysWithValues: TaskStatus.allCases.map { ($0, 0) })
    for count in counts { sums[count.status, default: 0] += count.count }
    return sums
  }
}

extension AttemptRecord {
  /// About as many bytes as it takes in an answer.
  fileprivate var size: Int {
    let error = error.map { $0.message.utf8.count + ($0.stack?.utf8.count ?? 0) } ?? 0
    return logs.reduce(256 + error) { $0 + $1.utf8.count }
  }
}
