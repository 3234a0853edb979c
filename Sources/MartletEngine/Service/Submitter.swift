// Accepts tasks: validates them, decides their ids and graphs, lets the store write, reads back what only the store knows,
// and rings the bell. `TaskService`'s part that writes new tasks.

internal import MartletCore

final class Submitter: Sendable {
  private let parts: EngineParts
  private let registry: HandlerRegistry
  private let ids: TaskIDGenerator
  private let types: TypeBook
  private let shortcut: KeyShortcut?
  private let submitting: Coalescer<Submission, SubmissionVerdict>

  /// Dependencies of all tasks of a batch together: they are written in one transaction, and come in one answer as a graph.
  private static let mostDependencies = 20_000

  init(
    _ parts: EngineParts, registry: HandlerRegistry, types: TypeBook, shortcut: KeyShortcut?
  ) {
    self.parts = parts
    self.shortcut = shortcut
    self.types = types
    self.registry = registry
    ids = TaskIDGenerator(random: parts.random)
    submitting = Coalescer(lanes: parts.store.preferredConcurrency) { (submissions) throws(StoreError) in
      try await parts.timed("submit", items: submissions.count) { () throws(StoreError) in
        try await parts.store.submit(submissions)
      }
    }
  }

  func submit(_ request: SubmitRequest, as caller: Credential) async throws(ServiceError) -> [SubmittedTask] {
    let request = try await filled(request)
    let now = try await storeNow()
    let submission: Submission
    do throws(ServiceError) {
      submission = try accept(request, by: caller.actor, now: now)
    } catch {
      guard case .invalid = error, let told = try await earlier(request, for: caller, now: now) else { throw error }
      return told
    }
    try await check(submission, of: request, for: caller)
    return try await carryOut(submission, of: request, for: caller)
  }

  private func carryOut(
    _ submission: Submission, of request: SubmitRequest, for caller: Credential
  ) async throws(ServiceError) -> [SubmittedTask] {
    if let told = try await repeated(submission, for: caller) { return told }
    let verdict = try await write(submission)
    if let verdict { shortcut?.remember(submission, as: verdict) }
    switch verdict {
    case .accepted(let at):
      return try await tell(of: submission, at: at, earlier: [:])
    case .replayed(let at, let earlier):
      let told = try await tell(of: submission, at: at, earlier: earlier)
      if let hidden = told.firstIndex(where: { $0.isReplay && !caller.mayUse(queue: $0.record.queue) }) {
        throw .idempotencyKeyReused(submission.keys.first { $0.tasks.contains(hidden) }?.text ?? "")
      }
      return told
    case .keyReused(let key):
      throw .idempotencyKeyReused(key)
    case .unknownDependencies(let unknown):
      throw .invalid(ValidationFailure(Self.problems(with: unknown, in: request)))
    case .queueFull(let queue):
      throw .queueFull(queue)
    case nil:
      return []
    }
  }

  /// What the same submission has made, where that is remembered and still there.
  private func repeated(
    _ submission: Submission, for caller: Credential
  ) async throws(ServiceError) -> [SubmittedTask]? {
    guard let ids = await shortcut?.tasks(of: submission), let key = submission.keys.first else { return nil }
    let records = try await read(ids)
    guard records.map(\.id) == ids, records.allSatisfy({ $0.idempotencyKey == key.text || records.count > 1 }) else {
      return nil  // gone since: the store decides
    }
    guard records.allSatisfy({ caller.mayUse(queue: $0.queue) }) else { throw .idempotencyKeyReused(key.text) }
    return records.map { SubmittedTask($0, isReplay: true) }
  }

  /// What this would be refused for. While the store's time is not known, nothing is: what is wrong with the text is wrong all
  /// the same.
  func problems(in request: SubmitRequest) async -> [ValidationProblem] {
    do throws(ServiceError) {
      _ = try accept(try await filled(request), by: Actor.api, now: try await storeNow())
      return []
    } catch {
      if case .invalid(let failure) = error { return failure.problems }
      return []
    }
  }

