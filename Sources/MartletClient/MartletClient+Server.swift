// The calls about the server as a whole: queues, workers, counts, health.

extension MartletClient {
  /// Every queue that has or had tasks.
  public func queues() async throws -> [QueueState] {
    try await all(of: .queues, QueueState.init)
  }

  /// One queue.
  /// - Throws: `problem` with status 404 where it is not known.
  public func queue(_ name: String) async throws -> QueueState {
    try QueueState(await answer(to: .queue(name)))
  }

  /// Changes a queue's settings; holds at once on all nodes.
  /// - Throws: `problem` with status 422 for values out of range.
  public func change(queue: String, _ changes: QueueChanges) async throws -> QueueState {
    try QueueState(await answer(to: .change(queue: queue, changes)))
  }

  /// Every type that has tasks, settings or a worker.
  public func types() async throws -> [TypeState] {
    try await all(of: .types, TypeState.init)
  }

  /// One type.
  /// - Throws: `problem` with status 404 where nobody has heard of it.
  public func type(_ name: String) async throws -> TypeState {
    try TypeState(await answer(to: .type(name)))
  }

  /// Puts a type's settings in the place of what they were.
  /// - Throws: `problem` with status 422 for values out of range.
  public func put(type: String, _ rules: TypeRules) async throws -> TypeState {
    try TypeState(await answer(to: .put(type: type, rules)))
  }

  /// The workers that are alive, or were a minute ago.
  public func workers() async throws -> [WorkerState] {
    try await all(of: .workers, WorkerState.init)
  }

  /// Counts by status and type, throughput and latencies.
  public func statistics() async throws -> ServerStatistics {
    try ServerStatistics(await answer(to: .statistics))
  }

  /// What the server runs.
  public func version() async throws -> ServerVersion {
    try ServerVersion(await answer(to: .version))
  }

  /// Whether the process answers at all, whatever its database does.
  package func alive() async throws -> ServerReadiness {
    try ServerReadiness(await answer(to: .alive))
  }

  /// Whether the server can serve now. A server that says it cannot is an answer, not an error.
  public func ready() async throws -> ServerReadiness {
    try ServerReadiness(await answer(to: .ready))
  }
}
