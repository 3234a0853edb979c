// The promises, as far as one transaction can break them. `Auditor` asks them of each.

internal import MartletCore
internal import MartletTestKit

struct Rules {
  let step: StoreStep
  /// Before this transaction; `check` makes it that after.
  var state: Auditor.State
  let slots: Int
  let retention: RetentionPolicy
  let counters: Counters
  var violations: [Violation] = []

  mutating func check() {
    for (id, change) in step.changes.sorted(by: { $0.key < $1.key }) where change.before != change.after {
      // The store's own idea of before is not asked: what it changed behind its back is found, too.
      let before = state.tasks[id]
      switch (before, change.after) {
      case (_, let after?): checkChange(from: before, to: after)
      case (let before?, nil): checkDeletion(of: before)
      case (nil, nil): break
      }
      checkEvents(of: id, from: before, to: change.after)
    }
    checkCall()
    checkBulk()
    let before = state.tasks
    apply()
    checkGraphs(before: before)
    checkSlots()
    checkTicks()
  }

  mutating func require(_ holds: Bool, _ promise: String, _ text: @autoclosure () -> String, _ tasks: TaskID...) {
    if !holds { violations.append(Violation(promise, text(), tasks: tasks)) }
  }

  private mutating func apply() {
    for (id, change) in step.changes {
      if change.after == nil, let image = state.tasks[id] { state.deleted[id] = (image, step.now) }
      state.tasks[id] = change.after
    }
  }

  // MARK: One task

  private mutating func checkChange(from before: TaskImage?, to after: TaskImage) {
    let record = after.record
    let id = record.id
    for problem in HistoryRules.problems(of: record, events: after.events, attempts: after.attempts) {
      require(false, "G3", problem, id)
    }
    guard let before else {
      let now = step.now
      require(record.createdAt == now, "G1", "accepted at \(now), and stored as of \(record.createdAt)", id)
      state.notBefore[id] = record.delay.map { now + $0 }
      return
    }
    let old = before.events.count
    require(after.events.starts(with: before.events), "G3", "its history was changed", id)
    for (ended, now) in zip(before.attempts, after.attempts) where ended.outcome != nil {
      require(ended == now, "G3", "attempt \(ended.number) was changed after its end", id)
    }
    let told = after.events.dropFirst(old)
    checkBudget(from: before, to: after, isRetried: told.contains { $0.type == .retried })
    if before.record.status == .running, record.status != .running {
      let isByReport = if case .finish = step.call { true } else { false }
      let isByRescue = if case .rescue = step.call { true } else { false }
      let call = step.call.name
      require(isByReport || isByRescue, "G3", "an attempt was ended by \(call)", id)
      if isByReport {
        require(
          after.reportedUnder[before.record.attempt - 1] == before.token, "G3",
          "attempt \(before.record.attempt) was ended by a report under another lease", id)
      }
    }
    checkRunning(from: before, to: after)
    noteTime(of: after, told: told)
    if before.record.status == .running, record.status == .running {
      require(before.token == after.token, "G3", "a lease was given to somebody else while it stood", id)
    }
  }

  /// A cancel that was asked for while it ran is what it ends as, unless it succeeds; and no lease goes past its attempt's timeout.
  private mutating func checkRunning(from before: TaskImage, to after: TaskImage) {
    let id = after.record.id
    if before.record.status == .running, before.record.cancelRequested, after.record.status != .running {
      require(
        after.record.status == .cancelled || after.record.status == .success, "G11",
        "its cancel had been asked for, and it became \(after.record.status.rawValue)", id)
    }
    if let end = after.leaseEnd, let begun = after.attempts.last?.startedAt {
      require(end <= begun + after.record.timeout, "G4", "its lease goes past its attempt's timeout", id)
    }
  }

