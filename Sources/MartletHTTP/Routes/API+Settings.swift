// `/settings`: the settings of this node, and those that are set for all nodes.

internal import MartletCore
internal import MartletEngine

extension API {
  /// `GET /settings`
  func settings(_ call: Call) -> Answer {
    .json(capacity: 16_384) { tasks.settings.state.writeFields(to: &$0) }
  }

  /// `PATCH /settings`: answers as `GET` does.
  func changeSettings(_ call: Call) async throws(Problem) -> Answer {
    let patch = try SettingsPatch(json: call.body, known: tasks.settings.state.settings.map(\.key))
    try await serve { () async throws(ServiceError) in
      try await tasks.settings.change(
        patch.changes, at: patch.pointers, others: patch.problems, actor: call.credential.actor)
    }
    return settings(call)
  }

  /// `GET /settings/revisions`
  func settingsRevisions(_ call: Call) async throws(Problem) -> Answer {
    var problems = Problems()
    let limit = call.query.int("limit", in: 1...1000, &problems) ?? 50
    let before = call.query.read("cursor", "is not one that this server gave", &problems) { RevisionCursor($0)?.number }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    // One more than asked for, to know whether there are more. At the limit of the store the next page is asked for in vain.
    let found = try await serve { () async throws(ServiceError) in
      try await tasks.settings.revisions(before: before, limit: min(limit + 1, 1000))
    }
    let page = Array(found.prefix(limit))
    let hasMore = found.count > limit || limit == 1000 && page.count == limit
    return .list(page, next: hasMore ? page.last.map { RevisionCursor(number: $0.number).text } : nil) {
      $1.write(to: &$0)
    }
  }

  /// `POST /settings/revert`: answers as `GET /settings` does.
  func revertSettings(_ call: Call) async throws(Problem) -> Answer {
    let number = try Self.revision(in: call.body)
    do {
      try await serve { () async throws(ServiceError) in
        try await tasks.settings.restore(number, actor: call.credential.actor)
      }
    } catch {
      guard error.code == .notFound else { throw error }
      throw Problem(
        .notFound, number.map { "there is no revision \($0) of the settings" } ?? "the settings were never changed")
    }
    return settings(call)
  }

  private static func revision(in body: [UInt8]) throws(Problem) -> Int? {
    guard !body.isEmpty else { return nil }
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(body) } catch { throw Problem(error) }
    var problems = Problems()
    let fields = JSONFields(root, at: "", known: ["revision"], problems: &problems)
    let number = fields.int("revision", &problems)
    problems.check(number, in: 0...Int(Int32.max), at: "/revision")
    guard problems.all.isEmpty else { throw .invalid(problems.all) }
    return number
  }
}

/// A version and the number of the last revision.
private struct RevisionCursor {
  let number: Int

  init(number: Int) {
    self.number = number
  }

  init?(_ text: String) {
    guard text.hasPrefix("r"), let number = Int(text.dropFirst()), number > 0, "r\(number)" == text else { return nil }
    self.number = number
  }

  var text: String { "r\(number)" }
}
