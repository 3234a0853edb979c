// A new task as the body of `POST /tasks`: payload byte for byte, durations in seconds, times in RFC 3339. Fields that are not
// set are left out, so that the server's defaults apply. Sent by clients; its canonical form is what an embedder's idempotency
// key stands for.

extension NewTask {
  /// - Precondition: `payload` is one JSON value, and numbers are finite.
  package func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("type", type)
      json.name("payload")
      json.raw(payload)
      if let queue { json.field("queue", queue) }
      if let priority { json.field("priority", priority) }
      if let delaySeconds { json.field("delaySeconds", delaySeconds) }
      if let runAt { json.field("runAt", runAt) }
      if let availableAt { json.field("availableAt", availableAt) }
      if let retries { json.field("retries", retries) }
      if let backoff {
        json.name("backoff")
        backoff.write(to: &json)
      }
      if let timeoutSeconds { json.field("timeoutSeconds", timeoutSeconds) }
      if let leaseSeconds { json.field("leaseSeconds", leaseSeconds) }
      if let expiresAt { json.field("expiresAt", expiresAt) }
      if !dependencies.isEmpty { json.field("dependencies", dependencies) }
      if let onDependencyFailure { json.field("onDependencyFailure", onDependencyFailure.rawValue) }
      if let ref { json.field("ref", ref) }
      if let idempotencyKey { json.field("idempotencyKey", idempotencyKey) }
      if let concurrencyKey { json.field("concurrencyKey", concurrencyKey) }
      if let notify {
        json.name("notify")
        notify.write(to: &json)
      }
      if !tags.isEmpty { json.field("tags", tags) }
      if !metadata.isEmpty { json.field("metadata", metadata) }
    }
  }
}

extension JSONWriter {
  /// An object of strings, sorted by name.
  package mutating func field(_ name: String, _ map: [String: String]) {
    field(name) { json in
      for (key, value) in map.sorted(by: { $0.key < $1.key }) { json.field(key, value) }
    }
  }
}
