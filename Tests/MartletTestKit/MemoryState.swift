// The transactions of the reference model, one function each, on plain values.

package import MartletCore

struct MemoryState {
  var tasks = TaskTable()
  var workers: [String: WorkerRecord] = [:]
  var keys: [String: MemoryKey] = [:]
  var queues: [String: QueueSettings] = [:]
  var buckets: [String: RateBucket] = [:]
  var types: [String: TypeSettings] = [:]
  /// A bug that it has on purpose.
  var sabotage: Sabotage?
  var sabotaged = SabotageMemory()
  /// What is to be told of the transaction under way.
  var hints: [StoreHint] = []
  /// Of all nodes, the latest last.
  var settings: [(note: Int64, revision: SettingsRevision)] = []
  /// When a type last had to give way in the line for a key.
  var gaveWay: [MemoryLine: [String: Timestamp]] = [:]
  var apiKeys = MemoryAPIKeys()
  var schedules: [String: ScheduleRecord] = [:]
  /// What was made for which tick of a schedule.
  var ticks: [String: [Timestamp: TaskID]] = [:]
  var audit: [(number: Int64, entry: AuditEntry)] = []
  var bulks: [TaskID: MemoryBulk] = [:]
  var sinks: [String: MemorySink] = [:]
  var outboxNumber: Int64 = 0
  var stream = MemoryStream()
  var notices: [MemoryNotice] = []
  var noticeNumber: Int64 = 0
  /// Some task has a concurrency key: only then can there be a line.
  var hasKeys = false
  /// Some task has receivers: only then is there anything to look for.
  var hasReceivers = false

  // MARK: Work

  mutating func claim(_ request: ClaimRequest, now: Timestamp) -> [ClaimedTask] {
    var claimed: [ClaimedTask] = []
    var allowances = Allowances(self, now: now)
    let candidates = tasks.values
      .filter(\.isClaimable)
      .filter { request.takes($0.lane) && !isPaused($0.lane) && request.ids?.contains($0.record.id) ?? true }
      .sorted {
        if $0.record.priority != $1.record.priority { return $0.record.priority > $1.record.priority }
        return Self.isEarlier($0, $1)
      }
    for candidate in candidates {
      if claimed.count >= request.limit { break }
      let id = candidate.record.id
      if candidate.isExpired(now: now), sabotage != .startsExpired {
        tasks[id]?.expire(now: now)
        settle(after: id, now: now)
      } else if candidate.hasLostWorker && claimed.count >= request.limit - request.ahead {
        continue  // it waits for a free slot, so that it can take nothing with it
      } else if !allowances.has(candidate.record.queue) {
        if let rest = allowances.nextIn(candidate.record.queue) { hints.append(.later([candidate.lane], rest)) }
      } else if let task = start(id, for: request, now: now) {
        claimed.append(task)
        allowances.use(candidate.record.queue)
      }
    }
    buckets = allowances.buckets
    return claimed + (sabotage == .claimsTwice ? takenAgain(for: request, but: claimed, now: now) : [])
  }

  /// For `Sabotage.claimsTwice`: what others have claimed in this millisecond, once more.
  private mutating func takenAgain(for request: ClaimRequest, but claimed: [ClaimedTask], now: Timestamp)
    -> [ClaimedTask]
  {
    guard claimed.isEmpty else { return [] }
    let taken = tasks.values.filter { task in
      request.takes(task.lane) && task.lease != nil && task.lease?.token != request.token
        && task.record.startedAt.map { now - $0 < .milliseconds(20) } ?? false
    }
    return taken.sorted(by: Self.isEarlier).prefix(request.limit).compactMap { task in
      tasks[task.record.id]?.lease?.token = request.token
      return given(task.record.id, to: request, now: now)
    }
  }

  func claimable(in lanes: Set<Lane>?, limit: Int) -> ClaimableTasks {
    let found = tasks.values.filter { task in
      task.isClaimable && lanes?.contains(task.lane) ?? true && !isPaused(task.lane)
        && queues[task.record.queue]?.isLimited != true
    }
    let lines = Dictionary(grouping: found) { "\($0.record.priority) \($0.lane.queue) \($0.lane.type)" }.values
    let entries = lines.flatMap { line in
      line.sorted(by: Self.isEarlier).prefix(limit).map { task in
        DispatchEntry(
          id: task.record.id, lane: task.lane, priority: task.record.priority, availableAt: task.record.availableAt)
      }
    }
    return ClaimableTasks(entries: entries, limit: limit)
  }

