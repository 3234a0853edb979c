// The calls about single tasks: submit, read, wait, steer.

public import MartletCore

extension MartletClient {
  // MARK: Submitting

  /// Submits a task; when this returns, it is on the server's disk.
  ///
  /// Sent again only where the server cannot have taken it. When the connection breaks after the task was sent
  /// (`noAnswer`), or a problem says `outcomeIsUnknown`, it may have been accepted: look before submitting it once
  /// more.
  /// - Throws: `problem` with status 422 and its `errors` for values out of range (each field's limits stand at
  ///   `NewTask`), 413 for a payload over the server's limit (256 KiB unless configured); `invalidRequest` where `payload`
  ///   is not JSON.
  public func submit(_ task: NewTask) async throws -> RemoteTask {
    let answer = try await answer(to: .submit(task))
    return try RemoteTask(answer, isReplay: answer.isReplay)
  }

  /// Submits a task with a payload made of `payload` by `JSONEncoder`.
  ///
  /// ```swift
  /// try await client.submit("resize", payload: Resize(width: 200)) { $0.delaySeconds = 60; $0.tags = ["billing"] }
  /// ```
  /// - Parameter configure: Sets what else the task shall have.
  public func submit(
    _ type: String, payload: some Encodable, _ configure: (inout NewTask) throws -> Void = { _ in }
  ) async throws -> RemoteTask {
    var task = try NewTask(type: type, encoding: payload)
    try configure(&task)
    return try await submit(task)
  }

  /// Submits up to 1,000 tasks, all or none. They may name each other in `dependencies` by their `ref`s, so a whole graph is one
  /// call. With an idempotency key in each, or one for the batch, the call is safe to repeat, and repeated after a broken connection.
  /// - Parameters:
  ///   - tasks: all with the same `traceparent` or all without: it is a header of the request.
  ///   - key: of the batch as a whole, 1–255 visible ASCII characters: the same key with the same tasks is answered with the tasks
  ///     that were made the first time.
  /// - Returns: The tasks in the order given.
  /// - Throws: as `submit(_:)`, and `invalidRequest` where traceparents differ; pointers of `errors` begin with `/tasks/0` and so on. 422 `dependency-cycle` where they wait for
  ///   each other in a ring, 429 `queue-full`.
  public func submit(_ tasks: [NewTask], idempotencyKey key: String? = nil) async throws -> [RemoteTask] {
    let answer = try await answer(to: .submit(tasks, idempotencyKey: key))
    return try Reading.data(answer) { (reader) throws(MartletClientError) in
      try RemoteTask(reader, isReplay: answer.isReplay)
    }
  }

  // MARK: Reading

  /// The tasks of a graph and what waits for what.
  /// - Throws: `problem` with status 404 where there is none.
  public func graph(_ id: TaskID) async throws -> RemoteGraph {
    try RemoteGraph(await answer(to: .graph(id)))
  }

  /// The task as it is now.
  /// - Throws: `problem` with status 404 where there is none, or the caller may not see it.
  public func task(_ id: TaskID) async throws -> RemoteTask {
    try RemoteTask(await answer(to: .task(id)))
  }

  /// Waits for the task's end by repeated long polls, through restarts of the server within `Options.retries`.
  /// - Parameter patience: Nil is for ever.
  /// - Returns: The final task, or the task as it is when `patience` is over: look at `status.isFinal`.
  public func wait(for id: TaskID, upTo patience: Duration? = nil) async throws -> RemoteTask {
    let end = patience.map { clock.now() + $0 }
    while true {
      let asked = clock.now()
      let left = end.map { max(.zero, $0 - asked) } ?? Call.longestWait
      let task = try RemoteTask(await answer(to: .task(id, waiting: min(left, Call.longestWait))))
      let now = clock.now()
      if task.status.isFinal { return task }
      if let end, now >= end { return task }
      // Something in between that does not hold long polls must not be asked as fast as it can answer.
      if now - asked < .seconds(1) { try await clock.pause(min(end.map { $0 - now } ?? .seconds(1), .seconds(1))) }
    }
  }

  /// Every attempt, first to last, the running one included.
  public func attempts(of id: TaskID) async throws -> [RemoteAttempt] {
    try Reading.data(await answer(to: .attempts(id)), RemoteAttempt.init)
  }

  /// Every transition in order of `sequence`.
  public func events(of id: TaskID) async throws -> [RemoteEvent] {
    try Reading.data(await answer(to: .events(id)), RemoteEvent.init)
  }

  /// One page of the list, newest first.
  /// - Parameters:
  ///   - limit: 1…1000. A page may hold fewer tasks, even none, while `nextCursor` is set.
  ///   - cursor: The `nextCursor` of the page before, with the same filter.
  public func page(
    _ filter: TaskFilter = TaskFilter(), limit: Int = 50, after cursor: String? = nil
  ) async throws -> TaskListPage {
    try TaskListPage(await answer(to: .list(.tasks, filter, limit: limit, cursor: cursor)))
  }

  /// All tasks that match, newest first, read page by page as they are iterated over.
  /// - Parameter pageSize: 1…1000
  public func tasks(_ filter: TaskFilter = TaskFilter(), pageSize: Int = 200) -> TaskSequence {
    TaskSequence(client: self, list: .tasks, filter: filter, pageSize: pageSize)
  }

  /// All DEAD tasks that match, newest first, read page by page as they are iterated over.
  /// - Parameter pageSize: 1…1000
  public func deadLetters(_ filter: TaskFilter = TaskFilter(), pageSize: Int = 200) -> TaskSequence {
    TaskSequence(client: self, list: .deadLetters, filter: filter, pageSize: pageSize)
  }

  // MARK: Steering

  /// Cancels a waiting task at once; a running one is told (`cancelRequested`) and ends when its worker lets go. A
  /// cancelled task stays as it is.
  /// - Throws: `problem` with status 409 for a task that ended otherwise.
  public func cancel(_ id: TaskID) async throws -> RemoteTask {
    try RemoteTask(await answer(to: .steer("cancel", id)))
  }

  /// Makes a task that is DEAD, CANCELLED or waiting for a RETRY runnable now, with a fresh budget of retries.
  /// - Throws: `problem` with status 409 in any other state.
  public func retry(_ id: TaskID) async throws -> RemoteTask {
    try RemoteTask(await answer(to: .steer("retry", id)))
  }

  /// Submits the instructions of a final task once more.
  /// - Returns: The new task; its `replayOf` is `id`.
  /// - Throws: `problem` with status 409 while the task is not final.
  public func replay(_ id: TaskID) async throws -> RemoteTask {
    try RemoteTask(await answer(to: .steer("replay", id)))
  }

  /// Changes a waiting task.
  /// - Throws: `problem` with status 409 for one that is running or final.
  public func patch(_ id: TaskID, _ changes: TaskChanges) async throws -> RemoteTask {
    try RemoteTask(await answer(to: .patch(id, changes)))
  }
}
