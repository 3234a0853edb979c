// Runs a handler the way the engine does, by bytes and through the registry, without an engine.

import Foundation
import Logging
import MartletCore
import Synchronization

@testable import MartletEngine

/// What an attempt came to.
enum Ended: Sendable {
  case success(JSONResult)
  case snoozed(Duration)
  case failed(TaskFailure)
  case badPayload([ValidationProblem])
  case cancelled
  case other(any Error)
}

/// A result as it would be stored; its names are in order.
struct JSONResult: Sendable, Equatable {
  let text: String

  subscript(name: String) -> Any? {
    (try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])?[name]
  }
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
    return AttemptContext(task: task, logger: Logger(label: "test") { _ in Silence() })
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
    case .success(let bytes): return .success(JSONResult(text: String(decoding: bytes ?? [], as: UTF8.self)))
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

/// Stands still: what sleeps by it, sleeps until it is cancelled, or until `wake` has been called.
final class StoppedClock: EngineClock {
  private struct State {
    var isAwake = false
    var sleepers: [AsyncStream<Void>.Continuation] = []
  }
  private let state = Mutex(State())

  var now: MonotonicTime { MonotonicTime(nanoseconds: 0) }

  func sleep(until deadline: MonotonicTime) async throws {
    let (wakes, waker) = AsyncStream.makeStream(of: Void.self)
    state.withLock { state in
      if state.isAwake { waker.finish() } else { state.sleepers.append(waker) }
    }
    for await _ in wakes {}
    try Task.checkCancellation()
  }

  func wake() {
    state.withLock { state in
      state.isAwake = true
      for sleeper in state.sleepers { sleeper.finish() }
    }
  }
}

/// Takes everything from info on, and says nothing.
private struct Silence: LogHandler {
  var logLevel = Logger.Level.info
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {}
}
