// The exit codes of the contract, and which failure gives which. Every command throws; `MartletCommand` ends the
// program.

internal import MartletClient

enum ExitStatus: Int32 {
  case done = 0
  case failed = 1
  /// Wrong usage, or a value that the server refused (400, 413, 415, 422).
  case usage = 2
  case unreachable = 3
  case notFound = 4
  case notAllowed = 5
}

/// An end that is not success, ready to be told.
struct CommandFailure: Error {
  var status: ExitStatus
  /// Empty when all has been said.
  var message: String
  /// More lines, one for each thing wrong.
  var details: [String] = []

  init(_ status: ExitStatus, _ message: String, details: [String] = []) {
    self.status = status
    self.message = message
    self.details = details
  }

  /// Nil for errors that are ArgumentParser's to tell.
  init?(telling error: any Error) {
    switch error {
    case let failure as CommandFailure: self = failure
    case let error as MartletClientError: self.init(error)
    case is CancellationError: self.init(.failed, "interrupted")
    default: return nil
    }
  }

  init(_ error: MartletClientError) {
    switch error {
    case .unreachable, .noAnswer: self.init(.unreachable, error.description)
    case .unexpectedAnswer: self.init(.failed, "\(error); is it a Martlet server?")
    case .invalidRequest: self.init(.usage, error.description)
    case .problem(let problem): self.init(problem)
    }
  }

  private init(_ problem: Problem) {
    let status: ExitStatus =
      switch problem.status {
      case 400, 413, 415, 422: .usage
      case 401, 403: .notAllowed
      case 404: .notFound
      default: .failed
      }
    // Who may not is told so in one line, whatever it was about.
    let isOneLine = problem.errors.isEmpty || status == .notAllowed
    var message =
      problem.errors.isEmpty
      ? problem.description : (isOneLine ? problem.detail : nil) ?? problem.title ?? "the request is not valid"
    switch (problem.status, problem.code) {
    case (401, _): message += " (set MARTLET_API_KEY or MARTLET_TOKEN)"
    case (_, nil): message += "; is it a Martlet server?"
    case (500..., _): message += problem.requestID.map { " (request \($0))" } ?? ""
    default: break
    }
    if problem.outcomeIsUnknown, let id = problem.taskID { message += " (martlet tasks show \(id))" }
    self.init(
      status, message,
      details: isOneLine ? [] : problem.errors.map { $0.pointer.isEmpty ? $0.detail : "\($0.pointer) \($0.detail)" })
  }

  /// As it is printed: the message on one line, then the details on theirs.
  var text: String {
    guard !message.isEmpty else { return "" }
    return (["martlet: \(Plain.line(message))"] + details.map { "  \(Plain.line($0))" }).joined(separator: "\n")
  }
}
