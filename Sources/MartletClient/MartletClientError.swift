// What a call can fail with, and the problem document (RFC 9457) by which a server says no.

public import MartletCore

/// A failed call. `CancellationError` is thrown as it is.
public enum MartletClientError: Error, Sendable, Hashable, CustomStringConvertible {
  /// No connection came about, so nothing was sent.
  case unreachable(server: String, reason: String)
  /// The connection broke, or the time was over, after the request was (partly) sent: it may have been carried out.
  case noAnswer(server: String, reason: String)
  /// The server refused.
  case problem(Problem)
  /// An answer that no Martlet server gives.
  case unexpectedAnswer(server: String, reason: String)
  /// Refused by this library before anything was sent.
  case invalidRequest(String)

  /// One sentence for people, on one line.
  public var description: String {
    switch self {
    case .unreachable(let server, let reason): "cannot reach the server at \(server): \(reason)"
    case .noAnswer(let server, let reason): "no answer from the server at \(server): \(reason)"
    case .problem(let problem): problem.description
    case .unexpectedAnswer(let server, let reason): "unexpected answer from the server at \(server): \(reason)"
    case .invalidRequest(let reason): reason
    }
  }
}

/// Why a server refused: `application/problem+json`.
public struct Problem: Sendable, Hashable, CustomStringConvertible {
  /// The HTTP status, 400…599.
  public var status: Int
  /// Stable and kebab-case: `invalid-state`, `queue-full`. Nil where the answer was no problem document: something in
  /// between gave it, or it is no Martlet server.
  public var code: String?
  /// The kind of problem in a few words.
  public var title: String?
  /// This problem in a sentence.
  public var detail: String?
  /// Everything wrong with the request (422), each with a JSON Pointer into its body.
  public var errors: [ValidationProblem]
  /// To find the request in the server's log.
  public var requestID: String?
  /// Whether the same request may succeed later.
  public var isRetryable: Bool
  /// How long the server asks to wait first.
  public var retryAfter: Duration?
  /// True where the server itself does not know whether it carried the request out.
  public var outcomeIsUnknown: Bool
  /// With an unknown outcome, the task that exists, or was changed, if it did; the first of several.
  public var taskID: TaskID? { taskIDs.first }
  /// With an unknown outcome, all tasks that exist, or were changed, if it did; empty where the server cannot name them.
  public var taskIDs: [TaskID]

  /// A bare status.
  public init(status: Int) {
    self.status = status
    errors = []
    taskIDs = []
    isRetryable = status == 429 || status == 503
    outcomeIsUnknown = false
  }

  /// One line: the detail, or what is known instead of it; with `errors`, all of them.
  public var description: String {
    guard !errors.isEmpty else { return detail ?? title ?? "the server answered \(status) without saying why" }
    let all = errors.map { $0.pointer.isEmpty ? $0.detail : "\($0.pointer) \($0.detail)" }.joined(separator: "; ")
    return "\(title ?? "the request is not valid"): \(all)"  // the detail repeats the first of them
  }

  /// Whatever of a problem document the body holds; a body that is none gives the bare status.
  init(status: Int, body: [UInt8], retryAfter: Duration?, requestID: String?) {
    self.init(status: status)
    self.retryAfter = retryAfter
    self.requestID = requestID
    guard let members = (try? JSONScanner.scan(body))?.members else { return }
    let fields = Dictionary(members.map { ($0.name, $0.value) }) { first, _ in first }
    code = fields["code"]?.string
    title = fields["title"]?.string
    detail = fields["detail"]?.string
    self.requestID = fields["requestId"]?.string ?? requestID
    isRetryable = fields["retryable"]?.bool ?? isRetryable
    outcomeIsUnknown = fields["outcome"]?.string == "unknown"
    let ids = fields["taskIds"]?.elements ?? fields["taskId"].map { [$0] } ?? []
    taskIDs = ids.compactMap { $0.string.flatMap(TaskID.init) }
    errors = (fields["errors"]?.elements ?? []).compactMap { element in
      guard let detail = element["detail"]?.string else { return nil }
      return ValidationProblem(pointer: element["pointer"]?.string ?? "", detail: detail)
    }
  }
}
