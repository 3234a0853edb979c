// Settings of queues and types.

internal import MartletCore
internal import MartletEngine

extension API {
  /// `PATCH /queues/{queue}`: answers the queue as `GET` does.
  func changeQueue(_ call: Call) async throws(Problem) -> Answer {
    let name = call.parameter
    guard Limits.isName(name), call.credential.mayUse(queue: name) else { throw .noQueue(name) }
    let patch = try QueuePatch(json: call.body)
    _ = try await serve { () async throws(ServiceError) in
      try await tasks.rules.change(queue: name, patch, actor: call.credential.actor)
    }
    return try await queue(call)
  }

  func types(_ call: Call) async throws(Problem) -> Answer {
    let page = try NamePage(call.query)
    let types = try await serve { () async throws(ServiceError) in
      try await tasks.rules.allTypes(as: call.credential)
    }
    return page.answer(types, by: \.name) { $1.write(to: &$0) }
  }

  /// `GET /types/{type}`
  func type(_ call: Call) async throws(Problem) -> Answer {
    let name = call.parameter
    do {
      return one(
        try await serve { () async throws(ServiceError) in try await tasks.rules.type(name, as: call.credential) })
    } catch {
      guard error.code == .notFound else { throw error }
      throw Problem(.notFound, "there is no type '\(name)': nobody handles it, and no task is or was of it")
    }
  }

  /// `PUT /types/{type}`
  func putType(_ call: Call) async throws(Problem) -> Answer {
    let name = call.parameter
    guard Limits.isName(name) else { throw Problem(.notFound, "'\(name)' cannot be a type") }
    // A type's settings are those of all queues.
    guard call.credential.queues == nil else { throw .forbidden("the credential is bound to queues, types are not") }
    let settings = try TypeSettings(json: call.body)
    return one(
      try await serve { () async throws(ServiceError) in
        try await tasks.rules.put(type: name, settings, actor: call.credential.actor)
      })
  }

  private func one(_ type: TypeSummary) -> Answer {
    var json = JSONWriter()
    type.write(to: &json)
    return Answer(body: json.bytes)
  }
}

extension Problem {
  static func noQueue(_ name: String) -> Problem {
    Problem(.notFound, "there is no queue '\(name)': a queue is there as soon as a task is in it")
  }
}