  /// A new task with the same instructions; it is due at once and has no times, key or dependencies of its own.
  func replay(_ old: TaskRecord, actor: String) async throws(ServiceError) -> TaskRecord {
    var new = AcceptedTask(
      id: ids.next(at: try await storeNow()), type: old.type, queue: old.queue, payload: old.payload ?? [],
      priority: old.priority, eligible: .now, runAt: nil, retries: old.retries, backoff: old.backoff,
      timeout: old.timeout, lease: old.lease, expiresAt: nil, tags: old.tags, metadata: old.metadata,
      traceparent: old.traceparent, replayOf: old.id)
    new.concurrencyKey = old.concurrencyKey
    new.notify = old.notify
    new.submittedBy = actor
    var detail = JSONWriter(capacity: 64)
    detail.object { $0.field("newTask", new.id) }
    let note = AuditNote(
      .replayTask, of: old.id.description, by: actor, detail: String(decoding: detail.bytes, as: UTF8.self))
    let submission = Submission([new], note: note)
    let at: Timestamp
    switch try await write(submission) {
    case .accepted(let time): at = time
    case .queueFull(let queue): throw .queueFull(queue)
    default: throw .notFound
    }
    return try await tell(of: submission, at: at, earlier: [:])[0].record
  }

  private func write(_ submission: Submission) async throws(ServiceError) -> SubmissionVerdict? {
    do throws(StoreError) {
      return try await parts.shared("submit", submitting, [submission]).first
    } catch {
      throw .store(error, tasks: submission.tasks.map(\.id))
    }
  }

  // MARK: Queues of the caller

  /// By the queues that the tasks really get. Tasks of other queues are not there for the caller: neither to depend on, nor under
  /// their keys.
  private func check(
    _ submission: Submission, of request: SubmitRequest, for caller: Credential
  ) async throws(ServiceError) {
    guard caller.queues != nil else { return }
    let others = submission.tasks.indices.filter { !caller.mayUse(queue: submission.tasks[$0].queue) }
    guard others.isEmpty else { throw .forbiddenQueues(others.map { request.place($0) + "/queue" }) }
    let own = Set(submission.tasks.map(\.id))
    let parents = Set(submission.tasks.flatMap(\.dependencies)).subtracting(own)
    let hidden = try await read(Array(parents)).filter { !caller.mayUse(queue: $0.queue) }
    guard hidden.isEmpty else {
      throw .invalid(ValidationFailure(Self.problems(with: hidden.map(\.id), in: request)))
    }
    // Where one key covers all, nothing is written beside what it stands for, and it is seen afterwards.
    guard submission.tasks.count > 1, submission.keys.count > 1 || request.key == nil else { return }
    for key in submission.keys where try await isHidden(key.text, from: caller) {
      throw .idempotencyKeyReused(key.text)
    }
  }

  private func isHidden(_ key: String, from caller: Credential) async throws(ServiceError) -> Bool {
    var query = TaskQuery()
    query.idempotencyKey = key
    do throws(StoreError) {
      let known = try await parts.timed("list") { () throws(StoreError) in try await parts.store.list(query) }
      return known.tasks.contains { !caller.mayUse(queue: $0.queue) }
    } catch {
      throw .store(error, tasks: [])
    }
  }

  private func read(_ ids: [TaskID]) async throws(ServiceError) -> [TaskRecord] {
    guard !ids.isEmpty else { return [] }
    do throws(StoreError) {
      return try await parts.timed("read") { () throws(StoreError) in try await parts.store.tasks(ids) }
        .compactMap { $0 }
    } catch {
      throw .store(error, tasks: [])
    }
  }

  // MARK: Accepting

  /// What fills the fields that are left out, now. One submission goes by one version of it.
  var defaults: TaskDefaults { parts.tuning.current.defaults }

