// A task, its attempts and its events as clients see them. Fields without a value are `null`; payload and result are
// the bytes that came, spliced in. Called by the routes.

internal import MartletCore

extension TaskRecord {
  /// - Parameters: lists leave out payload and result unless they were asked for.
  func write(to json: inout JSONWriter, withPayload: Bool = true, withResult: Bool = true) {
    json.object { json in
      json.field("id", id)
      json.field("type", type)
      json.field("queue", queue)
      json.field("status", status.rawValue)
      json.field("reason", reason?.rawValue)
      json.field("priority", priority)
      if withPayload { json.field("payload", raw: payload) }
      json.field("delaySeconds", delay?.secondsAsDouble)
      json.field("runAt", runAt)
      json.field("availableAt", availableAt)
      json.field("expiresAt", expiresAt)
      json.field("attempt", attempt)
      json.field("maxAttempts", maxAttempts)
      json.field("retries", retries)
      json.field("retriesLeft", retriesLeft)
      json.field("backoff") { backoff.writeFields(to: &$0) }
      json.field("timeoutSeconds", timeout.secondsAsDouble)
      json.field("leaseSeconds", lease.secondsAsDouble)
      json.field("createdAt", createdAt)
      json.field("updatedAt", updatedAt)
      json.field("startedAt", startedAt)
      json.field("finishedAt", finishedAt)
      json.field("worker", worker)
      json.name("progress")
      if let progress { progress.write(to: &json) } else { json.null() }
      json.field("cancelRequested", cancelRequested)
      if withResult {
        json.field("result", raw: result)
        json.field("resultTruncated", resultTruncated)
      }
      json.name("lastError")
      if let lastError { lastError.write(to: &json) } else { json.null() }
      json.field("tags", tags)
      json.field("metadata") { json in
        for (name, value) in metadata.count > 1 ? metadata.sorted(by: { $0.key < $1.key }) : Array(metadata) {
          json.field(name, value)
        }
      }
      json.field("replayOf", replayOf)
      json.field("dependencies", dependencies.map(\.description))
      json.field("onDependencyFailure", onDependencyFailure.rawValue)
      json.field("ref", ref)
      json.field("graphId", graphID)
      json.field("idempotencyKey", idempotencyKey)
      json.field("concurrencyKey", concurrencyKey)
      json.field("scheduleName", scheduleName)
      json.name("notify")
      notify.write(to: &json)
    }
  }
}

extension RetryPolicy {
  fileprivate func writeFields(to json: inout JSONWriter) {
    json.field("strategy", strategy.rawValue)
    json.field("baseSeconds", baseSeconds)
    json.field("factor", factor)
    json.field("maxSeconds", maxSeconds)
    json.field("jitter", jitter)
  }
}

extension Progress {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("percent", percent)
      json.field("message", message)
    }
  }
}

extension TaskError {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("type", type)
      json.field("message", message)
      json.field("stack", stack)
    }
  }
}

extension AttemptRecord {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("number", number)
      json.field("worker", worker)
      json.field("startedAt", startedAt)
      json.field("finishedAt", finishedAt)
      json.field("outcome", outcome?.rawValue)
      json.name("error")
      if let error { error.write(to: &json) } else { json.null() }
      json.field("logs", logs)
    }
  }
}

extension TaskEvent {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("sequence", sequence)
      json.field("type", "martlet.task.\(type.rawValue)")
      json.field("at", at)
      json.field("actor", actor)
      json.field("cause", cause)
    }
  }
}

extension JSONWriter {
  /// One JSON value as it is, or `null`.
  fileprivate mutating func field(_ name: String, raw bytes: [UInt8]?) {
    self.name(name)
    if let bytes { raw(bytes) } else { null() }
  }
}
