// Carries out one attempt: the handler in a child task on the handlers' threads, beside it whoever may want it stopped.

internal import Logging
internal import MartletCore
internal import Synchronization

/// Why a running handler should stop.
package enum StopCause: Sendable {
  case timedOut
  case cancelRequested
  /// The lease will end before it can be renewed: somebody else may start soon.
  case leaseLost
  case draining
}

/// Between the handler, which ends once, and those who may want it stopped.
final class AttemptSignal: Sendable {
  enum Event: Sendable {
    case stop(StopCause)
    case ended(Outcome)
  }
  private let state = Mutex(State())

  private struct State {
    var stop: StopCause?
    var ended: Outcome?
    var waiter: CheckedContinuation<Event, Never>?

    mutating func take() -> Event? {
      if let outcome = ended { return .ended(outcome) }
      defer { stop = nil }
      return stop.map(Event.stop)
    }
  }

  func stop(_ cause: StopCause) {
    send { $0.stop = $0.stop ?? cause }
  }

  func end(_ outcome: Outcome) {
    send { $0.ended = outcome }
  }

  func next() async -> Event {
    await withCheckedContinuation { continuation in
      let event = state.withLock { state -> Event? in
        let event = state.take()
        if event == nil { state.waiter = continuation }
        return event
      }
      if let event { continuation.resume(returning: event) }
    }
  }

  private func send(_ change: (inout State) -> Void) {
    let (waiter, event) = state.withLock { state -> (CheckedContinuation<Event, Never>?, Event?) in
      change(&state)
      guard let waiter = state.waiter, let event = state.take() else { return (nil, nil) }
      state.waiter = nil
      return (waiter, event)
    }
    if let event { waiter?.resume(returning: event) }
  }
}

struct AttemptRunner: Sendable {
  let registry: HandlerRegistry
  /// Where handlers run: never the threads of renewals and HTTP.
  let executor: any TaskExecutor
  let logger: Logger

  /// Returns when the handler has ended, by itself or stopped. Nil: nothing is to be reported, the lease is lost.
  func run(_ task: ClaimedTask, context: AttemptContext, signal: AttemptSignal) async -> Outcome? {
    await withTaskGroup(of: Void.self) { group in
      group.addTask(executorPreference: executor) {
        signal.end(await perform(task, context: context))
      }
      var cause: StopCause?
      while true {
        switch await signal.next() {
        case .stop(let why):
          cause = cause ?? why
          context.stopped(why)
          group.cancelAll()
        case .ended(let outcome):
          return verdict(outcome, stoppedFor: cause)
        }
      }
    }
  }

  /// Work that was done is reported as done, also when somebody wanted it stopped; a failure after a stop is the stop's doing.
  private func verdict(_ outcome: Outcome, stoppedFor cause: StopCause?) -> Outcome? {
    guard case .failed = outcome, let cause else { return outcome }
    switch cause {
    case .timedOut: return .timedOut
    case .cancelRequested: return .cancelled
    case .draining: return .released
    case .leaseLost: return nil
    }
  }

  private func perform(_ task: ClaimedTask, context: AttemptContext) async -> Outcome {
    guard let handler = registry[task.type] else {
      // Claims ask only for known types; after a change of handlers give it back.
      return .released
    }
    do {
      let result = try await handler.run(task.payload, context)
      switch result.kind {
      case .success(let json): return .success(result: json)
      case .snooze(let duration): return .snoozed(max(.zero, duration))
      }
    } catch let bad as BadPayload {
      return .failed(TaskError(type: "BAD_PAYLOAD", message: bad.message), .giveUp(.badPayload))
    } catch let failure as TaskFailure {
      if !failure.isRetryable { return .failed(failure.error, .giveUp(.nonRetryable)) }
      return .failed(failure.error, failure.retryAfter.map { .retryAfter(max(.zero, $0)) } ?? .retry)
    } catch let error as any PermanentError {
      return .failed(describe(error), .giveUp(.nonRetryable))
    } catch {
      return .failed(describe(error), .retry)
    }
  }

  private func describe(_ error: any Error) -> TaskError {
    let text = String(describing: error)
    return TaskError(type: String(describing: Swift.type(of: error)), message: String(text.prefix(4000)))
  }
}