  /// What clients left out and types have a default for.
  private func filled(_ request: SubmitRequest) async throws(ServiceError) -> SubmitRequest {
    let settings: [String: TypeSettings]
    do throws(StoreError) {
      settings = try await typeSettings()
    } catch {
      throw .store(error, tasks: [])
    }
    guard !settings.isEmpty else { return request }
    var request = request
    for index in request.items.indices {
      request.items[index].task = request.items[index].task.filled(from: settings)
    }
    return request
  }

  /// What is set for types, as this node knows it.
  func typeSettings() async throws(StoreError) -> [String: TypeSettings] { try await types.current() }

  /// Everything that is wrong, at once.
  private func accept(
    _ request: SubmitRequest, by actor: String, now: Timestamp
  ) throws(ServiceError) -> Submission {
    let defaults = defaults
    var problems = Problems()
    var isTooLarge = false
    var hasOthers = false
    var accepted: [AcceptedTask] = []
    accepted.reserveCapacity(request.items.count)
    for index in request.items.indices {
      do throws(ValidationFailure) {
        accepted.append(try accept(request.items[index].task, by: actor, now: now, defaults))
      } catch {
        for problem in error.problems { problems.add(request.place(index) + problem.pointer, problem.detail) }
        if error.payloadTooLarge { isTooLarge = true } else { hasOthers = true }
      }
    }
    let count = problems.all.count
    let nodes = request.items.indices.map { index in
      BatchGraph.Node(ref: request.items[index].task.ref, dependencies: request.items[index].task.dependencies)
    }
    // A task that has too many by itself is told so at its own place.
    let edges = nodes.reduce(0) { $0 + min($1.dependencies.count, BatchGraph.mostDependencies) }
    if edges > Self.mostDependencies {
      problems.add(
        "/tasks",
        "have \(edges) dependencies in all; a batch may have \(Self.mostDependencies): submit them in several, the later by ids"
      )
    }
    let graph = edges > Self.mostDependencies ? nil : BatchGraph(nodes, at: request.place, problems: &problems)
    checkKeys(of: request, problems: &problems)
    guard let graph, problems.all.isEmpty else {
      hasOthers = hasOthers || problems.all.count > count
      throw .invalid(ValidationFailure(problems.all, payloadTooLarge: isTooLarge && !hasOthers))
    }
    if let cycle = graph.cycle {
      throw .dependencyCycle(cycle.map { request.items[$0].task.ref ?? request.place($0) })
    }
    connect(&accepted, by: graph, isBatch: request.isBatch, now: now)
    if let key = request.key?.text {
      for index in accepted.indices where accepted[index].idempotencyKey == nil { accepted[index].idempotencyKey = key }
    }
    return Submission(accepted, keys: keys(of: request))
  }

  /// The row that a task becomes, or every problem with it.
  func accept(
    _ task: NewTask, by actor: String, now: Timestamp, _ defaults: TaskDefaults
  ) throws(ValidationFailure) -> AcceptedTask {
    var task = task
    task.notify = task.notify ?? types.receivers(of: task.queue ?? defaultQueue)
    let problems = payloadProblems(task, defaults) + parts.noticeProblems(task.notify)
    do throws(ValidationFailure) {
      var accepted = try task.accepted(id: ids.next(at: now), defaults: defaults, now: now)
      guard problems.isEmpty else { throw ValidationFailure(problems) }
      accepted.submittedBy = actor
      if !accepted.notify.isEmpty { parts.notices.areUsed() }
      return accepted
    } catch {
      if error.payloadTooLarge { throw error }
      throw ValidationFailure(error.problems + problems.filter { !error.problems.contains($0) })
    }
  }

  /// What the type's own handler has against the payload; one that is too long is not looked at.
  func payloadProblems(_ task: NewTask, _ defaults: TaskDefaults) -> [ValidationProblem] {
    guard task.payload.count <= defaults.maxPayloadBytes, let handler = registry[task.type] else { return [] }
    return handler.problems(task.payload).map {
      ValidationProblem(pointer: "/payload" + $0.pointer, detail: $0.detail)
    }
  }