  private mutating func start(_ id: TaskID, for request: ClaimRequest, now: Timestamp) -> ClaimedTask? {
    tasks[id]?.begin(worker: request.worker, token: request.token, now: now)
    if sabotage == .rewritesEvents { tasks[id]?.takeOver() }
    return given(id, to: request, now: now)
  }

  private func given(_ id: TaskID, to request: ClaimRequest, now: Timestamp) -> ClaimedTask? {
    guard let task = tasks[id], let lease = task.lease else { return nil }
    let record = task.record
    return ClaimedTask(
      lease: LeaseID(task: id, attempt: record.attempt, token: request.token),
      expiresAt: lease.expiresAt, expiresIn: lease.expiresAt - now,
      type: record.type, queue: record.queue, payload: record.payload ?? [], priority: record.priority,
      maxAttempts: record.maxAttempts, timeout: record.timeout, leaseDuration: record.lease,
      createdAt: record.createdAt, runAt: record.runAt, availableAt: record.availableAt, startedAt: now,
      readyAt: task.readyAt, tags: record.tags, metadata: record.metadata, traceparent: record.traceparent)
  }

  mutating func renew(_ renewal: Renewal, now: Timestamp) -> RenewalVerdict {
    let id = renewal.lease.task
    guard let task = tasks[id],
      task.holds(renewal.lease) || sabotage == .renewsWithoutFence && task.lease != nil
    else { return .lost }
    let expiresAt = sabotage == .renewsPastTimeout ? now + task.record.lease : task.leaseEnd(now: now)
    if sabotage != .forgetsRenewal { tasks[id]?.lease?.expiresAt = expiresAt }
    if let progress = renewal.progress { tasks[id]?.record.progress = progress }
    tasks[id]?.add(renewal.logs)
    let expiresIn = max(.zero, expiresAt - now)
    return task.record.cancelRequested
      ? .cancelRequested(expiresAt: expiresAt, expiresIn: expiresIn)
      : .renewed(expiresAt: expiresAt, expiresIn: expiresIn)
  }

  mutating func finish(_ finish: Finish, now: Timestamp) -> FinishVerdict {
    precondition(finish.outcome != .lost, "LOST is the rescuer's word")
    let lease = finish.lease
    guard var task = tasks[lease.task] else { return .lost }
    sabotaged.isReport = true
    if task.holds(lease) || sabotage == .finishesWithoutFence && task.lease != nil {
      if sabotage == .forgetsRequests { task.record.cancelRequested = false }
      task.end(
        finish.outcome, logs: finish.logs, randomness: finish.randomness, by: task.record.worker ?? "",
        token: lease.token, now: now)
      if sabotage == .chargesForSnoozes, case .snoozed = finish.outcome { task.record.maxAttempts -= 1 }
      tasks[lease.task] = task
      settle(after: lease.task, now: now)
      return .applied(task.record.status)
    }
    let isRepetition = task.attempts.contains {
      $0.record.number == lease.attempt && $0.reportedUnder == lease.token
        && $0.record.outcome == finish.outcome.attemptOutcome
    }
    if isRepetition, sabotage == .countsParentsTwice { countAgain(lease.task, now: now) }
    if !isRepetition, sabotage == .rewritesAttempts { tasks[lease.task]?.rewrite(finish, now: now) }
    return isRepetition ? .applied(task.record.status) : .lost
  }

  // MARK: Duties

