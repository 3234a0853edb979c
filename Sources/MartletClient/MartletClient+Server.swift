// The calls about the server as a whole: queues, workers, counts, health.

extension MartletClient {
  /// Every queue that has or had tasks.
  public func queues() async throws -> [QueueState] {
    try Reading.data(await answer(to: .queues), QueueState.init)
  }

  /// One queue.
  /// - Throws: `problem` with status 404 where it is not known.
  public func queue(_ name: String) async throws -> QueueState {
    try QueueState(await answer(to: .queue(name)))
  }

  /// The workers that are alive, or were a minute ago.
  public func workers() async throws -> [WorkerState] {
    try Reading.data(await answer(to: .workers), WorkerState.init)
  }

  /// Counts by status and type, throughput and latencies.
  public func statistics() async throws -> ServerStatistics {
    try ServerStatistics(await answer(to: .statistics))
  }

  /// What the server runs.
  public func version() async throws -> ServerVersion {
    try ServerVersion(await answer(to: .version))
  }

  /// Whether the server can serve now. A server that says it cannot is an answer, not an error.
  public func ready() async throws -> ServerReadiness {
    try ServerReadiness(await answer(to: .ready))
  }
}
