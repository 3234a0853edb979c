// Every refusal that a client can meet, and the only place that makes problem documents (RFC 9457) of them. Routes and
// the responder throw a `Problem`; `HTTPEdge` writes one itself where no request could be read.

internal import MartletCore
internal import MartletEngine

/// What went wrong, as data.
struct Problem: Error, Sendable {
  let code: Code
  let detail: String
  /// For validation: all problems at once.
  var errors: [ValidationProblem] = []
  /// Tasks that may or may not have been stored or changed; not empty means that the outcome is unknown.
  var unknownTasks: [TaskID] = []
  /// Nil goes by the code.
  var isRetryable: Bool?
  /// The value of `Allow`.
  var allowedMethods: String?
  /// The rest of the request will not be read.
  var closesConnection = false

  init(_ code: Code, _ detail: String, errors: [ValidationProblem] = []) {
    self.code = code
    self.detail = detail
    self.errors = errors
  }

  /// Stable names: clients switch on them.
  enum Code: String, CaseIterable, Sendable {
    case malformedJSON = "malformed-json"
    case malformedRequest = "malformed-request"
    case forbiddenHost = "forbidden-host"
    case notFound = "not-found"
    case methodNotAllowed = "method-not-allowed"
    case requestTimeout = "request-timeout"
    case invalidState = "invalid-state"
    /// The task's payload.
    case payloadTooLarge = "payload-too-large"
    /// The whole request.
    case bodyTooLarge = "body-too-large"
    case unsupportedMediaType = "unsupported-media-type"
    case invalid
    case notYetSupported = "not-yet-supported"
    case headersTooLarge = "headers-too-large"
    case `internal`
    case storeUnavailable = "store-unavailable"
    case shuttingDown = "shutting-down"

    var status: Int {
      switch self {
      case .malformedJSON, .malformedRequest: 400
      case .forbiddenHost: 403
      case .notFound: 404
      case .methodNotAllowed: 405
      case .requestTimeout: 408
      case .invalidState: 409
      case .payloadTooLarge, .bodyTooLarge: 413
      case .unsupportedMediaType: 415
      case .invalid, .notYetSupported: 422
      case .headersTooLarge: 431
      case .internal: 500
      case .storeUnavailable, .shuttingDown: 503
      }
    }

    var title: String {
      switch self {
      case .malformedJSON: "The body is not JSON"
      case .malformedRequest: "The request is malformed"
      case .forbiddenHost: "Not from here"
      case .notFound: "Not found"
      case .methodNotAllowed: "Method not allowed"
      case .requestTimeout: "The request took too long to arrive"
      case .invalidState: "The task's state forbids it"
      case .payloadTooLarge: "The payload is too large"
      case .bodyTooLarge: "The request is too large"
      case .unsupportedMediaType: "Unsupported media type"
      case .invalid: "The request is not valid"
      case .notYetSupported: "Not supported yet"
      case .headersTooLarge: "The request's header is too large"
      case .internal: "Internal error"
      case .storeUnavailable: "The store is unavailable"
      case .shuttingDown: "The server is shutting down"
      }
    }

    /// The same request may succeed later.
    var isRetryable: Bool {
      switch self {
      case .requestTimeout, .storeUnavailable, .shuttingDown, .internal: true
      default: false
      }
    }

    /// Seconds for `Retry-After`.
    var retryAfter: Int? {
      switch self {
      case .storeUnavailable, .shuttingDown: 1
      default: nil
      }
    }
  }

  func document(requestID: String) -> [UInt8] {
    var json = JSONWriter(capacity: 512)
    json.object { json in
      json.field("type", "urn:martlet:problem:\(code.rawValue)")
      json.field("title", code.title)
      json.field("status", code.status)
      json.field("detail", detail)
      json.field("code", code.rawValue)
      json.field("requestId", requestID)
      json.field("retryable", isRetryable ?? code.isRetryable)
      if !errors.isEmpty {
        json.name("errors")
        json.array(of: errors) { json, error in
          json.object { json in
            json.field("pointer", error.pointer)
            json.field("detail", error.detail)
          }
        }
      }
      if let task = unknownTasks.first {
        json.field("taskId", task)
        if unknownTasks.count > 1 { json.field("taskIds", unknownTasks.map(\.description)) }
        json.field("outcome", "unknown")
      }
    }
    return json.bytes
  }
}

extension Problem {
  /// Validation: the detail repeats the first few problems, for people who read no further.
  static func invalid(_ problems: [ValidationProblem], code: Code = .invalid) -> Problem {
    let shown = problems.prefix(3).map { $0.pointer.isEmpty ? $0.detail : "\($0.pointer) \($0.detail)" }
    let more = problems.count > 3 ? "; and \(problems.count - 3) more" : ""
    return Problem(code, shown.joined(separator: "; ") + more, errors: problems)
  }

  static func noTask(_ text: String) -> Problem {
    Problem(.notFound, "there is no task '\(text)'")
  }

  /// - Parameters: the task that the call was about, if it was about one.
  init(_ error: ServiceError, task: TaskID? = nil) {
    switch error {
    case .invalid(let failure):
      self = .invalid(failure.problems, code: failure.payloadTooLarge ? .payloadTooLarge : .invalid)
    case .notFound:
      self = task.map { .noTask($0.description) } ?? Problem(.notFound, "there is no such thing")
    case .invalidState(let status, let action):
      self.init(.invalidState, "the task is \(status.rawValue): it cannot be \(action)")
    case .store(.unknownOutcome, let tasks) where !tasks.isEmpty:
      self.init(
        .storeUnavailable,
        "the store's answer was lost: whether the task was stored is not known; look for taskId before trying again")
      unknownTasks = tasks
      isRetryable = false  // a second submission would make a second task
    case .store(.unknownOutcome, _):
      self.init(.storeUnavailable, "the store's answer was lost: whether the change was made is not known")
      unknownTasks = task.map { [$0] } ?? []
    case .store:
      // The store's own words name files and hosts: they are for the log, not for clients.
      self.init(.storeUnavailable, "the store cannot be reached or cannot write now; nothing was changed")
    }
  }

  init(_ error: JSONError) {
    switch error {
    case .malformed(let offset, let what):
      self.init(.malformedJSON, "at byte \(offset): \(what)")
    case .tooDeep(let limit):
      let detail = "is nested more than \(limit) levels deep"
      self.init(.invalid, "the body \(detail)", errors: [ValidationProblem(pointer: "", detail: detail)])
    }
  }
}
