// Queues, workers, statistics and readiness as clients see them. Called by the routes.

internal import MartletCore
internal import MartletEngine

extension QueueSummary {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("name", name)
      json.field("depth") { counts.writeFields(to: &$0) }
      json.field("oldestReadySeconds", oldestReadySeconds)
      json.field("throughputPerSecond", throughputPerSecond)
      settings.writeFields(to: &json)
    }
  }
}

extension QueueSettings {
  func writeFields(to json: inout JSONWriter) {
    json.field("paused", isPaused)
    json.field("concurrency", concurrency)
    json.field("concurrencyPerKey", concurrencyPerKey)
    json.field("ratePerSecond", ratePerSecond)
    json.field("burst", burst)
    json.field("maxDepth", maxDepth)
    json.name("notify")
    if let notify { notify.write(to: &json) } else { json.null() }
  }
}

extension TypeSummary {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("name", name)
      json.name("defaults")
      settings.defaults.write(to: &json)
      json.field("paused", settings.isPaused)
      json.field("workers", workers)
      json.field("counts") { counts.writeFields(to: &$0) }
    }
  }
}

extension WorkerRecord {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("id", id)
      json.field("host", host)
      json.field("kind", kind.rawValue)
      json.field("types", types)
      json.field("queues", queues)
      json.field("running", running)
      json.field("lastSeenAt", lastSeenAt)
    }
  }
}

extension Statistics {
  func writeFields(to json: inout JSONWriter) {
    json.field("countedAt", countedAt)
    json.field("byStatus") { byStatus.writeFields(to: &$0) }
    json.field("byType") { json in
      for (type, counts) in byType.sorted(by: { $0.key < $1.key }) {
        json.field(type) { counts.writeFields(to: &$0) }
      }
    }
    json.field("throughput") { json in
      json.field("submittedPerSecond", submittedPerSecond)
      json.field("finishedPerSecond", finishedPerSecond)
    }
    json.field("latency") { json in
      json.field("waitSeconds", wait)
      json.field("runSeconds", run)
    }
  }
}

extension Readiness {
  func writeFields(to json: inout JSONWriter) {
    json.field("status", canServe ? "ready" : "not-ready")
    json.name("components")
    json.array(of: components) { json, component in
      json.object { json in
        json.field("name", component.name)
        json.field("status", component.isHealthy ? "ok" : "failing")
        json.field("detail", component.detail)
      }
    }
  }
}

extension [TaskStatus: Int] {
  /// Every status, zeros included.
  fileprivate func writeFields(to json: inout JSONWriter) {
    for status in TaskStatus.allCases { json.field(status.rawValue, self[status] ?? 0) }
  }
}

extension JSONWriter {
  fileprivate mutating func field(_ name: String, _ latency: Statistics.Latency?) {
    guard let latency else { return field(name, Double?.none) }
    field(name) { json in
      json.field("p50", latency.p50)
      json.field("p99", latency.p99)
    }
  }
}
