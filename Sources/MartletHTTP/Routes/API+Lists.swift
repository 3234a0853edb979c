// Lists of tasks, and what is known of queues, workers and the whole.

internal import MartletCore
internal import MartletEngine

extension API {
  /// `GET /tasks`
  func list(_ call: Call) async throws(Problem) -> Answer {
    try await page(TaskQuery(call.query), for: call.credential)
  }

  /// `GET /dead-letters`
  func deadLetters(_ call: Call) async throws(Problem) -> Answer {
    try await page(TaskQuery(call.query, deadLetters: true), for: call.credential)
  }

  func queues(_ call: Call) async throws(Problem) -> Answer {
    let page = try NamePage(call.query)
    let queues = try await serve { () async throws(ServiceError) in try await tasks.queues(as: call.credential) }
    return page.answer(queues, by: \.name) { $1.write(to: &$0) }
  }

  /// `GET /queues/{queue}`
  func queue(_ call: Call) async throws(Problem) -> Answer {
    let name = call.parameter
    let queues = try await serve { () async throws(ServiceError) in try await tasks.queues(as: call.credential) }
    guard let queue = queues.first(where: { $0.name == name }) else {
      throw .noQueue(name)
    }
    var json = JSONWriter()
    queue.write(to: &json)
    return Answer(body: json.bytes)
  }

  func workers(_ call: Call) async throws(Problem) -> Answer {
    let page = try NamePage(call.query)
    let workers = try await serve { () async throws(ServiceError) in try await tasks.workers(as: call.credential) }
    return page.answer(workers, by: \.id) { $1.write(to: &$0) }
  }

  func statistics(_ call: Call) async throws(Problem) -> Answer {
    let statistics = try await serve { () async throws(ServiceError) in try await tasks.statistics(as: call.credential)
    }
    return .json { statistics.writeFields(to: &$0) }
  }

  private func page(_ query: TaskQuery, for caller: Credential) async throws(Problem) -> Answer {
    let page = try await serve { () async throws(ServiceError) in try await tasks.list(query, as: caller) }
    return .list(page.tasks, next: page.next.map { Cursor(before: $0).text }) { json, task in
      task.write(to: &json, withPayload: query.includesPayload, withResult: query.includesResult)
    }
  }
}