  mutating func promote(limit: Int, now: Timestamp) -> Promotion {
    sabotaged.keys = keys
    let expired = tasks.values
      .filter { $0.isExpired(now: now) }
      .sorted { ($0.expiry ?? now, $0.record.id) < ($1.expiry ?? now, $1.record.id) }
      .prefix(limit)
    // All of them have expired before any is told that another has.
    for task in expired { tasks[task.record.id]?.expire(now: now) }
    for task in expired { settle(after: task.record.id, now: now) }

    let due = tasks.values
      .filter { Self.waitsForItsTime($0) && $0.record.availableAt <= horizon(now) && !$0.isExpired(now: now) }
      .sorted(by: Self.isEarlier)
      .prefix(limit)
    for task in due {
      tasks[task.record.id]?.move(to: .ready, now: now)
      tasks[task.record.id]?.tell(.ready, by: Actor.scheduler, now: now)
    }
    return Promotion(
      promoted: due.count, expired: expired.count, lanes: Set(due.map(\.lane)),
      nextIn: nextDue().map { max(.zero, $0 - now) })
  }

  private func horizon(_ now: Timestamp) -> Timestamp { sabotage == .startsEarly ? now + .seconds(2) : now }

  /// When the next task becomes eligible or expires. What a limit left over is due already.
  private func nextDue() -> Timestamp? {
    let eligible = tasks.values.filter(Self.waitsForItsTime).map(\.record.availableAt)
    return (eligible + tasks.values.compactMap(\.expiry)).min()
  }

  mutating func rescue(limit: Int, randomness: Double, now: Timestamp) -> Rescue {
    let overdue = tasks.values
      .compactMap { task in task.lease.map { (task: task, end: $0.expiresAt) } }
      .filter { $0.end <= now || sabotaged.overdue.contains($0.task.record.id) }
      .sorted { ($0.end, $0.task.record.id) < ($1.end, $1.task.record.id) }
    if sabotage == .rescuesWithoutLook {
      sabotaged.overdue = Set(overdue.filter { $0.end <= now }.map(\.task.record.id)).subtracting(sabotaged.overdue)
    }
    let rescued = overdue.prefix(limit).compactMap { item -> Rescue.Rescued? in
      if sabotaged.overdue.contains(item.task.record.id) { return nil }  // the next call ends it, come what may
      var task = item.task
      let outcome: Outcome = task.deadline.map { $0 <= now } == true ? .timedOut : .lost
      if sabotage == .countsAtFailure, outcome == .lost { task.record.maxAttempts += 1 }
      if sabotage == .leaksSlots, task.record.concurrencyKey != nil { sabotaged.leaked[task.line, default: 0] += 1 }
      task.end(outcome, logs: [], randomness: randomness, by: Actor.rescuer, token: nil, now: now)
      tasks[task.record.id] = task
      settle(after: task.record.id, now: now)
      return Rescue.Rescued(
        id: task.record.id, lane: task.lane, outcome: outcome.attemptOutcome, status: task.record.status)
    }
    return Rescue(rescued: rescued, isPartial: overdue.count > limit)
  }

  mutating func prune(_ policy: RetentionPolicy, limit: Int, now: Timestamp) -> Int {
    let old = tasks.values
      .filter { task in
        guard let finishedAt = task.record.finishedAt, let kept = policy.kept(task.record.status) else { return false }
        return finishedAt + kept <= now && !isNeeded(task.record.id, policy, now: now) && !isUntold(task.record.id)
      }
      .map(\.record.id)
      .sorted()
      .prefix(limit)
    for id in old { delete(id, now: now) }
    return old.count
  }

  // MARK: Steering

  mutating func steer(_ command: Steering, now: Timestamp) -> SteeringVerdict {
    guard var task = tasks[command.task] else { return .notFound }
    let status = task.record.status
    let isDone =
      switch command.action {
      case .cancel where sabotage == .cancelsSuccess && status == .success:
        Self.overwrite(&task, by: command.actor, now: now)
      case .cancel: Self.cancel(&task, by: command.actor, now: now)
      case .retry: Self.retry(&task, by: command.actor, now: now)
      case .patch(let patch): Self.apply(patch, to: &task, by: command.actor, now: now)
      }
    guard isDone else { return .illegal(status) }
    if sabotage == .forgetsCancels, case .cancel = command.action, now.milliseconds % 4 == 0 {
      return .done(task.record)
    }
    let isForgotten = sabotage == .auditsApart && now.milliseconds % 8 == 0
    if task.record != tasks[command.task]?.record, !isForgotten { write(command.note(), now: now) }
    tasks[command.task] = task
    if task.record.status != status { settle(after: command.task, now: now) }
    return .done(task.record)
  }

