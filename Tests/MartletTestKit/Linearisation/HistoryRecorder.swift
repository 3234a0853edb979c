// Writes down what callers at once do with tasks and are told, task by task, in the order of time: what the checker is given.

package import MartletCore
internal import Synchronization

package typealias TaskOperation = Operation<TaskCall, TaskAnswer>

package final class HistoryRecorder: Sendable {
  private struct State {
    var moments = 0
    var histories: [TaskID: [TaskOperation]] = [:]
  }

  private let state = Mutex(State())

  package init() {}

  /// A moment after all that were given before.
  package func moment() -> Int {
    state.withLock { state in
      state.moments += 1
      return state.moments
    }
  }

  /// - Parameters:
  ///   - ended: nil where there was no answer.
  ///   - latest: by the store's clock, at the end.
  package func note(
    _ client: String, from begun: Int, to ended: Int?, latest: Timestamp,
    _ calls: [(task: TaskID, call: TaskCall.Kind, answer: TaskAnswer?)]
  ) {
    state.withLock { state in
      for (task, call, answer) in calls {
        let isKnown = ended != nil && answer != nil
        state.histories[task, default: []].append(
          TaskOperation(
            client: client, call: TaskCall(call, latest: isKnown ? latest : nil), answer: isKnown ? answer : nil,
            invoked: begun, returned: ended))
      }
    }
  }

  /// Each in the order of the calls.
  package var histories: [TaskID: [TaskOperation]] {
    state.withLock { $0.histories.mapValues { $0.sorted { $0.invoked < $1.invoked } } }
  }
}

// MARK: - For people

extension TaskOperation: CustomStringConvertible where Call == TaskCall, Answer == TaskAnswer {
  package var description: String {
    let end = returned.map(String.init) ?? "?"
    return "[\(invoked)–\(end)] \(client): \(call.words) → \(answer?.words ?? "no answer")"
  }
}

extension TaskCall {
  fileprivate var words: String {
    switch kind {
    case .submit(let task): "submit (retries \(task.retries), \(task.eligible == .now ? "due" : "for later"))"
    case .claim(let worker, let token): "claim by \(worker) under \(token)"
    case .renew(let renewal): "renew \(renewal.lease.words) \(renewal.progress?.message ?? "") \(renewal.logs)"
    case .finish(let finish):
      "finish \(finish.lease.words) \(finish.outcome.attemptOutcome.rawValue)"
        + "\(finish.outcome.givesUp ? " for good" : "") \(finish.logs)"
    case .rescue: "rescue"
    case .promote: "promote"
    case .steer(.cancel, let actor): "cancel by \(actor)"
    case .steer(.retry, let actor): "retry by \(actor)"
    case .steer(.patch(let patch), let actor):
      "patch by \(actor): priority \(patch.priority.words), tags \(patch.tags.words), available \(patch.available.words)"
    case .read: "read"
    case .readAttempts: "read attempts"
    case .readEvents: "read events"
    }
  }
}

extension TaskAnswer {
  fileprivate var words: String {
    switch self {
    case .submitted(let verdict): "\(verdict)"
    case .claimed(let task): "\(task.lease.words), \(task.maxAttempts) at most, until \(task.expiresAt)"
    case .renewed(.renewed(let end, _)): "until \(end)"
    case .renewed(.cancelRequested(let end, _)): "until \(end), cancel requested"
    case .renewed(.lost), .finished(.lost): "lost"
    case .finished(.applied(let status)): "applied, \(status.rawValue)"
    case .rescued(let outcome, let status): "\(outcome.rawValue), \(status.rawValue)"
    case .promoted: "somebody was promoted"
    case .steered(.done(let record)): "done: \(record.words)"
    case .steered(.illegal(let status)): "illegal, \(status.rawValue)"
    case .steered(.notFound): "not found"
    case .record(let record): record?.words ?? "none"
    case .attempts(let attempts):
      attempts.words { "\($0.number) \($0.worker) \($0.outcome?.rawValue ?? "running") \($0.logs)" }
    case .events(let events): events.words { "\($0.sequence) \($0.type.rawValue) by \($0.actor)" }
    }
  }
}

extension TaskState {
  /// All but what its events tell by themselves.
  package var words: String {
    guard exists else { return "not there" }
    let told = events.map { "\($0.type.rawValue) by \($0.actor)" }.joined(separator: ", ")
    let token = token.map { " under \($0)" } ?? ""
    return "\(status.rawValue)\(token), attempt \(attempt) of \(maxAttempts), priority \(priority), tags \(tags), "
      + "progress \(progress?.message ?? "none"), cancel requested: \(cancelRequested); told: \(told)"
  }
}

extension TaskRecord {
  fileprivate var words: String {
    "\(status.rawValue), attempt \(attempt) of \(maxAttempts), priority \(priority), tags \(tags), "
      + "progress \(progress?.message ?? "none"), cancel requested: \(cancelRequested), sequence \(sequence)"
  }
}

extension LeaseID {
  fileprivate var words: String { "attempt \(attempt) under \(token)" }
}

extension Outcome {
  fileprivate var givesUp: Bool { if case .failed(_, .giveUp) = self { true } else { false } }
}

extension Optional {
  fileprivate var words: String { map { "\($0)" } ?? "as it is" }

  fileprivate func words<Element>(_ each: (Element) -> String) -> String where Wrapped == [Element] {
    map { $0.map(each).joined(separator: "; ") } ?? "none"
  }
}
