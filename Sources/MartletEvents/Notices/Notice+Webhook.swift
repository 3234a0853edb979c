// A notice as the body of a webhook (API, "Notice by webhook"). Whoever sends it signs these very bytes with `WebhookSignature`.

internal import MartletCore

extension Notice {
  /// JSON; the same bytes for the same notice.
  package var webhookBody: [UInt8] {
    var json = JSONWriter(capacity: 1024 + (result?.count ?? 0))
    json.object { json in
      json.field("type", status.eventType)
      json.field("timestamp", timestamp)
      json.field("data") { json in
        json.field("taskId", taskID)
        json.field("taskType", taskType)
        json.field("status", status.rawValue)
        json.field("taskStatus", taskStatus.rawValue)
        json.field("reason", reason?.rawValue)
        json.field("attempt", attempt)
        json.name("result")
        if let result { json.raw(result) } else { json.null() }
        json.name("error")
        if let error { error.write(to: &json) } else { json.null() }
        json.field("logs", logs)
        json.field("createdAt", createdAt)
        json.field("startedAt", startedAt)
        json.field("finishedAt", finishedAt)
        json.field("metadata") { json in
          for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { json.field(name, value) }
        }
      }
    }
    return json.bytes
  }
}

extension TaskError {
  /// A handler may put anything into an error, a whole answer of some server for example.
  private static let longestMessage = 16_384

  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("type", cut(type, to: 256))
      json.field("message", cut(message, to: Self.longestMessage))
      json.field("stack", stack.map { cut($0, to: Self.longestMessage) })
    }
  }

  private func cut(_ text: String, to limit: Int) -> String {
    guard text.utf8.count > limit else { return text }
    return text.unicodeScalars.count > limit ? String(text.unicodeScalars.prefix(limit)) + "…" : text
  }
}
