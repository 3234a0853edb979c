// What the audit says of changed settings: the values that were set. Written by the stores, in the transaction of the change.

extension AuditAction {
  package static let updateQueue = AuditAction(rawValue: "queue.update")
  package static let putType = AuditAction(rawValue: "type.put")
}

extension QueuePatch {
  package func note(queue: String, actor: String) -> AuditNote {
    var json = JSONWriter(capacity: 64)
    json.object { json in
      if let isPaused { json.field("paused", isPaused) }
      concurrency.write("concurrency", to: &json) { $0.int($1) }
      concurrencyPerKey.write("concurrencyPerKey", to: &json) { $0.int($1) }
      ratePerSecond.write("ratePerSecond", to: &json) { $0.double($1) }
      burst.write("burst", to: &json) { $0.int($1) }
      maxDepth.write("maxDepth", to: &json) { $0.int($1) }
      notify.write("notify", to: &json) { $1.write(to: &$0) }
    }
    return AuditNote(.updateQueue, of: queue, by: actor, detail: String(decoding: json.bytes, as: UTF8.self))
  }
}

extension TypeSettings {
  package func note(type: String, actor: String) -> AuditNote {
    var json = JSONWriter(capacity: 64)
    json.object { json in
      json.field("paused", isPaused)
      json.name("defaults")
      defaults.write(to: &json)
    }
    return AuditNote(.putType, of: type, by: actor, detail: String(decoding: json.bytes, as: UTF8.self))
  }
}

extension QueuePatch.Limit {
  fileprivate func write(_ name: String, to json: inout JSONWriter, _ value: (inout JSONWriter, Value) -> Void) {
    switch self {
    case .keep: break
    case .none:
      json.name(name)
      json.null()
    case .value(let limit):
      json.name(name)
      value(&json, limit)
    }
  }
}
