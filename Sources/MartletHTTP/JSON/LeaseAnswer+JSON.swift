// What the lease protocol answers. Lengths of time are rounded towards zero: a worker must rather think that a lease is over than
// that it still stands.

internal import MartletCore
internal import MartletEngine

extension LeaseGrant {
  var answer: Answer {
    let size = tasks.reduce(256) { $0 + 900 + $1.payload.count }
    return .json(capacity: size) { json in
      json.field("heldSeconds", held.wireSeconds)
      json.name("leases")
      json.array(of: tasks) { json, task in
        json.object { json in
          json.field("leaseId", task.lease.description)
          json.field("attempt", task.attempt)
          json.field("expiresAt", task.expiresAt)
          json.field("expiresInSeconds", max(.zero, task.expiresIn - age).wireSeconds)
          json.field("task") { task.writeFields(to: &$0) }
        }
      }
    }
  }
}

extension ClaimedTask {
  /// Of the task resource, what its worker needs, by the same names.
  fileprivate func writeFields(to json: inout JSONWriter) {
    json.field("id", id)
    json.field("type", type)
    json.field("queue", queue)
    json.field("status", TaskStatus.running.rawValue)
    json.field("priority", priority)
    json.name("payload")
    json.raw(payload)
    json.field("attempt", attempt)
    json.field("maxAttempts", maxAttempts)
    json.field("retriesLeft", max(0, maxAttempts - attempt))
    json.field("timeoutSeconds", timeout.secondsAsDouble)
    json.field("leaseSeconds", leaseDuration.secondsAsDouble)
    json.field("createdAt", createdAt)
    json.field("runAt", runAt)
    json.field("availableAt", availableAt)
    json.field("startedAt", startedAt)
    json.field("tags", tags)
    json.field("metadata") { json in
      for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { json.field(name, value) }
    }
    json.field("traceparent", traceparent)
  }
}

extension LeaseEntry<LeaseRenewal> {
  func write(_ verdict: RenewalVerdict, to json: inout JSONWriter) {
    json.object { json in
      json.field("leaseId", leaseID)
      switch verdict {
      case .renewed(let expiresAt, let expiresIn):
        json.field("state", "RENEWED")
        json.field("expiresAt", expiresAt)
        json.field("expiresInSeconds", expiresIn.wireSeconds)
      case .cancelRequested(let expiresAt, let expiresIn):
        json.field("state", "CANCEL_REQUESTED")
        json.field("expiresAt", expiresAt)
        json.field("expiresInSeconds", expiresIn.wireSeconds)
      case .lost:
        json.field("state", "LOST")
        json.field("expiresAt", Timestamp?.none)
        json.field("expiresInSeconds", 0)
      }
      if let detail { json.field("detail", detail) }
    }
  }
}

extension LeaseEntry<LeaseReport> {
  /// True where nothing of it may be applied. What names no lease that ever was is no mistake: it is lost.
  var isInvalid: Bool {
    if case .success? = value?.outcome { return false }
    return hasMistake
  }

  /// - Parameter verdict: nil where it is not valid.
  func write(_ verdict: FinishVerdict?, to json: inout JSONWriter) {
    json.object { json in
      json.field("leaseId", leaseID)
      switch verdict {
      case .applied(let status):
        json.field("state", "APPLIED")
        json.field("task") { json in
          json.field("id", value?.lease.task)
          json.field("status", status.rawValue)
        }
      case .lost:
        json.field("state", "LOST")
        json.name("task")
        json.null()
      case nil:
        json.field("state", "INVALID")
        json.name("task")
        json.null()
      }
      if let detail { json.field("detail", detail) }
    }
  }
}

extension Duration {
  /// Seconds with whole milliseconds, rounded towards zero.
  fileprivate var wireSeconds: Double { Double(wholeMilliseconds) / 1000 }
}