  private func connect(_ tasks: inout [AcceptedTask], by graph: BatchGraph, isBatch: Bool, now: Timestamp) {
    guard graph.hasEdges else { return }
    let membership: GraphMembership =
      isBatch ? .member(ids.next(at: now)) : .joinsFirstDependency(orElse: ids.next(at: now))
    let own = tasks.map(\.id)
    for index in tasks.indices {
      tasks[index].dependencies = graph.parents[index].map { parent in
        switch parent {
        case .own(let position): own[position]
        case .stored(let id): id
        }
      }
      tasks[index].graph = membership
    }
  }

  private static func problems(with unknown: [TaskID], in request: SubmitRequest) -> [ValidationProblem] {
    let unknown = Set(unknown)
    var problems = Problems()
    for (index, item) in request.items.enumerated() {
      for (number, name) in item.task.dependencies.enumerated() {
        guard let id = TaskID(name), unknown.contains(id) else { continue }
        problems.add(request.place(index) + "/dependencies/\(number)", "there is no task \(id)")
      }
    }
    return problems.all
  }

  // MARK: Keys

  /// What a request has made already that would be refused now: its `expiresAt` has passed, or a limit was lowered since. Nil where
  /// any part of it is not known by its key.
  ///
  /// The store is handed tasks that can never be written, as each waits for one that is nowhere: all that it can answer is what it
  /// knows of the keys.
  private func earlier(
    _ request: SubmitRequest, for caller: Credential, now: Timestamp
  ) async throws(ServiceError) -> [SubmittedTask]? {
    let keys = keys(of: request)
    var problems = Problems()
    checkKeys(of: request, problems: &problems)
    for key in keys { problems.checkKey(key.text, at: "") }
    for item in request.items {
      problems.checkName(item.task.type, at: "")
      problems.checkName(item.task.queue ?? defaultQueue, at: "")
    }
    guard problems.all.isEmpty, Set(keys.flatMap(\.tasks)).count == request.items.count else { return nil }
    let nowhere = ids.next(at: now)
    let defaults = defaults
    let tasks = request.items.map { item in
      var task = AcceptedTask(
        id: ids.next(at: now), type: item.task.type, queue: item.task.queue ?? defaultQueue,
        payload: Array("null".utf8),
        priority: 5, eligible: .now, runAt: nil, retries: 0, backoff: defaults.backoff, timeout: defaults.timeout,
        lease: defaults.lease, expiresAt: nil, tags: [], metadata: [:], traceparent: nil, replayOf: nil)
      task.dependencies = [nowhere]
      return task
    }
    let probe = Submission(tasks, keys: keys)
    do throws(ServiceError) {
      let told = try await carryOut(probe, of: request, for: caller)
      let isGone = zip(told, tasks).contains { $0.record.id == $1.id }
      return isGone ? nil : told
    } catch {
      if case .invalid = error { return nil }
      throw error
    }
  }

  private var defaultQueue: String { "default" }

  private func checkKeys(of request: SubmitRequest, problems: inout Problems) {
    if let key = request.key { problems.checkKey(key.text, at: "/header/Idempotency-Key") }
    var places: [String: Int] = [:]
    for index in request.items.indices {
      guard let key = request.items[index].task.idempotencyKey else { continue }
      let pointer = request.place(index) + "/idempotencyKey"
      if key == request.key?.text {
        problems.add(pointer, "is the key of the whole batch in the header Idempotency-Key too")
      } else if let first = places[key] {
        problems.add(pointer, "is the key of \(request.place(first)) too")
      } else {
        places[key] = index
      }
    }
  }

  /// Those that tasks have of their own; the key of the whole batch stands for all others.
  private func keys(of request: SubmitRequest) -> [IdempotencyKey] {
    var keys: [IdempotencyKey] = []
    let others = request.items.indices.filter { request.items[$0].task.idempotencyKey == nil }
    if let key = request.key, !others.isEmpty {
      keys.append(IdempotencyKey(key.text, fingerprint: key.fingerprint, tasks: others))
    }
    for index in request.items.indices {
      guard let key = request.items[index].task.idempotencyKey else { continue }
      keys.append(IdempotencyKey(key, fingerprint: request.items[index].fingerprint, tasks: [index]))
    }
    return keys
  }

