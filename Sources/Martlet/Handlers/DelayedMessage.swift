// DELAYED_MESSAGE: an example of a handler that waits without holding a worker. It logs a message at a given time and tells how
// late it was.

internal import Logging
internal import MartletCore
internal import MartletEngine

struct DelayedMessage: TaskHandler {
  struct Payload: Codable, Sendable {
    var message: String
    /// From the task's `runAt`, or else from its submission.
    var delaySeconds: Double?
  }

  struct Delivered: Codable, Sendable {
    var message: String
    /// How long after its time the attempt began.
    var latenessSeconds: Double
  }

  static let type = "DELAYED_MESSAGE"

  func problems(in payload: Payload) -> [ValidationProblem] {
    var problems = Problems()
    problems.check(payload.delaySeconds, in: 0...Limits.farthestSeconds, at: "/delaySeconds")
    return problems.all
  }

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    let due = Self.due(payload, context)
    let lateness = context.startedAt - due
    guard lateness >= .zero else { return .snooze(for: .zero - lateness) }
    context.logger.info("\(payload.message)", metadata: ["lateness_seconds": "\(lateness.secondsAsDouble)"])
    return try .success(Delivered(message: payload.message, latenessSeconds: lateness.secondsAsDouble))
  }

  private static func due(_ payload: Payload, _ context: AttemptContext) -> Timestamp {
    guard let delay = payload.delaySeconds else { return context.runAt ?? context.availableAt }
    return (context.runAt ?? context.createdAt) + .milliseconds(Int64((delay * 1000).rounded(.up)))
  }
}
