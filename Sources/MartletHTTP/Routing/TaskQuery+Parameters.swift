// From the query parameters of a list to a `TaskQuery`. Called by `GET /tasks` and `GET /dead-letters`.

internal import MartletCore

extension Parameters.Known {
  static let taskList = Parameters.Known(
    names: ["status"] + filters, prefix: "metadata.", unsupported: unsupportedFilters)

  /// The status is given by the path.
  static let deadLetters = Parameters.Known(names: filters, prefix: "metadata.", unsupported: unsupportedFilters)

  private static let filters = [
    "type", "queue", "tag", "worker", "createdAfter", "createdBefore", "include", "limit", "cursor",
  ]
  private static let unsupportedFilters = ["graphId", "idempotencyKey", "scheduleName"]
}

extension TaskQuery {
  init(_ parameters: Parameters) throws(Problem) {
    self.init()
    guard !parameters.isEmpty else { return }
    var problems = Problems()

    let statusNames =
      "one or more of \(TaskStatus.allCases.map(\.rawValue).joined(separator: ", ")), with commas between"
    statuses = Set(parameters.list("status", statusNames, &problems) { TaskStatus(wireName: $0) } ?? [])
    let names = "names of 1–128 characters of A-Z a-z 0-9 . _ : -, with commas between"
    types = Set(parameters.list("type", names, &problems, Self.name) ?? [])
    queues = Set(parameters.list("queue", names, &problems, Self.name) ?? [])
    tag = parameters.read("tag", "must be 1 to 64 characters long", &problems) { Self.text($0, upTo: 64) }
    worker = parameters.read("worker", "must be 1 to 256 characters long", &problems) { Self.text($0, upTo: 256) }
    createdAfter = parameters.timestamp("createdAfter", &problems)
    createdBefore = parameters.timestamp("createdBefore", &problems)
    limit = parameters.int("limit", in: 1...1000, &problems) ?? limit
    before =
      parameters.read("cursor", "is not one that this server gave", &problems) { Cursor($0) }?.before
    let included = parameters.list("include", "payload, result or both, with a comma between", &problems) { name in
      name == "payload" || name == "result" ? name : nil
    }
    includesPayload = included?.contains("payload") ?? false
    includesResult = included?.contains("result") ?? false
    metadata = parameters.prefixed
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
      problems.checkText(name, lengths: 1...64, at: Parameters.pointer("metadata." + name))
      problems.checkText(value, lengths: 0...512, at: Parameters.pointer("metadata." + name))
    }

    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
  }

  private static func name(_ text: Substring) -> String? {
    let name = String(text)
    return Limits.isName(name) ? name : nil
  }

  private static func text(_ text: String, upTo length: Int) -> String? {
    (1...length).contains(text.count) ? text : nil
  }
}
