// Submitting, reading and steering single tasks.

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine
internal import ServiceLifecycle

extension API {
  /// `POST /tasks`. When this returns the task is durable.
  func submit(_ call: Call) async throws(Problem) -> Answer {
    var problems = Problems()
    let request = try SubmitRequest.single(call, problems: &problems)
    let task = try await submit(request, problems, by: call.credential)[0]
    var answer = Answer(status: task.isReplay ? 200 : 201, body: bytes(task.record))
    answer.fields.append((.location, "/tasks/\(task.record.id)"))
    if task.isReplay { answer.fields.append((.idempotentReplayed, "true")) }
    return answer
  }

  /// `POST /tasks/batch`: all or none.
  func submitBatch(_ call: Call) async throws(Problem) -> Answer {
    var problems = Problems()
    let request = try SubmitRequest.batch(call, problems: &problems)
    let tasks = try await submit(request, problems, by: call.credential)
    let isReplay = tasks.allSatisfy(\.isReplay)
    let capacity = tasks.reduce(64) { $0 + 1024 + ($1.record.payload?.count ?? 0) }
    var answer = Answer.json(status: isReplay ? 200 : 201, capacity: capacity) { json in
      json.name("data")
      json.array(of: tasks) { $1.record.write(to: &$0) }
    }
    if isReplay { answer.fields.append((.idempotentReplayed, "true")) }
    return answer
  }

  /// What is wrong with the text is told together with what is wrong with the values of what could be read of it.
  private func submit(
    _ request: SubmitRequest, _ problems: Problems, by caller: Credential
  ) async throws(Problem) -> [SubmittedTask] {
    guard problems.all.isEmpty else {
      let told = problems.all.map(\.pointer)
      let others = await tasks.problems(in: request).filter { other in
        !told.contains { other.pointer == $0 || other.pointer.hasPrefix($0 + "/") }
      }
      throw .invalid(problems.all + others)
    }
    return try await serve { () async throws(ServiceError) in try await tasks.submit(request, as: caller) }
  }

  /// `GET /tasks/{id}`, at once or within `waitSeconds` as soon as the task is final.
  func task(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    var problems = Problems()
    let patience = call.query.seconds("waitSeconds", upTo: 60, &problems) ?? .zero
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    guard patience > .zero else {
      return one(
        try await serve(task: id) { () async throws(ServiceError) in try await tasks.task(id, as: call.credential) })
    }
    let waited = await cancelWhenGracefulShutdown { [tasks] () async -> Result<TaskRecord, ServiceError> in
      await call.connection.cancelWhenClientLeaves { () async -> Result<TaskRecord, ServiceError> in
        do throws(ServiceError) {
          return .success(try await tasks.task(id, finalWithin: patience, as: call.credential))
        } catch {
          return .failure(error)
        }
      }
    }
    try await call.confirm()
    return one(try await serve(task: id) { () async throws(ServiceError) in try waited.get() })
  }

  func patch(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    let patch = try TaskPatch(json: call.body)
    return one(
      try await serve(task: id) { () async throws(ServiceError) in
        try await tasks.patch(id, with: patch, as: call.credential)
      })
  }

  func cancel(_ call: Call) async throws(Problem) -> Answer {
    let id = try steered(call)
    return one(
      try await serve(task: id) { () async throws(ServiceError) in
        try await tasks.cancel(id, as: call.credential)
      })
  }

  func retry(_ call: Call) async throws(Problem) -> Answer {
    let id = try steered(call)
    return one(
      try await serve(task: id) { () async throws(ServiceError) in
        try await tasks.retry(id, as: call.credential)
      })
  }

  /// A new task with the same instructions.
  func replay(_ call: Call) async throws(Problem) -> Answer {
    let id = try steered(call)
    return created(
      try await serve(task: id) { () async throws(ServiceError) in
        try await tasks.replay(id, traceparent: call.givenTraceparent, as: call.credential)
      })
  }

  func graph(_ call: Call) async throws(Problem) -> Answer {
    guard let id = TaskID(call.parameter) else { throw .noGraph(call.parameter) }
    let graph: TaskGraph
    do {
      graph = try await serve { () async throws(ServiceError) in try await tasks.graph(id, as: call.credential) }
    } catch {
      throw error.code == .notFound ? .noGraph(call.parameter) : error
    }
    return try Self.answer(graph)
  }

  /// Tasks and edges of a graph that one answer tells: about 10 MB. Every batch fits; single tasks that join it may make it larger.
  static let mostOfGraph = 100_000

  static func answer(_ graph: TaskGraph) throws(Problem) -> Answer {
    let count = graph.members.count + graph.edges.count
    guard count <= mostOfGraph else {
      throw Problem(
        .invalid,
        "the graph has \(graph.members.count) tasks and \(graph.edges.count) edges, and an answer tells \(mostOfGraph) of both together: list its tasks by GET /tasks?graphId=\(graph.id)"
      )
    }
    return .json(capacity: min(256 + 128 * count, 1024 * 1024)) { graph.writeFields(to: &$0) }
  }

  private func steered(_ call: Call) throws(Problem) -> TaskID {
    let id = try call.taskID()
    try EmptyBody.check(call.body)
    return id
  }

  private func one(_ task: TaskRecord) -> Answer {
    Answer(body: bytes(task))
  }

  func created(_ task: TaskRecord) -> Answer {
    var answer = Answer(status: 201, body: bytes(task))
    answer.fields.append((.location, "/tasks/\(task.id)"))
    return answer
  }

  private func bytes(_ task: TaskRecord) -> [UInt8] {
    var json = JSONWriter(capacity: 1024 + (task.payload?.count ?? 0) + (task.result?.count ?? 0))
    task.write(to: &json)
    return json.bytes
  }
}
