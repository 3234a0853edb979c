// The three calls of the lease protocol and the reading of their answers.

internal import MartletCore

extension Call {
  static func lease(_ request: ClaimRequest) -> Call {
    var writer = JSONWriter(capacity: 256)
    writer.object { writer in
      writer.field("worker", request.worker)
      if !request.takesAllQueues { writer.field("queues", request.queues) }
      writer.field("types", request.types)
      writer.field("limit", request.limit)
      if request.ahead > 0 { writer.field("ahead", request.ahead) }
      writer.field("waitSeconds", request.patience.secondsAsDouble)
    }
    var call = Call(method: .post, path: "/leases", body: writer.bytes)
    call.hold = request.patience
    return call
  }

  static func renew(_ renewals: ArraySlice<Renewal>) -> Call {
    var writer = JSONWriter(capacity: 32 + renewals.reduce(0) { $0 + $1.wireBytes })
    writer.object { writer in
      writer.name("leases")
      writer.array(of: renewals) { writer, renewal in
        writer.object { writer in
          writer.field("leaseId", renewal.lease.description)
          if let progress = renewal.progress {
            writer.field("progress") { writer in
              writer.field("percent", progress.percent)
              if let message = progress.message { writer.field("message", message) }
            }
          }
          if !renewal.logs.isEmpty { writer.field("logs", renewal.logs) }
        }
      }
    }
    return Call(method: .post, path: "/leases/renew", body: writer.bytes, isRepeatable: true)
  }

  static func finish(_ finishes: ArraySlice<Finish>) -> Call {
    var writer = JSONWriter(capacity: 32 + finishes.reduce(0) { $0 + $1.wireBytes })
    writer.object { writer in
      writer.name("results")
      writer.array(of: finishes) { $1.write(to: &$0) }
    }
    return Call(method: .post, path: "/leases/finish", body: writer.bytes, isRepeatable: true)
  }
}

extension Renewal {
  /// About as many bytes as it takes in a body.
  var wireBytes: Int {
    128 + (progress?.message?.utf8.count ?? 0) + logs.reduce(0) { $0 + $1.utf8.count + 3 }
  }
}

extension Finish {
  /// About as many bytes as it takes in a body.
  var wireBytes: Int {
    let result = if case .success(let result?) = outcome { result.count } else { 0 }
    let error = outcome.error.map { $0.message.utf8.count + ($0.stack?.utf8.count ?? 0) } ?? 0
    return 192 + result + error + logs.reduce(0) { $0 + $1.utf8.count + 3 }
  }

  fileprivate func write(to writer: inout JSONWriter) {
    writer.object { writer in
      writer.field("leaseId", lease.description)
      switch outcome {
      case .success(let result):
        writer.field("outcome", "SUCCESS")
        if let result {
          writer.name("result")
          writer.raw(result)
        }
      case .failed(let error, let advice):
        writer.field("outcome", "FAILED")
        writer.field("error") { writer in
          writer.field("type", error.type)
          writer.field("message", error.message)
          if let stack = error.stack { writer.field("stack", stack) }
        }
        switch advice {
        case .retry: break
        case .retryAfter(let delay): writer.field("delaySeconds", delay.secondsAsDouble)
        case .giveUp: writer.field("retryable", false)
        }
      case .snoozed(let delay):
        writer.field("outcome", "SNOOZED")
        writer.field("delaySeconds", delay.secondsAsDouble)
      case .timedOut: writer.field("outcome", "TIMED_OUT")
      case .cancelled: writer.field("outcome", "CANCELLED")
      case .released, .lost: writer.field("outcome", "RELEASED")
      }
      if !logs.isEmpty { writer.field("logs", logs) }
    }
  }
}

extension ClaimedTask {
  /// An element of `leases`.
  init(_ reader: ObjectReader, held: Duration) throws(MartletClientError) {
    guard let lease = LeaseID(try reader.required("leaseId", reader.text("leaseId"))) else {
      throw reader.unexpected("'leaseId' is not one that this version knows")
    }
    let task = try reader.required("task", reader.object("task"))
    let expiresAt = try reader.required("expiresAt", reader.time("expiresAt"))
    let expiresIn = try reader.required("expiresInSeconds", reader.duration("expiresInSeconds"))
    let availableAt = try task.required("availableAt", task.time("availableAt"))
    self.init(
      lease: lease, expiresAt: expiresAt, expiresIn: expiresIn, type: try task.required("type", task.text("type")),
      queue: try task.required("queue", task.text("queue")), payload: try task.required("payload", task.raw("payload")),
      priority: try task.int("priority") ?? 5, maxAttempts: try task.required("maxAttempts", task.int("maxAttempts")),
      timeout: try task.required("timeoutSeconds", task.duration("timeoutSeconds")),
      leaseDuration: try task.required("leaseSeconds", task.duration("leaseSeconds")),
      createdAt: try task.required("createdAt", task.time("createdAt")), runAt: try task.time("runAt"),
      availableAt: availableAt, startedAt: try task.required("startedAt", task.time("startedAt")),
      readyAt: availableAt, tags: try task.texts("tags"), metadata: try task.textMap("metadata"),
      traceparent: try task.text("traceparent"))
    heldFor = held
  }
}

extension RenewalVerdict {
  init(_ reader: ObjectReader) throws(MartletClientError) {
    let state = try reader.required("state", reader.text("state"))
    guard state == "RENEWED" || state == "CANCEL_REQUESTED" else {
      self = .lost
      return
    }
    let expiresAt = try reader.required("expiresAt", reader.time("expiresAt"))
    let expiresIn = try reader.required("expiresInSeconds", reader.duration("expiresInSeconds"))
    self =
      state == "RENEWED"
      ? .renewed(expiresAt: expiresAt, expiresIn: expiresIn)
      : .cancelRequested(expiresAt: expiresAt, expiresIn: expiresIn)
  }
}

/// What became of one report.
enum ReportAnswer: Sendable {
  case told(FinishVerdict)
  /// The server does not understand it and never will.
  case refused(String)

  init(_ reader: ObjectReader) throws(MartletClientError) {
    switch try reader.required("state", reader.text("state")) {
    case "APPLIED":
      let task = try reader.required("task", reader.object("task"))
      let name = try task.required("status", task.text("status"))
      guard let status = TaskStatus(rawValue: name) else {
        throw reader.unexpected("'\(name)' is not a status that this version knows")
      }
      self = .told(.applied(status))
    case "INVALID": self = .refused(try reader.text("detail") ?? "no reason was given")
    default: self = .told(.lost)
    }
  }
}

extension ObjectReader {
  /// Rounded down to milliseconds: a lease must rather seem over than not. Nil where the field is missing.
  func duration(_ name: String) throws(MartletClientError) -> Duration? {
    guard let seconds = try double(name) else { return nil }
    guard (0...1e9).contains(seconds) else { throw unexpected("'\(name)' is not a length of time") }
    return .milliseconds(Int64((seconds * 1000 + 1e-6).rounded(.down)))
  }
}