  /// Until when it must not begin, by what was asked for rather than by what the store has made of it.
  private mutating func noteTime(of task: TaskImage, told: ArraySlice<TaskEvent>) {
    let id = task.record.id
    for event in told {
      switch event.type {
      case .retried: state.notBefore[id] = nil
      case .updated where event.cause?.contains("availableAt") == true: state.notBefore[id] = nil
      case .snoozed, .retry: state.notBefore[id] = leastWait(of: task).map { step.now + $0 }
      default: break
      }
    }
  }

  /// What the report that has just ended its attempt asked for, or its retries' least delay.
  private func leastWait(of task: TaskImage) -> Duration? {
    if case .finish(let finishes, _) = step.call {
      let own = finishes.first { $0.lease.task == task.record.id && $0.lease.token == task.reportedUnder.last }
      switch own?.outcome {
      case .snoozed(let duration)?: return duration
      case .failed(_, .retryAfter(let duration))?: return duration
      default: break
      }
    }
    return task.record.backoff.delay(beforeRetry: failuresOfBudget(task), randomness: 1)
  }

  /// Attempts are counted when they are claimed; snoozes and releases cost nothing; nothing else gives or takes any.
  private mutating func checkBudget(from before: TaskImage, to after: TaskImage, isRetried: Bool) {
    let id = after.record.id
    if isRetried { return checkFreshBudget(of: after) }
    let free = zip(before.attempts, after.attempts).count { old, new in
      old.outcome == nil && (new.outcome == .snoozed || new.outcome == .released) && after.record.status != .cancelled
    }
    require(
      after.record.maxAttempts == before.record.maxAttempts + free, "G9",
      "its budget went from \(before.record.maxAttempts) to \(after.record.maxAttempts)", id)
    guard after.record.status == .dead || after.record.status == .retry, before.record.status == .running else {
      return
    }
    let failures = failuresOfBudget(after)
    if after.record.status == .dead, after.record.reason == .retriesExhausted {
      require(
        failures == after.record.retries + 1, "G9", "DEAD after \(failures) failures of \(after.record.retries + 1)", id
      )
    }
    if after.record.status == .retry {
      require(failures <= after.record.retries, "G9", "\(failures) failures with \(after.record.retries) retries", id)
    }
  }

  private mutating func checkFreshBudget(of task: TaskImage) {
    require(
      task.record.maxAttempts >= task.record.attempt + 1, "G9", "a retry by hand brought no budget", task.record.id)
  }

  /// Since it was submitted, or last retried by hand.
  private func failuresOfBudget(_ task: TaskImage) -> Int {
    let last = task.events.lastIndex { $0.type == .retried } ?? 0
    let begun = task.events[..<last].count { $0.type == .started }
    return task.attempts.dropFirst(begun).count {
      [.failed, .timedOut, .lost].contains($0.outcome)
    }
  }

  private mutating func checkEvents(of id: TaskID, from before: TaskImage?, to after: TaskImage?) {
    guard let noted = step.noted, let after else { return }
    let first = (before?.record.sequence ?? 0) + 1
    guard after.record.sequence >= first else { return }
    require(
      noted[id] == first...after.record.sequence, "G7",
      "events \(first)…\(after.record.sequence) are not in the outbox of their transaction", id)
  }

  private mutating func checkDeletion(of task: TaskImage) {
    let id = task.record.id
    require(!step.untold.contains(id), "G15", "deleted before a sink has heard of it", id)
    if task.record.idempotencyKey != nil {
      require(task.record.createdAt + retention.keys <= step.now, "G5", "deleted while its key is young", id)
    }
    if case .bulk(let page?) = step.call, page.job.order.action == .purge {
      counters.count("purged")
      return require(task.record.status == .dead, "G20", "purged while \(task.record.status.rawValue)", id)
    }
    counters.count("pruned")
    let kept = retention.kept(task.record.status)
    require(
      task.record.finishedAt.map { end in kept.map { end + $0 <= step.now } ?? false } ?? false, "G15",
      "deleted before its time, \(task.record.status.rawValue)", id)
    for other in state.tasks.values where other.parents.contains(id) {
      let goesToo = step.changes[other.record.id].map { $0.after == nil } ?? false
      require(
        goesToo || other.record.status.isFinal, "G15", "deleted while \(other.record.id) depends on it", id,
        other.record.id)
    }
  }

