// From the JSON of a task to a `NewTask`: kinds and names are judged here, values by `TaskService`. Called by
// `SubmitRequest+JSON.swift`.

internal import MartletCore

extension NewTask {
  /// - Parameters:
  ///   - place: the JSON Pointer of the task.
  ///   - isInBatch: it may have a `ref`.
  ///   - problems: fields that are unknown or of the wrong kind are added here, and are absent from the task.
  init(_ json: JSONSlice, at place: String, isInBatch: Bool, problems: inout Problems) {
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
    notify = [NoticeTarget](fields, &problems)
    if isInBatch { ref = fields.string("ref", &problems) }
  }

  private static let fieldNames = [
    "type", "payload", "queue", "priority", "delaySeconds", "runAt", "availableAt", "retries", "backoff",
    "timeoutSeconds", "leaseSeconds", "expiresAt", "dependencies", "onDependencyFailure", "idempotencyKey",
    "concurrencyKey", "tags", "metadata", "notify",
  ]
}
