// From the bytes of a submission to a `NewTask`: kinds and names are judged here, values by `TaskService`. Called by
// `POST /tasks`.

internal import MartletCore

extension NewTask {
  /// - Parameter problems: fields that are unknown or of the wrong kind are added here, and are absent from the task.
  /// - Throws: the text is no JSON (400), or has fields that are not supported yet (422).
  init(json bytes: [UInt8], problems: inout Problems) throws(Problem) {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    let fields = JSONFields(root, at: "", known: Self.fieldNames, problems: &problems)

    self.init(type: fields.string("type", &problems) ?? "")
    if root.kind == .object, !fields.has("type") { problems.add("/type", "is required") }
    // Any JSON value is a payload, `null` too.
    if let payload = fields.raw("payload") { self.payload = payload.bytes }
    queue = fields.string("queue", &problems)
    priority = fields.int("priority", &problems)
    delaySeconds = fields.double("delaySeconds", &problems)
    runAt = fields.timestamp("runAt", &problems)
    availableAt = fields.timestamp("availableAt", &problems)
    retries = fields.int("retries", &problems)
    backoff = Backoff(fields, &problems)
    timeoutSeconds = fields.double("timeoutSeconds", &problems)
    leaseSeconds = fields.double("leaseSeconds", &problems)
    expiresAt = fields.timestamp("expiresAt", &problems)
    tags = fields.strings("tags", &problems) ?? []
    metadata = fields.stringMap("metadata", &problems) ?? [:]

    let unsupported = Self.unsupported(in: fields)
    guard unsupported.isEmpty else { throw .invalid(unsupported + problems.all, code: .notYetSupported) }
  }

  private static let fieldNames =
    [
      "type", "payload", "queue", "priority", "delaySeconds", "runAt", "availableAt", "retries", "backoff",
      "timeoutSeconds", "leaseSeconds", "expiresAt", "tags", "metadata",
    ] + unsupportedNames

  /// Fields of the contract whose features are still to come. To ignore them would silently lose what the client asked
  /// for.
  private static let unsupportedNames = [
    "dependencies", "onDependencyFailure", "idempotencyKey", "concurrencyKey", "notify",
  ]

  private static func unsupported(in fields: JSONFields) -> [ValidationProblem] {
    unsupportedNames.compactMap { name in
      guard fields.has(name) else { return nil }
      let isList = name == "dependencies" || name == "notify"
      if isList, fields.raw(name)?.elements?.isEmpty == true { return nil }
      return ValidationProblem(pointer: fields.place(name), detail: "is not supported yet")
    }
  }
}

extension NewTask.Backoff {
  /// Nil where there is none.
  fileprivate init?(_ fields: JSONFields, _ problems: inout Problems) {
    guard fields.has("backoff"), let slice = fields.raw("backoff") else { return nil }
    let names = ["strategy", "baseSeconds", "factor", "maxSeconds", "jitter"]
    let parts = JSONFields(slice, at: fields.place("backoff"), known: names, problems: &problems)
    self.init()
    strategy = parts.choice("strategy", &problems)
    baseSeconds = parts.double("baseSeconds", &problems)
    factor = parts.double("factor", &problems)
    maxSeconds = parts.double("maxSeconds", &problems)
    jitter = parts.double("jitter", &problems)
  }
}