  // MARK: Telling

  /// What was stored, with what only the store knows: earlier tasks, and how those fare that wait for others.
  private func tell(
    of submission: Submission, at: Timestamp, earlier: [Int: TaskID]
  ) async throws(ServiceError) -> [SubmittedTask] {
    var told = submission.tasks.indices.map { index in
      SubmittedTask(TaskRecord(submission.tasks[index], acceptedAt: at), isReplay: earlier[index] != nil)
    }
    let uncertain = told.indices.filter { earlier[$0] != nil || !submission.tasks[$0].dependencies.isEmpty }
    if !uncertain.isEmpty {
      let ids = uncertain.map { earlier[$0] ?? submission.tasks[$0].id }
      let records: [TaskRecord?]
      do throws(StoreError) {
        records = try await parts.timed("read") { () throws(StoreError) in try await parts.store.tasks(ids) }
      } catch {
        // They are stored: nobody may be told that they are not, and repeat a request that has no key.
        throw .store(
          .unknownOutcome("the tasks are stored, but could not be read: \(error.message)"),
          tasks: told.indices.map { earlier[$0] ?? told[$0].record.id })
      }
      for (index, record) in zip(uncertain, records) {
        // Deleted since: as it was accepted is as much as there is to say.
        if let record {
          told[index].record = record
        } else if let id = earlier[index] {
          told[index].record.id = id
        }
      }
    }
    ring(for: told)
    return told
  }

  /// Tells of new tasks. Looks at each where it stands: a copy of a record is dear.
  private func ring(for told: [SubmittedTask]) {
    var news = News(namesTasks: parts.wakeUp.namesTasks)
    for index in told.indices where !told[index].isReplay { news.note(told[index].record) }
    ring(news)
  }

  func ring(for records: [TaskRecord]) {
    var news = News(namesTasks: parts.wakeUp.namesTasks)
    for index in records.indices { news.note(records[index]) }
    ring(news)
  }

  private func ring(_ news: News) {
    for (lane, count) in news.counts { parts.metrics.submitted(lane, count: count) }
    parts.wakeUp.ready(news.ready)
    parts.wakeUp.work(in: news.lanes)
    if let earliest = news.earliest, earliest < .seconds(5) { parts.wakeUp.due(in: earliest) }
  }

  private struct News {
    /// Somebody wants to know which tasks are READY, not only where.
    let namesTasks: Bool
    var counts: [Lane: Int] = [:]
    var ready: [DispatchEntry] = []
    var lanes: Set<Lane> = []
    var earliest: Duration?

    mutating func note(_ record: TaskRecord) {
      let lane = Lane(queue: record.queue, type: record.type)
      counts[lane, default: 0] += 1
      if record.status == .ready {
        if namesTasks, record.concurrencyKey == nil {
          ready.append(
            DispatchEntry(id: record.id, lane: lane, priority: record.priority, availableAt: record.availableAt))
        } else {
          lanes.insert(lane)  // of one with a key only the store knows whether it was admitted
        }
      } else {
        earliest = min(earliest ?? .seconds(3600), record.availableAt - record.createdAt)
      }
      if let end = record.expiresAt { earliest = min(earliest ?? .seconds(3600), end - record.createdAt) }
    }
  }

  private func storeNow() async throws(ServiceError) -> Timestamp {
    do throws(StoreError) {
      return try await parts.storeTime.now()
    } catch {
      throw .store(error, tasks: [])
    }
  }
}

extension NewTask {
  /// With what is set for its type where it says nothing itself.
  func filled(from settings: [String: TypeSettings]) -> NewTask {
    settings[type].map { filled(from: $0.defaults) } ?? self
  }
}
