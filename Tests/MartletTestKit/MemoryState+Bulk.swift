// Actions in bulk of the reference model.

internal import MartletCore

struct MemoryBulk {
  var job: BulkJob
  /// The newest task there was when it was made.
  var last: TaskID?
  /// The last task that it has acted on.
  var cursor: TaskID?
  var nextAt: Timestamp
}

extension MemoryState {
  mutating func begin(_ order: BulkOrder, hold: Duration, now: Timestamp) -> BulkJob {
    if let known = bulks[order.id] { return known.job }
    let job = BulkJob(order, createdAt: now, updatedAt: now)
    bulks[order.id] = MemoryBulk(job: job, last: tasks.keys.max(), nextAt: now + hold)
    return job
  }

  func dueBulk(now: Timestamp) -> BulkDue {
    let first = bulks.values.filter { $0.job.status == .running }.min {
      ($0.nextAt, $0.job.id) < ($1.nextAt, $1.job.id)
    }
    guard let first else { return BulkDue(job: nil, nextIn: nil) }
    return first.nextAt <= now
      ? BulkDue(job: first.job.id, nextIn: nil) : BulkDue(job: nil, nextIn: first.nextAt - now)
  }

  mutating func carryOn(
    bulk id: TaskID, limit: Int, hold: Duration, keys: Duration, now: Timestamp
  ) -> BulkStep? {
    guard var bulk = bulks[id] else { return nil }
    guard bulk.job.status == .running else { return BulkStep(bulk.job, nextIn: nil) }
    let wanted = bulk.job.page(limit: limit)
    let page = candidates(of: bulk, after: bulk.cursor).prefix(wanted)
    var step = BulkStep(bulk.job, nextIn: nil)
    for task in page { act(on: task, bulk.job, keys: keys, &step, now: now) }
    for task in page where bulk.job.order.action == .cancel { settle(after: task, now: now) }
    if sabotage != .losesPlace { bulk.cursor = page.last ?? bulk.cursor }
    bulk.job = step.job
    bulk.job.matched += page.count
    bulk.job.updatedAt = now
    bulk.nextAt =
      sabotage == .ignoresRate ? now : bulk.job.next(after: page.count, last: bulk.nextAt, hold: hold, now: now)
    let isEnough = bulk.job.order.limit.map { bulk.job.matched >= $0 } ?? false
    if page.count < wanted || isEnough {
      bulk.job.status = .done
      bulk.job.finishedAt = now
      write(bulk.job.note(), now: now)
    } else {
      step.nextIn = max(.zero, bulk.nextAt - now)
    }
    bulks[id] = bulk
    step.job = bulk.job
    return step
  }

  /// Oldest first.
  private func candidates(of bulk: MemoryBulk, after cursor: TaskID?) -> [TaskID] {
    guard let last = bulk.last else { return [] }
    return tasks.values.map(\.record)
      .filter { task in
        guard cursor.map({ task.id > $0 }) ?? true else { return false }
        if sabotage == .actsOnLater { return bulk.job.order.concerns(task) }
        return task.id <= last && bulk.job.concerns(task)
      }
      .map(\.id).sorted().filter { sabotage != .leavesOut || $0.low % 8 != 0 }
  }

  private mutating func act(
    on id: TaskID, _ job: BulkJob, keys age: Duration, _ step: inout BulkStep, now: Timestamp
  ) {
    guard var task = tasks[id] else { return }
    let before = task.record
    switch job.order.action {
    case .cancel:
      _ = Self.cancel(&task, by: job.order.actor, now: now)
      tasks[id] = task
      if task.record.status.isFinal { step.ended.append(id) } else if task.record != before { step.asked.append(id) }
    case .retry:
      _ = Self.retry(&task, by: job.order.actor, now: now)
      tasks[id] = task
      if task.record.status == .ready { step.lanes.insert(task.lane) }
    case .purge:
      guard !isUntold(id), !keys.values.contains(where: { $0.tasks.contains(id) && $0.createdAt + age > now }) else {
        step.job.failed += 1
        step.job.lastError = BulkJob.keptForKeys
        return
      }
      delete(id, now: now)
    }
    if tasks[id]?.record != before { step.job.changed += 1 }
  }

  mutating func endBulk(_ id: TaskID, error: String?, actor: String, now: Timestamp) -> BulkJob? {
    guard var job = bulks[id]?.job else { return nil }
    guard job.status == .running else { return job }
    job.status = error == nil ? .stopped : .failed
    job.lastError = error ?? job.lastError
    job.finishedAt = now
    job.updatedAt = now
    bulks[id]?.job = job
    write(job.note(), now: now)
    if error == nil { write(AuditNote(.stopBulk, of: "bulk:\(id)", by: actor), now: now) }
    return job
  }

  func count(_ order: BulkOrder, after: TaskID?, limit: Int) -> BulkCount {
    let matching = tasks.values.map(\.record)
      .filter { task in (after.map { task.id > $0 } ?? true) && order.concerns(task) }
      .map(\.id).sorted()
    let counted = matching.prefix(limit)
    return BulkCount(matched: counted.count, next: counted.count < matching.count ? counted.last : nil)
  }

  mutating func pruneBulk(olderThan age: Duration, limit: Int, now: Timestamp) -> Int {
    let old = bulks.values.filter { bulk in bulk.job.finishedAt.map { $0 + age <= now } ?? false }
      .map(\.job.id).sorted().prefix(limit)
    for id in old { bulks[id] = nil }
    return old.count
  }

  // MARK: Explaining

  func facts(of id: TaskID, now: Timestamp) -> ExplainFacts? {
    guard let task = tasks[id] else { return nil }
    var facts = ExplainFacts(now: now, task: task.record)
    facts.task.payload = nil
    facts.task.result = nil
    facts.leasedUntil = task.lease?.expiresAt
    facts.unmet = task.unmet.count
    facts.waitsFor = task.unmet.sorted().prefix(ExplainFacts.mostNamed).compactMap { parent in
      tasks[parent].map { .init(id: parent, status: $0.record.status) }
    }
    if task.record.status == .ready {
      let ahead = tasks.values.filter { $0.isClaimable && $0.record.queue == task.record.queue }
        .count { Self.comesBefore($0.record, task.record) }
      facts.ahead = ahead > ExplainFacts.mostAhead ? nil : ahead
    }
    facts.limits = ExplainFacts.Limits(
      situation(of: task), isReady: task.record.status == .ready, now: now)
    facts.workers = workers.values.filter { now - $0.lastSeenAt < WorkerRecord.lifetime }.sorted { $0.id < $1.id }
    return facts
  }

  private static func comesBefore(_ left: TaskRecord, _ right: TaskRecord) -> Bool {
    (-left.priority, left.availableAt, left.id) < (-right.priority, right.availableAt, right.id)
  }
}
