// From the JSON of a task to a `NewTask`: kinds and names are judged here, values by `TaskService`. Called by
// `SubmitRequest+JSON.swift`.

internal import MartletCore

extension NewTask {
  /// - Parameters:
  ///   - place: the JSON Pointer of the task.
  ///   - isInBatch: it may have a `ref`.
  ///   - problems: fields that are unknown or of the wrong kind are added here, and are absent from the task.
  ///   - unsupported: fields of the contract whose features are still to come. To ignore them would silently lose what the
  ///     client asked for.
  init(
    _ json: JSONSlice, at place: String, isInBatch: Bool, problems: inout Problems,
    unsupported: inout [ValidationProblem]
  ) {
    let names = isInBatch ? Self.fieldNames + ["ref"] : Self.fieldNames
    let fields = JSONFields(json, at: place, known: names, problems: &problems)

    self.init(type: fields.string("type", &problems) ?? "")
    if json.kind == .object, !fields.has("type") { problems.add(place + "/type", "is required") }
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
    dependencies = fields.strings("dependencies", &problems) ?? []
    onDependencyFailure = fields.choice("onDependencyFailure", &problems)
    idempotencyKey = fields.string("idempotencyKey", &problems)
    concurrencyKey = fields.string("concurrencyKey", &problems)
    tags = fields.strings("tags", &problems) ?? []
    metadata = fields.stringMap("metadata", &problems) ?? [:]
    if isInBatch { ref = fields.string("ref", &problems) }
    unsupported += Self.unsupported(in: fields)
  }

  private static let fieldNames =
    [
      "type", "payload", "queue", "priority", "delaySeconds", "runAt", "availableAt", "retries", "backoff",
      "timeoutSeconds", "leaseSeconds", "expiresAt", "dependencies", "onDependencyFailure", "idempotencyKey",
      "concurrencyKey", "tags", "metadata",
    ] + unsupportedNames

  private static let unsupportedNames = ["notify"]

  private static func unsupported(in fields: JSONFields) -> [ValidationProblem] {
    unsupportedNames.compactMap { name in
      guard fields.has(name) else { return nil }
      if name == "notify", fields.raw(name)?.elements?.isEmpty == true { return nil }
      return ValidationProblem(pointer: fields.place(name), detail: "is not supported yet")
    }
  }
}