  // MARK: Calls

  private mutating func checkCall() {
    switch step.call {
    case .submit(let submissions, let verdicts):
      for (submission, verdict) in zip(submissions, verdicts) { check(submission, verdict) }
    case .claim(let requests, let answers):
      var given: Set<TaskID> = []
      for (request, tasks) in zip(requests, answers) {
        for task in tasks {
          require(given.insert(task.id).inserted, "G3", "given out twice by one call", task.id)
          check(task, for: request)
        }
      }
    case .renew(let renewals, let verdicts):
      for (renewal, verdict) in zip(renewals, verdicts) { check(renewal, verdict) }
    case .finish(let finishes, let verdicts):
      for (finish, verdict) in zip(finishes, verdicts) { check(finish, verdict) }
    case .rescue(let rescue):
      for rescued in rescue.rescued {
        let end = state.tasks[rescued.id]?.leaseEnd
        require(end.map { $0 <= step.now } ?? false, "G4", "rescued before its lease was over", rescued.id)
        if let task = state.tasks[rescued.id], task.record.attempt >= task.record.maxAttempts {
          counters.count("lost its last attempt")
        }
      }
    case .steer, .advance, .prune, .beginBulk, .bulk, .other: break
    }
  }

  private mutating func check(_ submission: Submission, _ verdict: SubmissionVerdict) {
    func isThere(_ task: AcceptedTask) -> Bool {
      step.changes[task.id]?.after != nil || state.tasks[task.id] != nil || state.deleted[task.id] != nil
    }
    switch verdict {
    case .accepted:
      for task in submission.tasks { require(isThere(task), "G1", "accepted and not written", task.id) }
    case .replayed(_, let earlier):
      counters.count("repeated by its key")
      for (position, task) in submission.tasks.enumerated() where earlier[position] == nil {
        require(isThere(task), "G1", "accepted and not written", task.id)
      }
    case .keyReused, .unknownDependencies, .queueFull:
      counters.count("batch refused")
      for task in submission.tasks {
        require(step.changes[task.id]?.after == nil, "G6", "refused and written", task.id)
      }
    }
    for task in submission.tasks {
      guard let key = task.idempotencyKey, step.changes[task.id]?.after != nil, state.tasks[task.id] == nil else {
        continue
      }
      let own = Set(submission.tasks.map(\.id))
      let other = state.tasks.values.first { $0.record.idempotencyKey == key && !own.contains($0.record.id) }
      require(other == nil, "G5", "a second task of the key \(key)", task.id, other?.record.id ?? task.id)
    }
  }

  private mutating func check(_ task: ClaimedTask, for request: ClaimRequest) {
    guard let before = state.tasks[task.id] else { return require(false, "G2", "claimed and not there", task.id) }
    require(before.record.status == .ready, "G3", "claimed while \(before.record.status.rawValue)", task.id)
    require(task.lease.token == request.token, "G3", "claimed under another's token", task.id)
    require(before.record.availableAt <= step.now, "G8", "begun before its time", task.id)
    if let early = state.notBefore[task.id].map({ $0 - step.now }) {
      require(early <= .zero, "G8", "begun \(early) before the time that was asked for", task.id)
    }
    require(!before.record.cancelRequested, "G11", "begun though its cancel had been asked for", task.id)
    if before.record.attempt == 0, let end = before.record.expiresAt {
      require(end > step.now, "G8", "begun for the first time after it had expired", task.id)
    }
    require(task.expiresIn <= before.record.timeout, "G4", "a lease beyond the timeout", task.id)
    require(task.attempt == before.record.attempt + 1, "G9", "an attempt that was not counted", task.id)
  }

  private func holds(_ lease: LeaseID) -> Bool {
    guard let task = state.tasks[lease.task] else { return false }
    return task.record.status == .running && task.record.attempt == lease.attempt && task.token == lease.token
  }

