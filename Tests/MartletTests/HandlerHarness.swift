// Runs a handler the way the engine does, by bytes and through the registry, without an engine.

import Foundation
import Logging
@testable import MartletEngine
import MartletCore

/// What an attempt came to.
enum Ended {
  /// The result as parsed JSON.
  case success(NSDictionary)
  case snoozed(Duration)
  case failed(TaskFailure)
  case badPayload([ValidationProblem])
  case cancelled
  case other(any Error)
}

struct Attempt: Sendable {
  var number = 1
  var createdAt = Timestamp(milliseconds: 1_000_000)
  var runAt: Timestamp?
  var availableAt = Timestamp(milliseconds: 1_000_000)
  var startedAt = Timestamp(milliseconds: 1_000_000)
  var traceparent: String?

  static let taskID = TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0001)

  func context(type: String = "T", payload: String) -> AttemptContext {
    let task = ClaimedTask(
      lease: LeaseID(task: Self.taskID, attempt: number, token: 1), expiresAt: startedAt, expiresIn: .seconds(30),
      type: type, queue: "default", payload: Array(payload.utf8), priority: 5, maxAttempts: 4, timeout: .seconds(300),
      leaseDuration: .seconds(30), createdAt: createdAt, runAt: runAt, availableAt: availableAt, startedAt: startedAt,
      readyAt: availableAt, tags: [], metadata: [:], traceparent: traceparent)
    return AttemptContext(task: task, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }
}

func run(_ handler: some TaskHandler, _ payload: String, _ attempt: Attempt = Attempt()) async -> Ended {
  await run(handler, payload, in: attempt.context(payload: payload))
}

func run<Handler: TaskHandler>(_ handler: Handler, _ payload: String, in context: AttemptContext) async -> Ended {
  do {
    let registered = try HandlerRegistry([handler])[Handler.type]
    guard let result = try await registered?.run(Array(payload.utf8), context) else { fatalError("not registered") }
    switch result.kind {
    case .snooze(let duration): return .snoozed(duration)
    case .success(let bytes):
      let object = try JSONSerialization.jsonObject(with: Data(bytes ?? Array("{}".utf8)))
      return .success(object as? NSDictionary ?? [:])
    }
  } catch let failure as TaskFailure {
    return .failed(failure)
  } catch let bad as BadPayload {
    return .badPayload(bad.problems)
  } catch is CancellationError {
    return .cancelled
  } catch {
    return .other(error)
  }
}

/// What would be answered 422 at submission, as `pointer detail`.
func problems<Handler: TaskHandler>(_ handler: Handler, _ payload: String) throws -> [String] {
  try HandlerRegistry([handler])[Handler.type]?.problems(Array(payload.utf8)).map { "\($0.pointer) \($0.detail)" } ?? []
}

/// Stands still: what sleeps by it, sleeps until it is cancelled, or until `wake` is called.
final class StoppedClock: EngineClock {
  private let (wakes, waker) = AsyncStream.makeStream(of: Void.self)

  var now: MonotonicTime { MonotonicTime(nanoseconds: 0) }

  func sleep(until deadline: MonotonicTime) async throws {
    for await _ in wakes { return }
    try Task.checkCancellation()
  }

  func wake() { waker.yield() }
}
