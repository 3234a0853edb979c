// Lists of tasks, and what is known of queues, workers and the whole.

internal import MartletCore
internal import MartletEngine

extension API {
  /// `GET /tasks`
  func list(_ call: Call) async throws(Problem) -> Answer {
    try await page(TaskQuery(call.query))
  }

  /// `GET /dead-letters`
  func deadLetters(_ call: Call) async throws(Problem) -> Answer {
    var query = try TaskQuery(call.query)
    query.statuses = [.dead]
    return try await page(query)
  }

  func queues(_ call: Call) async throws(Problem) -> Answer {
    let queues = try await serve { () async throws(ServiceError) in try await tasks.queues() }
    return .list(queues) { $1.write(to: &$0) }
  }

  /// `GET /queues/{queue}`
  func queue(_ call: Call) async throws(Problem) -> Answer {
    let name = call.parameter
    let queues = try await serve { () async throws(ServiceError) in try await tasks.queues() }
    guard let queue = queues.first(where: { $0.name == name }) else {
      throw Problem(.notFound, "there is no queue '\(name)': a queue is there as soon as a task is in it")
    }
    var json = JSONWriter()
    queue.write(to: &json)
    return Answer(body: json.bytes)
  }

  func workers(_ call: Call) async throws(Problem) -> Answer {
    let workers = try await serve { () async throws(ServiceError) in try await tasks.workers() }
    return .list(workers) { $1.write(to: &$0) }
  }

  func statistics(_ call: Call) async throws(Problem) -> Answer {
    let statistics = try await serve { () async throws(ServiceError) in try await tasks.statistics() }
    return .json { statistics.writeFields(to: &$0) }
  }

  private func page(_ query: TaskQuery) async throws(Problem) -> Answer {
    let page = try await serve { () async throws(ServiceError) in try await tasks.list(query) }
    return .list(page.tasks, next: page.next.map { Cursor(before: $0).text }) { json, task in
      task.write(to: &json, withPayload: query.includesPayload, withResult: query.includesResult)
    }
  }
}
