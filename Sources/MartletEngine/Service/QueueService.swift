// What operators set for queues and types. `TaskService` has one; the routes of queues and types ask it.

package import MartletCore

package final class QueueService: Sendable {
  private let parts: EngineParts
  private let registry: HandlerRegistry
  let types: TypeBook

  init(_ parts: EngineParts, registry: HandlerRegistry) {
    self.parts = parts
    self.registry = registry
    types = TypeBook(store: parts.store)
  }

  package func settings() async throws(ServiceError) -> [String: QueueSettings] {
    try await store("queue-settings") { (store) throws(StoreError) in try await store.queueSettings() }
  }

  /// - Throws: `.invalid` with every problem, pointers into the patch.
  package func change(
    queue: String, _ patch: QueuePatch, actor: String
  ) async throws(ServiceError) -> QueueSettings {
    var problems = Problems()
    problems.checkName(queue, at: "")
    for problem in patch.problems + parts.noticeProblems(patch.notify.value) {
      problems.add(problem.pointer, problem.detail)
    }
    guard problems.all.isEmpty else { throw .invalid(ValidationFailure(problems.all)) }
    let settings = try await store("change-queue") { (store) throws(StoreError) in
      try await store.change(queue: queue, patch, actor: actor)
    }
    parts.wakeUp.unadmitted()
    if patch.notify != .keep {
      try await store("queue-settings") { (_) throws(StoreError) in try await types.refresh() }
    }
    return settings
  }

  // MARK: Types

  /// Every type that has tasks, settings or somebody who handles it, by name. For a caller who is bound to queues: what has tasks
  /// in these, a live worker that serves them, or settings by which new tasks come into them.
  package func allTypes(as caller: Credential) async throws(ServiceError) -> [TypeSummary] {
    let counts = try await store("counts") { (store) throws(StoreError) in try await store.counts() }
      .filter { caller.mayUse(queue: $0.lane.queue) }
    let settings = try await store("type-settings") { (store) throws(StoreError) in try await store.typeSettings() }
    let workers = try await store("workers") { (store) throws(StoreError) in try await store.workers() }
      .visible(to: caller)
    let counted = Dictionary(grouping: counts, by: \.lane.type)
    let local = caller.queues == nil ? registry.types : []
    let handled = workers.reduce(into: Set(local)) { $0.formUnion($1.types) }
    let set = settings.filter { caller.mayUse(queue: $0.value.defaults.queue ?? "default") }
    return Set(counted.keys).union(set.keys).union(handled).sorted().map { type in
      var sums = Dictionary(uniqueKeysWithValues: TaskStatus.allCases.map { ($0, 0) })
      for count in counted[type] ?? [] { sums[count.status, default: 0] += count.count }
      return TypeSummary(
        name: type, settings: settings[type] ?? TypeSettings(),
        workers: workers.filter { $0.types.contains(type) }.map(\.id), counts: sums)
    }
  }

  /// - Throws: `.notFound` for a type that nobody has heard of.
  package func type(_ name: String, as caller: Credential) async throws(ServiceError) -> TypeSummary {
    guard let type = try await allTypes(as: caller).first(where: { $0.name == name }) else { throw .notFound }
    return type
  }

  /// - Throws: `.invalid` with every problem, pointers into the settings.
  package func put(type: String, _ settings: TypeSettings, actor: String) async throws(ServiceError) -> TypeSummary {
    var problems = Problems()
    problems.checkName(type, at: "")
    for problem in settings.defaults.problems + parts.noticeProblems(settings.defaults.notify) {
      problems.add("/defaults" + problem.pointer, problem.detail)
    }
    guard problems.all.isEmpty else { throw .invalid(ValidationFailure(problems.all)) }
    try await store("put-type") { (store) throws(StoreError) in
      try await store.put(type: type, settings, actor: actor)
    }
    try await store("type-settings") { (_) throws(StoreError) in try await types.refresh() }
    parts.wakeUp.unadmitted()
    return try await self.type(type, as: .unguarded)
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
}
