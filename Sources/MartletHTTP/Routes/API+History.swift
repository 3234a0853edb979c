// What became of a task, page by page: its attempts and its events.

internal import MartletCore
internal import MartletEngine

extension Parameters.Known {
  static let history = Parameters.Known(names: ["limit", "cursor"])
}

extension API {
  /// `GET /tasks/{id}/attempts`
  func attempts(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    let (after, limit) = try place(call, \.afterAttempt)
    let page = try await serve(task: id) { () async throws(ServiceError) in
      try await tasks.attempts(of: id, after: after, limit: limit, as: call.credential)
    }
    return .list(page.elements, next: page.next.map { Cursor(afterAttempt: $0).text }) { $1.write(to: &$0) }
  }

  /// `GET /tasks/{id}/events`
  func events(_ call: Call) async throws(Problem) -> Answer {
    let id = try call.taskID()
    let (after, limit) = try place(call, \.afterEvent)
    let page = try await serve(task: id) { () async throws(ServiceError) in
      try await tasks.events(of: id, after: after, limit: limit, as: call.credential)
    }
    return .list(page.elements, next: page.next.map { Cursor(afterEvent: $0).text }) { $1.write(to: &$0) }
  }

  /// Where the page begins, and how long it may be: nearly every history is whole on the first.
  private func place(_ call: Call, _ after: KeyPath<Cursor, Int?>) throws(Problem) -> (after: Int, limit: Int) {
    var problems = Problems()
    let limit = call.query.int("limit", in: 1...1000, &problems) ?? 1000
    let after = call.query.read("cursor", "is not one that this server gave", &problems) { text in
      Cursor(text)?[keyPath: after]
    }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    return (after ?? 0, limit)
  }
}
