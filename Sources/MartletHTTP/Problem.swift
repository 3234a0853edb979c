// Every refusal that a client can meet, and the only place that makes problem documents (RFC 9457) of them. Routes and
// the responder throw a `Problem`; `HTTPEdge` writes one itself where no request could be read.

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine

/// What went wrong, as data.
struct Problem: Error, Sendable {
  let code: Code
  let detail: String
  /// For validation: all problems at once.
  var errors: [ValidationProblem] = []
  /// The store's answer was lost: it may have done what was asked, or not.
  var isOutcomeUnknown = false
  /// Tasks that may or may not have been stored or changed then.
  var unknownTasks: [TaskID] = []
  /// Nil goes by the code.
  var isRetryable: Bool?
  /// The value of `Allow`.
  var allowedMethods: String?
  /// Further header fields of the answer.
  var fields: [(name: HTTPField.Name, value: String)] = []
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
    case unauthenticated
    case forbidden
    case forbiddenHost = "forbidden-host"
    case notFound = "not-found"
    case methodNotAllowed = "method-not-allowed"
    case requestTimeout = "request-timeout"
    case invalidState = "invalid-state"
    case alreadyExists = "already-exists"
    case streamOff = "stream-off"
    /// Of the event stream.
    case positionGone = "position-gone"
    /// The task's payload.
    case payloadTooLarge = "payload-too-large"
    /// The whole request.
    case bodyTooLarge = "body-too-large"
    case unsupportedMediaType = "unsupported-media-type"
    case invalid
    case idempotencyKeyReused = "idempotency-key-reused"
    case dependencyCycle = "dependency-cycle"
    case rateLimited = "rate-limited"
    case queueFull = "queue-full"
    case headersTooLarge = "headers-too-large"
    case `internal`
    case storeUnavailable = "store-unavailable"
    /// Nobody can tell whether the credential is good.
    case authUnavailable = "auth-unavailable"
    case shuttingDown = "shutting-down"

    var status: Int {
      switch self {
      case .malformedJSON, .malformedRequest: 400
      case .unauthenticated: 401
      case .forbidden, .forbiddenHost: 403
      case .notFound: 404
      case .methodNotAllowed: 405
      case .requestTimeout: 408
      case .invalidState, .alreadyExists, .streamOff: 409
      case .positionGone: 410
      case .payloadTooLarge, .bodyTooLarge: 413
      case .unsupportedMediaType: 415
      case .invalid, .idempotencyKeyReused, .dependencyCycle: 422
      case .rateLimited, .queueFull: 429
      case .headersTooLarge: 431
      case .internal: 500
      case .storeUnavailable, .authUnavailable, .shuttingDown: 503
      }
    }

    var title: String {
      switch self {
      case .malformedJSON: "The body is not JSON"
      case .malformedRequest: "The request is malformed"
      case .unauthenticated: "Not authenticated"
      case .forbidden: "Not allowed"
      case .forbiddenHost: "Not from here"
      case .notFound: "Not found"
      case .methodNotAllowed: "Method not allowed"
      case .requestTimeout: "The request took too long to arrive"
      case .invalidState: "The task's state forbids it"
      case .alreadyExists: "It is there already"
      case .streamOff: "The event stream is off"
      case .positionGone: "The position is gone"
      case .payloadTooLarge: "The payload is too large"
      case .bodyTooLarge: "The request is too large"
      case .unsupportedMediaType: "Unsupported media type"
      case .invalid: "The request is not valid"
      case .idempotencyKeyReused: "The idempotency key was used for another request"
      case .dependencyCycle: "Tasks wait for each other in a ring"
      case .rateLimited: "Too many requests"
      case .queueFull: "The queue is full"
      case .headersTooLarge: "The request's header is too large"
      case .internal: "Internal error"
      case .storeUnavailable: "The store is unavailable"
      case .authUnavailable: "Credentials cannot be checked"
      case .shuttingDown: "The server is shutting down"
      }
    }

    /// The same request may succeed later.
    var isRetryable: Bool {
      switch self {
      case .requestTimeout, .rateLimited, .queueFull, .storeUnavailable, .authUnavailable, .shuttingDown, .internal:
        true
      default: false
      }
    }

    /// Seconds for `Retry-After`.
    var retryAfter: Int? {
      switch self {
      case .storeUnavailable, .shuttingDown, .queueFull: 1
      case .authUnavailable: 2
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
      }
      if isOutcomeUnknown { json.field("outcome", "unknown") }
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

  /// The same call once more would do it twice, if it was done.
  var onlyOnce: Problem {
    var problem = self
    if isOutcomeUnknown { problem.isRetryable = false }
    return problem
  }

  static func noTask(_ text: String) -> Problem {
    Problem(.notFound, "there is no task '\(text)'")
  }

  static func noNotice(_ text: String) -> Problem {
    Problem(.notFound, "there is no notice '\(text)'")
  }

  static func noGraph(_ text: String) -> Problem {
    Problem(.notFound, "there is no graph '\(text)'")
  }

  /// - Parameters: the task that the call was about, if it was about one.
  init(_ error: ServiceError, task: TaskID? = nil) {
    switch error {
    case .invalid(let failure):
      self = .invalid(failure.problems, code: failure.payloadTooLarge ? .payloadTooLarge : .invalid)
    case .idempotencyKeyReused(let key):
      self.init(.idempotencyKeyReused, "the key '\(key)' stands for another request; use a new key for a new request")
    case .dependencyCycle(let names):
      self.init(.dependencyCycle, "\((names + names.prefix(1)).joined(separator: " → ")): each waits for the next")
    case .queueFull(let queue):
      self = Problem(.queueFull, "as many tasks wait in the queue '\(queue)' as its maxDepth allows")
    case .alreadyExists(let name):
      self.init(.alreadyExists, "there is a schedule '\(name)'; PUT /schedules/\(name) replaces it")
    case .nameTaken:
      self.init(.alreadyExists, "the name is taken")
    case .forbiddenQueue:
      self = .forbiddenScheduleQueue
    case .notFound:
      self = task.map { .noTask($0.description) } ?? Problem(.notFound, "there is no such thing")
    case .forbiddenQueues(let places):
      self = .forbiddenQueues(at: places)
    case .invalidState(let status, let action):
      self.init(.invalidState, "the task is \(status.rawValue): it cannot be \(action)")
    case .store(.unknownOutcome, let tasks) where !tasks.isEmpty:
      self.init(
        .storeUnavailable,
        "the store's answer was lost: whether the task was stored is not known; look for taskId before trying again")
      unknownTasks = tasks
      isOutcomeUnknown = true
      isRetryable = false  // a second submission would make a second task
    case .store(.unknownOutcome, _):
      self.init(
        .storeUnavailable,
        "the store's answer was lost: whether the change was made is not known; look before trying again")
      unknownTasks = task.map { [$0] } ?? []
      isOutcomeUnknown = true
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
