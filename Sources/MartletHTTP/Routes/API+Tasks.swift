// Submitting, reading and steering single tasks.

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine
internal import ServiceLifecycle

extension API {
  /// `POST /tasks`. When this returns the task is durable.
  func submit(_ call: Call) async throws(Problem) -> Answer {
    if call.fields.idempotencyKey != nil {
      let problem = ValidationProblem(
        pointer: "/header/Idempotency-Key", detail: "the header Idempotency-Key is not supported yet")
      throw Problem(.notYetSupported, problem.detail, errors: [problem])
    }
    var problems = Problems()
    var task = try NewTask(json: call.body, problems: &problems)
    guard problems.all.isEmpty else { throw .invalid(await allProblems(problems.all, of: task)) }
    if let traceparent = call.fields.traceparent, TraceParent.isValid(traceparent) { task.traceparent = traceparent }
    let records = try await serve { () async throws(ServiceError) in try await tasks.submit([task]) }
    return created(records[0])
  }

  /// What is wrong with the text, and with the values of what could be read of it.
  private func allProblems(_ problems: [ValidationProblem], of task: NewTask) async -> [ValidationProblem] {
    let told = Set(problems.map(\.pointer))
    do throws(ServiceError) {
      return problems + (try await tasks.problems(in: task)).filter { !told.contains($0.pointer) }
    } catch {
      return problems  // the store's time is not known: what is wrong with the text is wrong all the same
    }
  }

  /// `GET /tasks/{id}`, at once or within `waitSeconds` as soon as the task is final.
  func task(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    var problems = Problems()
    let patience = call.query.seconds("waitSeconds", upTo: 60, &problems) ?? .zero
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    guard patience > .zero else {
      return one(try await serve(task: id) { () async throws(ServiceError) in try await tasks.task(id) })
    }
    let waited = await cancelWhenGracefulShutdown { [tasks] () async -> Result<TaskRecord, ServiceError> in
      do throws(ServiceError) {
        return .success(try await tasks.task(id, finalWithin: patience))
      } catch {
        return .failure(error)
      }
    }
    return one(try await serve(task: id) { () async throws(ServiceError) in try waited.get() })
  }

  func patch(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    let patch = try TaskPatch(json: call.body)
    return one(
      try await serve(task: id) { () async throws(ServiceError) in
        try await tasks.patch(id, with: patch, actor: Actor.api)
      })
  }

  func attempts(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    let attempts = try await serve(task: id) { () async throws(ServiceError) in try await tasks.attempts(of: id) }
    return .list(attempts) { $1.write(to: &$0) }
  }

  func events(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    let events = try await serve(task: id) { () async throws(ServiceError) in try await tasks.events(of: id) }
    return .list(events) { $1.write(to: &$0) }
  }

  func cancel(_ call: Call) async throws(Problem) -> Answer {
    let id = try steered(call)
    return one(
      try await serve(task: id) { () async throws(ServiceError) in try await tasks.cancel(id, actor: Actor.api) })
  }

  func retry(_ call: Call) async throws(Problem) -> Answer {
    let id = try steered(call)
    return one(
      try await serve(task: id) { () async throws(ServiceError) in try await tasks.retry(id, actor: Actor.api) })
  }

  /// A new task with the same instructions.
  func replay(_ call: Call) async throws(Problem) -> Answer {
    let id = try steered(call)
    return created(
      try await serve(task: id) { () async throws(ServiceError) in try await tasks.replay(id, actor: Actor.api) })
  }

  private func steered(_ call: Call) throws(Problem) -> TaskID {
    let id = try call.taskID()
    try EmptyBody.check(call.body)
    return id
  }

  private func one(_ task: TaskRecord) -> Answer {
    Answer(body: bytes(task))
  }

  private func created(_ task: TaskRecord) -> Answer {
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
