// One task as those who share it see it, written down once more and as plainly as can be: what each call does to it, and what may be
// answered. Strict about fences (state, attempt, token), about budgets and about what the history tells; loose about time, but for
// one thing: no lease is ended before its end. Concurrent histories on real stores are held against it, so it decides for itself
// and asks neither `Transition` nor the model in memory.

package import MartletCore

/// What somebody does with one task.
package struct TaskCall: Sendable {
  package enum Kind: Sendable {
    case submit(AcceptedTask)
    case claim(worker: String, token: Int64)
    case renew(Renewal)
    case finish(Finish)
    case rescue
    case promote
    case steer(Steering.Action, actor: String)
    case read
    case readAttempts
    case readEvents
  }
  package var kind: Kind
  /// The latest time that the store's clock can have shown; nil where it may be carried out yet.
  package var latest: Timestamp?

  package init(_ kind: Kind, latest: Timestamp? = nil) {
    self.kind = kind
    self.latest = latest
  }
}

/// What he is told of it.
package enum TaskAnswer: Sendable {
  case submitted(SubmissionVerdict)
  case claimed(ClaimedTask)
  case renewed(RenewalVerdict)
  case finished(FinishVerdict)
  case rescued(AttemptOutcome, TaskStatus)
  /// Of so many tasks some moved: nobody says which.
  case promoted
  case steered(SteeringVerdict)
  case record(TaskRecord?)
  case attempts([AttemptRecord]?)
  case events([TaskEvent]?)
}

package struct TaskState: Sendable, Hashable {
  package struct Attempt: Sendable, Hashable {
    var worker: String
    var outcome: AttemptOutcome?
    /// Under which lease its end was reported; nil while it runs and where the rescuer ended it.
    var reportedUnder: Int64?
    var logs: [String] = []
  }

  package struct Told: Sendable, Hashable {
    var type: TaskEventType
    var actor: String
  }

  var exists = false
  var status = TaskStatus.pending
  var reason: FinalReason?
  var attempts: [Attempt] = []
  var maxAttempts = 0
  var retries = 0
  var cancelRequested = false
  /// Of the running attempt.
  var token: Int64?
  /// Nil where it is not known: nobody was told.
  var leaseEnd: Timestamp?
  var priority = 0
  var tags: [String] = []
  var progress: Progress?
  var result: [UInt8]?
  var events: [Told] = []
  /// Nil until somebody was told.
  var createdAt: Timestamp?

  var attempt: Int { attempts.count }

  func holds(_ lease: LeaseID) -> Bool { status == .running && attempt == lease.attempt && token == lease.token }

  mutating func tell(_ type: TaskEventType, by actor: String) { events.append(Told(type: type, actor: actor)) }
}

