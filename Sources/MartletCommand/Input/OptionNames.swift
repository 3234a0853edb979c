// The fields of a task in the words of the options that set them: `submit` and `tasks patch` tell with it what is wrong, whether
// they found it themselves or the server did.

internal import MartletClient

enum OptionNames {
  /// What is wrong, by the option; by the JSON Pointer where there is none, as inside a payload.
  static func told(_ problem: ValidationProblem) -> String {
    let detail =
      problem.detail
      .replacing("runAt or availableAt", with: "--run-at or --available-at")
      .replacing("differs from runAt", with: "differs from --run-at")
    guard let option = option(for: problem.pointer) else {
      return problem.pointer.isEmpty ? detail : "\(problem.pointer) \(detail)"
    }
    return "\(option) \(detail)"
  }

  /// A refusal in these words.
  static func told(_ problem: Problem) -> Problem {
    var told = problem
    told.errors = problem.errors.map { ValidationProblem(pointer: "", detail: self.told($0)) }
    return told
  }

  private static func option(for pointer: String) -> String? {
    let path = pointer.split(separator: "/").map(String.init)
    guard let field = path.first else { return nil }
    switch field {
    case "type": return "the type"
    case "queue", "priority", "retries": return "--\(field)"
    case "delaySeconds": return "--delay"
    case "runAt": return "--run-at"
    case "availableAt": return "--available-at"
    case "expiresAt": return "--expires-at"
    case "timeoutSeconds": return "--timeout"
    case "leaseSeconds": return "--lease"
    case "tags": return "--tag"
    case "idempotencyKey": return "--key"
    case "concurrencyKey": return "--concurrency-key"
    case "dependencies": return "--after:"
    case "onDependencyFailure": return "--on-dependency-failure"
    case "metadata": return path.count > 1 ? "--metadata '\(path[1])'" : "--metadata"
    case "backoff": return path.count > 1 ? "--backoff \(path[1].replacing("Seconds", with: ""))" : "--backoff"
    case "payload" where path.count == 1: return "--payload"
    default: return nil
    }
  }
}