  private mutating func check(_ renewal: Renewal, _ verdict: RenewalVerdict) {
    let id = renewal.lease.task
    switch verdict {
    case .renewed(let end, _), .cancelRequested(let end, _):
      require(holds(renewal.lease), "G3", "a lease was renewed that did not stand", id)
      require(step.changes[id]?.after?.leaseEnd == end, "G4", "a renewal was granted and not written", id)
    case .lost:
      counters.count("stale renewal refused")
      require(!holds(renewal.lease), "G2", "the holder of a lease was told that it is lost", id)
    }
  }

  private mutating func check(_ finish: Finish, _ verdict: FinishVerdict) {
    let id = finish.lease.task
    let attempt = finish.lease.attempt
    switch verdict {
    case .applied:
      guard let task = step.changes[id]?.after ?? state.tasks[id], attempt <= task.attempts.count else {
        return require(false, "G3", "a report was applied to nothing", id)
      }
      require(
        task.reportedUnder[attempt - 1] == finish.lease.token, "G3",
        "a report was taken under a lease that did not stand",
        id)
      require(
        task.attempts[attempt - 1].outcome == finish.outcome.attemptOutcome, "G3",
        "another report of the attempt was taken for this one", id)
      if !holds(finish.lease) { counters.count("report repeated") }
    case .lost:
      require(!holds(finish.lease), "G3", "the holder of a lease was refused", id)
    }
  }

  // MARK: The whole

  /// Each that waits has been told of each end, once, and nobody is let go early.
  private mutating func checkGraphs(before: [TaskID: TaskImage]) {
    for (id, change) in step.changes {
      guard let after = change.after, let old = before[id] else { continue }
      for parent in old.unmet.subtracting(after.unmet) {
        let status = state.tasks[parent]?.record.status
        let isMet = status.map { after.record.onDependencyFailure.effect(of: $0) == .met } ?? true
        require(isMet, "G10", "\(parent) counts as done and is \(status?.rawValue ?? "gone")", id, parent)
      }
      if old.record.status == .pending, after.record.status == .ready {
        require(after.unmet.isEmpty, "G10", "READY while it waits for others", id)
      }
    }
    for (id, change) in step.changes {
      guard let after = change.after, after.record.status.isFinal, before[id]?.record.status != after.record.status
      else {
        continue
      }
      let children = state.tasks.values.filter { $0.unmet.contains(id) && !$0.record.status.isFinal }
      for child in children {
        require(
          child.record.onDependencyFailure.effect(of: after.record.status) == .open, "G10",
          "it was not told that \(id) ended \(after.record.status.rawValue)", child.record.id, id)
      }
      if children.count > 1 { counters.count("fan-out") }
    }
    let ended = step.changes.values.count {
      $0.after?.record.status.isFinal == true && $0.before?.record.status == .running
    }
    if ended > 1,
      step.changes.values.contains(where: { ($0.before?.unmet.count ?? 0) > 1 && $0.after?.unmet.isEmpty == true })
    {
      counters.count("last parents ended at once")
    }
  }

  private mutating func checkSlots() {
    guard case .claim = step.call else { return }
    var running: [String: [TaskID]] = [:]
    for task in state.tasks.values where task.record.status == .running {
      if let key = task.record.concurrencyKey { running[key, default: []].append(task.record.id) }
    }
    for (key, ids) in running where ids.count > slots {
      violations.append(Violation("G19", "\(ids.count) tasks of the key \(key) run at once", tasks: ids))
    }
    if running.values.contains(where: { $0.count == slots }) { counters.count("all slots of a key taken") }
  }

  private mutating func checkTicks() {
    for (id, change) in step.changes where change.before == nil {
      guard let record = change.after?.record, let name = record.scheduleName, let tick = record.runAt else { continue }
      counters.count("tick")
      let other = state.ticks.updateValue(id, forKey: "\(name) \(tick)")
      require(other == nil, "G8", "a second task of the tick \(tick) of \(name)", id, other ?? id)
    }
  }
}