package struct TaskSpecification: SequentialSpecification {
  /// Whether a command is answered with the task as the command has left it. A store that repeats a command of which the answer was
  /// lost has only the task as it is by then.
  package var commandsShowTheirWork = true

  package init() {}

  package var initial: TaskState { TaskState() }

  package func isHarmless(_ call: TaskCall, _ answer: TaskAnswer?) -> Bool {
    switch (call.kind, answer) {
    case (.read, _), (.readAttempts, _), (.readEvents, _): true
    case (_, .renewed(.lost)), (_, .finished(.lost)), (_, .steered(.illegal)), (_, .steered(.notFound)): true
    default: false
    }
  }

  package func after(_ call: TaskCall, _ answer: TaskAnswer?, in state: TaskState) -> [TaskState] {
    switch call.kind {
    case .submit(let task): submit(task, answer, state)
    case .claim(let worker, let token): claim(worker, token, answer, state)
    case .renew(let renewal): renew(renewal, answer, state)
    case .finish(let finish): self.finish(finish, answer, state)
    case .rescue: rescue(answer, state, latest: call.latest)
    case .promote: promote(state)
    case .steer(let action, let actor): steer(action, by: actor, answer, state)
    case .read, .readAttempts, .readEvents: answer.map { read($0, state) } ?? [state]
    }
  }

  // MARK: Work

  private func submit(_ task: AcceptedTask, _ answer: TaskAnswer?, _ state: TaskState) -> [TaskState] {
    var state = state
    if !state.exists {
      state.exists = true
      state.maxAttempts = task.retries + 1
      state.retries = task.retries
      state.priority = task.priority
      state.tags = task.tags
      state.tell(.received, by: task.submittedBy)
      if task.eligible == .now {
        state.status = .ready
        state.tell(.ready, by: Actor.api)
      }
    }
    switch answer {
    case nil: return [state]
    case .submitted(.accepted(let at)): return dated(at, state)
    default: return []
    }
  }

  /// Whoever is told when it was accepted is told the same.
  private func dated(_ at: Timestamp, _ state: TaskState) -> [TaskState] {
    guard state.createdAt == nil || state.createdAt == at else { return [] }
    var state = state
    state.createdAt = at
    return [state]
  }

  private func claim(_ worker: String, _ token: Int64, _ answer: TaskAnswer?, _ state: TaskState) -> [TaskState] {
    guard state.exists, state.status == .ready else { return [] }
    var state = state
    state.status = .running
    state.attempts.append(TaskState.Attempt(worker: worker))
    state.token = token
    state.leaseEnd = nil
    state.progress = nil
    state.tell(.started, by: worker)
    guard let answer else { return [state] }
    guard case .claimed(let task) = answer, task.attempt == state.attempt, task.lease.token == token,
      task.maxAttempts == state.maxAttempts, task.priority == state.priority, task.tags == state.tags
    else { return [] }
    state.leaseEnd = task.expiresAt
    return dated(task.createdAt, state)
  }

  private func renew(_ renewal: Renewal, _ answer: TaskAnswer?, _ state: TaskState) -> [TaskState] {
    guard state.holds(renewal.lease) else {
      if case .renewed(.lost)? = answer { return [state] }
      return answer == nil ? [state] : []
    }
    var state = state
    if let progress = renewal.progress { state.progress = progress }
    state.attempts[state.attempt - 1].logs += renewal.logs
    switch answer {
    case nil:
      state.leaseEnd = nil
      return [state]
    case .renewed(.renewed(let end, _)) where !state.cancelRequested,
      .renewed(.cancelRequested(let end, _)) where state.cancelRequested:
      state.leaseEnd = end
      return [state]
    default: return []
    }
  }

  private func finish(_ finish: Finish, _ answer: TaskAnswer?, _ state: TaskState) -> [TaskState] {
    var next = state
    var verdict = FinishVerdict.lost
    if state.holds(finish.lease) {
      next.attempts[next.attempt - 1].reportedUnder = finish.lease.token
      next.attempts[next.attempt - 1].logs += finish.logs
      end(finish.outcome, by: next.attempts[next.attempt - 1].worker, &next)
      if case .success(let result) = finish.outcome { next.result = result }
      verdict = .applied(next.status)
    } else if state.attempts.indices.contains(finish.lease.attempt - 1) {
      let attempt = state.attempts[finish.lease.attempt - 1]
      let isRepetition =
        attempt.reportedUnder == finish.lease.token && attempt.outcome == finish.outcome.attemptOutcome
      if isRepetition { verdict = .applied(state.status) }
    }
    switch answer {
    case nil: return [next]
    case .finished(let told): return told == verdict ? [next] : []
    default: return []
    }
  }

  private func rescue(_ answer: TaskAnswer?, _ state: TaskState, latest: Timestamp?) -> [TaskState] {
    guard state.status == .running else { return [] }
    if let end = state.leaseEnd, let latest, latest < end { return [] }
    return [AttemptOutcome.lost, .timedOut].compactMap { outcome in
      var state = state
      end(outcome == .lost ? .lost : .timedOut, by: Actor.rescuer, &state)
      guard case .rescued(let told, let status)? = answer else { return answer == nil ? state : nil }
      return told == outcome && status == state.status ? state : nil
    }
  }

  private func end(_ outcome: Outcome, by actor: String, _ state: inout TaskState) {
    let hasRetries = state.attempt < state.maxAttempts
    state.attempts[state.attempt - 1].outcome = outcome.attemptOutcome
    (state.token, state.leaseEnd) = (nil, nil)
    switch outcome {
    case .success:
      state.status = .success
      state.tell(.succeeded, by: actor)
    case .cancelled:
      (state.status, state.reason) = (.cancelled, .requested)
      state.tell(.cancelled, by: actor)
    case .snoozed, .released:
      if state.cancelRequested { return end(.cancelled, as: outcome.attemptOutcome, by: actor, &state) }
      state.maxAttempts += 1
      state.status = outcome == .released ? .ready : .pending
      state.tell(outcome == .released ? .released : .snoozed, by: actor)
      if outcome == .released { state.tell(.ready, by: actor) }
    case .failed, .timedOut, .lost:
      state.tell(.failed, by: actor)
      if state.cancelRequested { return end(.cancelled, as: outcome.attemptOutcome, by: actor, &state) }
      if case .failed(_, .giveUp(let reason)) = outcome {
        (state.status, state.reason) = (.dead, reason)
      } else if hasRetries {
        state.status = .retry
      } else {
        (state.status, state.reason) = (.dead, .retriesExhausted)
      }
      state.tell(state.status == .dead ? .dead : .retry, by: actor)
    }
  }

  /// A cancel was asked for: whatever it is but a success, it ends so.
  private func end(_ outcome: Outcome, as told: AttemptOutcome, by actor: String, _ state: inout TaskState) {
    end(outcome, by: actor, &state)
    state.attempts[state.attempt - 1].outcome = told
  }

  /// Whether its time has come is not looked at.
  private func promote(_ state: TaskState) -> [TaskState] {
    guard state.exists, state.status == .pending || state.status == .retry else { return [state] }
    var moved = state
    moved.status = .ready
    moved.tell(.ready, by: Actor.scheduler)
    return [state, moved]
  }

  // MARK: Commands

  private func steer(
    _ action: Steering.Action, by actor: String, _ answer: TaskAnswer?, _ state: TaskState
  ) -> [TaskState] {
    guard state.exists else {
      if case .steered(.notFound)? = answer { return [state] }
      return answer == nil ? [state] : []
    }
    let next: TaskState? =
      switch action {
      case .cancel: cancel(state, by: actor)
      case .retry: retry(state, by: actor)
      case .patch(let patch): self.patch(state, patch, by: actor)
      }
    switch (answer, next) {
    case (nil, _): return [next ?? state]
    case (.steered(.illegal(let status)), nil): return status == state.status ? [state] : []
    case (.steered(.done(let record)), let next?): return commandsShowTheirWork ? read(.record(record), next) : [next]
    default: return []
    }
  }

  private func cancel(_ state: TaskState, by actor: String) -> TaskState? {
    var state = state
    switch state.status {
    case .pending, .ready, .retry:
      (state.status, state.reason) = (.cancelled, .requested)
      state.tell(.cancelled, by: actor)
    case .running:
      if !state.cancelRequested { state.tell(.updated, by: actor) }
      state.cancelRequested = true
    case .cancelled: break
    case .success, .dead: return nil
    }
    return state
  }

  private func retry(_ state: TaskState, by actor: String) -> TaskState? {
    guard [.dead, .cancelled, .retry].contains(state.status) else { return nil }
    var state = state
    (state.status, state.reason) = (.ready, nil)
    state.maxAttempts = state.attempt + state.retries + 1
    state.cancelRequested = false
    state.tell(.retried, by: actor)
    state.tell(.ready, by: actor)
    return state
  }

  private func patch(_ state: TaskState, _ patch: TaskPatch, by actor: String) -> TaskState? {
    guard [.pending, .ready, .retry].contains(state.status) else { return nil }
    var state = state
    state.priority = patch.priority ?? state.priority
    state.tags = patch.tags ?? state.tags
    state.tell(.updated, by: actor)
    switch patch.available {
    case nil: break
    case .now where state.status != .ready:
      state.status = .ready
      state.tell(.ready, by: actor)
    case .after where state.status == .ready: state.status = .pending
    default: break
    }
    return state
  }

  // MARK: Reading

  private func read(_ answer: TaskAnswer, _ state: TaskState) -> [TaskState] {
    switch answer {
    case .record(nil), .attempts(nil), .events(nil): return state.exists ? [] : [state]
    case .record(let record?):
      guard state.exists, record.status == state.status, record.reason == state.reason, record.attempt == state.attempt,
        record.maxAttempts == state.maxAttempts, record.cancelRequested == state.cancelRequested,
        record.priority == state.priority, record.tags == state.tags, record.progress == state.progress,
        record.result == state.result, record.worker == state.attempts.last?.worker,
        record.sequence == state.events.count
      else { return [] }
      return dated(record.createdAt, state)
    case .attempts(let attempts?):
      let isSame =
        attempts.count == state.attempt
        && zip(attempts, state.attempts).allSatisfy {
          $0.outcome == $1.outcome && $0.worker == $1.worker && $0.logs == $1.logs
        }
      return state.exists && isSame ? [state] : []
    case .events(let events?):
      let told = events.map { TaskState.Told(type: $0.type, actor: $0.actor) }
      return state.exists && told == state.events ? [state] : []
    default: return []
    }
  }
}
