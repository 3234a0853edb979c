// Recurring tasks.

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine

extension Parameters.Known {
  static let nextRuns = Parameters.Known(names: ["next"])
}

extension API {
  /// `GET /schedules`, in order of their names.
  func schedules(_ call: Call) async throws(Problem) -> Answer {
    var problems = Problems()
    let limit = call.query.int("limit", in: 1...1000, &problems) ?? 50
    let cursor = call.query.read("cursor", "is not one that this server gave", &problems) { NameCursor($0) }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    let page = try await serve { () async throws(ServiceError) in
      try await schedules.schedules(after: cursor?.after, limit: limit, by: call.credential)
    }
    return .list(page.schedules, next: page.next.map { NameCursor(after: $0).text }) {
      $1.write(to: &$0, inList: true)
    }
  }

  /// `GET /schedules/{name}` · `?next=10`
  func schedule(_ call: Call) async throws(Problem) -> Answer {
    var problems = Problems()
    let next = call.query.int("next", in: 0...100, &problems) ?? ScheduleService.shown
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    return answer(
      try await serve(schedule: call) { () async throws(ServiceError) in
        try await schedules.schedule(call.parameter, next: next, by: call.credential)
      })
  }

  /// `POST /schedules`: a new one.
  func createSchedule(_ call: Call) async throws(Problem) -> Answer {
    let new = try newSchedule(call, name: nil)
    let schedule = try await serve(schedule: call) { () async throws(ServiceError) in
      try await schedules.create(new, by: call.credential)
    }
    return answer(schedule, status: 201)
  }

  /// `PUT /schedules/{name}`: a new one, or another definition for the one that is there.
  func putSchedule(_ call: Call) async throws(Problem) -> Answer {
    let new = try newSchedule(call, name: call.parameter)
    let (schedule, isNew) = try await serve(schedule: call) { () async throws(ServiceError) in
      try await schedules.put(new, by: call.credential)
    }
    return answer(schedule, status: isNew ? 201 : 200)
  }

  /// `DELETE /schedules/{name}`: no more tasks; those that are there stay.
  func deleteSchedule(_ call: Call) async throws(Problem) -> Answer {
    try await serve(schedule: call) { () async throws(ServiceError) in
      try await schedules.delete(call.parameter, by: call.credential)
    }
    return Answer(status: 204, body: [])
  }

  /// `POST /schedules/{name}/trigger`: a task now.
  func triggerSchedule(_ call: Call) async throws(Problem) -> Answer {
    try EmptyBody.check(call.body)
    return created(
      try await serve(schedule: call) { () async throws(ServiceError) in
        try await schedules.trigger(call.parameter, traceparent: call.traceparent, by: call.credential)
      })
  }

  /// What is wrong with the text is told together with what is wrong with the values of what could be read of it.
  private func newSchedule(_ call: Call, name: String?) throws(Problem) -> NewSchedule {
    var problems = Problems()
    let new = try NewSchedule(json: call.body, name: name, problems: &problems)
    guard !problems.all.isEmpty else { return new }
    var told = problems.all.map(\.pointer)
    // An interval that cannot be read is there all the same.
    if new.cron == nil, told.contains("/everySeconds") { told.append("/cron") }
    let others = schedules.problems(in: new).filter { other in
      !told.contains { other.pointer == $0 || other.pointer.hasPrefix($0 + "/") }
    }
    throw .invalid(problems.all + others)
  }

  private func answer(_ schedule: ScheduleView, status: Int = 200) -> Answer {
    var json = JSONWriter(capacity: 1024 + schedule.record.schedule.task.payload.count)
    schedule.write(to: &json)
    var answer = Answer(status: status, body: json.bytes)
    if status == 201 { answer.fields.append((.location, "/schedules/\(schedule.record.schedule.name)")) }
    return answer
  }

  private func serve<Value>(
    schedule call: Call, _ body: () async throws(ServiceError) -> Value
  ) async throws(Problem) -> Value {
    do {
      return try await serve(body)
    } catch {
      if error.code == .notFound { throw .noSchedule(call.parameter) }
      throw error
    }
  }
}

extension Problem {
  fileprivate static func noSchedule(_ name: String) -> Problem {
    Problem(.notFound, "there is no schedule '\(name)'")
  }

  static let forbiddenScheduleQueue = Problem(
    .forbidden, "the credential is bound to other queues",
    errors: [ValidationProblem(pointer: "/task/queue", detail: "is not one of the credential's queues")])
}