  private static func overwrite(_ task: inout MemoryTask, by actor: String, now: Timestamp) -> Bool {
    task.record.status = .cancelled
    task.record.reason = .requested
    task.tell(.cancelled, by: actor, cause: FinalReason.requested.rawValue, now: now)
    return true
  }

  static func cancel(_ task: inout MemoryTask, by actor: String, now: Timestamp) -> Bool {
    switch SteeringDecision.cancel(task.record.status) {
    case .move(let status):
      task.move(to: status, reason: .requested, now: now)
      task.tell(.cancelled, by: actor, cause: FinalReason.requested.rawValue, now: now)
    case .requestCancel:
      guard !task.record.cancelRequested else { break }  // asked already
      task.record.cancelRequested = true
      task.tell(.updated, by: actor, cause: "cancel requested", now: now)
    case .unchanged: break
    case .illegal: return false
    }
    return true
  }

  static func retry(_ task: inout MemoryTask, by actor: String, now: Timestamp) -> Bool {
    let decision = SteeringDecision.retry(task.record.status, waitsForOthers: !task.unmet.isEmpty)
    guard case .move(let status) = decision else { return false }
    task.move(to: status, now: now)
    task.record.maxAttempts = task.record.attempt + task.record.retries + 1
    task.record.expiresAt = nil
    task.record.cancelRequested = false
    task.record.availableAt = now
    task.tell(.retried, by: actor, now: now)
    if status == .ready { task.tell(.ready, by: actor, now: now) }
    return true
  }

  private static func apply(
    _ patch: TaskPatch, to task: inout MemoryTask, by actor: String, now: Timestamp
  ) -> Bool {
    let availableAt = patch.available?.resolved(now: now)
    let decision = SteeringDecision.patch(
      task.record.status, due: availableAt.map { $0 <= now }, waitsForOthers: !task.unmet.isEmpty)
    if decision == .illegal { return false }
    if patch.fields.isEmpty { return true }
    task.record.priority = patch.priority ?? task.record.priority
    task.record.availableAt = availableAt ?? task.record.availableAt
    task.record.tags = patch.tags ?? task.record.tags
    task.record.metadata = patch.metadata ?? task.record.metadata
    task.tell(.updated, by: actor, cause: patch.fields.joined(separator: ","), now: now)
    if case .move(let status) = decision {
      task.move(to: status, now: now)
      if status == .ready { task.tell(.ready, by: actor, now: now) }
    }
    return true
  }

  // MARK: Reading

  func list(_ query: TaskQuery) -> TaskPage {
    let matching = tasks.values.map(\.record).filter(query.matches).sorted { $0.id > $1.id }
    let page = matching.prefix(query.limit)
    return TaskPage(
      tasks: page.map { task in
        var task = task
        if !query.includesPayload { task.payload = nil }
        if !query.includesResult { task.result = nil }
        return task
      },
      next: matching.count > page.count ? page.last?.id : nil)
  }

  func counts() -> [TaskCount] {
    struct Key: Hashable {
      var lane: Lane
      var status: TaskStatus
    }
    return Dictionary(grouping: tasks.values) { Key(lane: $0.lane, status: $0.record.status) }
      .map { TaskCount(lane: $0.key.lane, status: $0.key.status, count: $0.value.count) }
  }

  func oldestReady() -> [String: Timestamp] {
    let ready = tasks.values.filter { $0.record.status == .ready }
    return Dictionary(ready.map { ($0.record.queue, $0.record.availableAt) }, uniquingKeysWith: min)
  }

  // MARK: Order

  private static func isEarlier(_ left: MemoryTask, _ right: MemoryTask) -> Bool {
    (left.record.availableAt, left.record.id) < (right.record.availableAt, right.record.id)
  }

  private static func waitsForItsTime(_ task: MemoryTask) -> Bool {
    (task.record.status == .pending || task.record.status == .retry) && task.unmet.isEmpty
  }
}

extension RetentionPolicy {
  /// How long tasks of this status are kept; nil for ever.
  package func kept(_ status: TaskStatus) -> Duration? {
    switch status {
    case .success: success
    case .dead: dead
    case .cancelled: cancelled
    case .pending, .ready, .running, .retry: nil
    }
  }
}
