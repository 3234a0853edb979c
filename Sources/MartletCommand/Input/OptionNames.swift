// The fields of a task, a schedule and a key in the words of the options that set them: `submit`, `tasks patch`, `schedules` and
// `keys` tell with it what is wrong, whether they found it themselves or the server did.

internal import MartletClient

enum OptionNames {
  /// Whose fields.
  enum Subject { case task, schedule, key }

  /// Tells a refusal of the call in these words.
  static func telling<Value>(of subject: Subject, _ call: () async throws -> Value) async throws -> Value {
    do {
      return try await call()
    } catch let error as MartletClientError {
      guard case .problem(let problem) = error else { throw error }
      throw MartletClientError.problem(told(problem, of: subject))
    }
  }

  /// What is wrong, by the option; by the JSON Pointer where there is none, as inside a payload.
  static func told(_ problem: ValidationProblem, of subject: Subject = .task) -> String {
    let detail =
      problem.detail
      .replacing("runAt or availableAt", with: "--run-at or --available-at")
      .replacing("differs from runAt", with: "differs from --run-at")
    let isTemplate = subject == .schedule && problem.pointer.hasPrefix("/task/")
    let pointer = isTemplate ? String(problem.pointer.dropFirst("/task".count)) : problem.pointer
    let option =
      switch subject {
      case .schedule where !isTemplate: scheduleOption(for: pointer)
      case .key: keyOption(for: pointer)
      default: option(for: pointer)
      }
    guard let option else { return pointer.isEmpty ? detail : "\(pointer) \(detail)" }
    return "\(option) \(detail)"
  }

  /// A refusal in these words.
  static func told(_ problem: Problem, of subject: Subject = .task) -> Problem {
    var told = problem
    told.errors = problem.errors.map { ValidationProblem(pointer: "", detail: self.told($0, of: subject)) }
    return told
  }

  private static func scheduleOption(for pointer: String) -> String? {
    switch pointer {
    case "/name": "the name"
    case "/cron": "--cron"
    case "/everySeconds": "--every"
    case "/timeZone": "--time-zone"
    case "/misfire": "--misfire"
    case "/overlap": "--overlap"
    case "/paused": "--paused"
    default: nil
    }
  }

  private static func keyOption(for pointer: String) -> String? {
    switch pointer.split(separator: "/").first {
    case "name": "the name"
    case "roles": "--role"
    case "queues": "--queue"
    case "expiresAt": "--expires"
    default: nil
    }
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
    case "notify": return "--notify"
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
