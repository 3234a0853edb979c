// From the query parameters of a list to a `TaskQuery`. Called by `GET /tasks` and `GET /dead-letters`.

internal import MartletCore

extension Parameters.Known {
  static let taskList = Parameters.Known(names: filters, prefix: "metadata.")

  private static let filters = [
    "status", "type", "queue", "tag", "worker", "graphId", "idempotencyKey", "scheduleName", "createdAfter",
    "createdBefore",
    "include", "limit", "cursor",
  ]
}

extension TaskQuery {
  /// - Parameter deadLetters: the path says DEAD already: another status is a mistake.
  init(_ parameters: Parameters, deadLetters: Bool = false) throws(Problem) {
    self.init()
    let known = deadLetters ? [.dead] : TaskStatus.allCases
    if deadLetters { statuses = Set(known) }
    guard !parameters.isEmpty else { return }
    var problems = Problems()

    let statusNames = "one or more of \(known.map(\.rawValue).joined(separator: ", ")), with commas between"
    let given = parameters.list("status", statusNames, &problems) { name in
      TaskStatus(wireName: name).flatMap { known.contains($0) ? $0 : nil }
    }
    statuses = given.map { Set($0) } ?? statuses
    let names = "names of 1–128 characters of A-Z a-z 0-9 . _ : -, with commas between"
    types = Set(parameters.list("type", names, &problems, Self.name) ?? [])
    queues = Set(parameters.list("queue", names, &problems, Self.name) ?? [])
    tag = Self.text("tag", upTo: 64, parameters, &problems)
    worker = Self.text("worker", upTo: 256, parameters, &problems)
    graphID = parameters.read("graphId", "must be the id of a graph", &problems) { TaskID($0) }
    idempotencyKey = parameters.read("idempotencyKey", "must be 1 to 255 visible ASCII characters", &problems) { key in
      var problems = Problems()
      problems.checkKey(key, at: "")
      return problems.all.isEmpty ? key : nil
    }
    scheduleName = parameters.read("scheduleName", "must be 1–128 characters of A-Z a-z 0-9 . _ : -", &problems) {
      Limits.isName($0) ? $0 : nil
    }
    createdAfter = parameters.timestamp("createdAfter", &problems)
    createdBefore = parameters.timestamp("createdBefore", &problems)
    limit = parameters.int("limit", in: 1...1000, &problems) ?? limit
    before =
      parameters.read("cursor", "is not one that this server gave", &problems) { Cursor($0)?.before }
    let included = parameters.list("include", "payload, result or both, with a comma between", &problems) { name in
      name == "payload" || name == "result" ? name : nil
    }
    includesPayload = included?.contains("payload") ?? false
    includesResult = included?.contains("result") ?? false
    metadata = parameters.prefixed
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
      let (place, told) = (Parameters.pointer("metadata." + name), "the query parameter 'metadata.\(name)' ")
      problems.checkText(name, lengths: 1...64, at: place, of: told)
      problems.checkText(value, lengths: 0...512, at: place, of: told)
    }

    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
  }

  private static func name(_ text: Substring) -> String? {
    let name = String(text)
    return Limits.isName(name) ? name : nil
  }

  private static func text(
    _ name: String, upTo length: Int, _ parameters: Parameters, _ problems: inout Problems
  ) -> String? {
    guard let text = parameters.text(name) else { return nil }
    problems.checkText(text, lengths: 1...length, at: Parameters.pointer(name), of: "the query parameter '\(name)' ")
    return text
  }
}
