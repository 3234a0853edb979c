// Actions on many tasks, and the jobs that they are.

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine

extension API {
  /// `POST /tasks/cancel`
  func cancelMany(_ call: Call) async throws(Problem) -> Answer { try await bulk(.cancel, call) }
  /// `POST /dead-letters/retry`
  func retryDeadLetters(_ call: Call) async throws(Problem) -> Answer { try await bulk(.retry, call) }
  /// `POST /dead-letters/purge`
  func purgeDeadLetters(_ call: Call) async throws(Problem) -> Answer { try await bulk(.purge, call) }

  private func bulk(_ action: BulkAction, _ call: Call) async throws(Problem) -> Answer {
    let request = try BulkRequest(action, json: call.body, queues: call.credential.queues)
    let answer: BulkAnswer
    do throws(Problem) {
      answer = try await serve { () async throws(ServiceError) in
        try await tasks.bulk(request, actor: call.credential.actor)
      }
    } catch {
      throw error.onlyOnce  // a second job would act on others
    }
    var reply = Answer.json { answer.writeFields(to: &$0) }
    if let id = answer.id {
      reply.status = 202
      reply.fields.append((.location, "/bulk/\(id)"))
    }
    return reply
  }

  func bulkJobs(_ call: Call) async throws(Problem) -> Answer {
    var problems = Problems()
    let limit = call.query.int("limit", in: 1...1000, &problems) ?? 50
    let before = call.query.read("cursor", "is not one that this server gave", &problems) { Cursor($0)?.before }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    let page = try await serve { () async throws(ServiceError) in
      try await tasks.bulkJobs(before: before, limit: limit)
    }
    let jobs = page.jobs.filter { call.credential.maySee($0) }
    return .list(jobs, next: page.next.map { Cursor(before: $0).text }) { $1.write(to: &$0) }
  }

  func bulkJob(_ call: Call) async throws(Problem) -> Answer {
    one(try await visibleJob(call).job)
  }

  /// `POST /bulk/{bulkId}/stop`
  func stopBulk(_ call: Call) async throws(Problem) -> Answer {
    try EmptyBody.check(call.body)
    let id = try await visibleJob(call).id
    let job = try await serve { () async throws(ServiceError) in
      try await tasks.stopBulk(id, actor: call.credential.actor)
    }
    return one(job)
  }

  private func visibleJob(_ call: Call) async throws(Problem) -> (id: TaskID, job: BulkJob) {
    let unknown = Problem(.notFound, "there is no bulk action '\(call.parameter)'")
    guard let id = TaskID(call.parameter) else { throw unknown }
    do throws(Problem) {
      let job = try await serve { () async throws(ServiceError) in try await tasks.bulkJob(id) }
      guard call.credential.maySee(job) else { throw unknown }
      return (id, job)
    } catch {
      throw error.code == .notFound ? unknown : error
    }
  }

  private func one(_ job: BulkJob) -> Answer {
    var json = JSONWriter()
    job.write(to: &json)
    return Answer(body: json.bytes)
  }
}

extension Credential {
  /// One that is bound to queues sees what was done within them.
  fileprivate func maySee(_ job: BulkJob) -> Bool {
    guard let queues else { return true }
    return job.order.selection.queues.map { Set($0).isSubset(of: queues) } ?? false
  }
}
