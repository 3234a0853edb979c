// Submissions of the reference model: keys, dependencies, graphs.

internal import MartletCore

struct MemoryKey {
  var fingerprint: [UInt8]
  var tasks: [TaskID]
  var createdAt: Timestamp
}

extension MemoryState {
  mutating func submit(_ submission: Submission, now: Timestamp) -> SubmissionVerdict {
    if sabotage == .forgetsSubmission, submission.tasks.count == 1, submission.tasks[0].id.low % 8 == 0 {
      return .accepted(at: now)
    }
    var earlier: [Int: TaskID] = [:]
    for key in submission.keys {
      guard let known = (sabotage == .checksKeysOutside ? sabotaged.keys : keys)[key.text] else { continue }
      if known.fingerprint != key.fingerprint { return .keyReused(key.text) }
      for (position, id) in zip(key.tasks, known.tasks) where id != submission.tasks[position].id {
        earlier[position] = id
      }
    }
    let accepted = submission.tasks.enumerated().filter { earlier[$0.offset] == nil }.map(\.element)
    let replaced = Dictionary(uniqueKeysWithValues: earlier.map { (submission.tasks[$0.key].id, $0.value) })
    let own = Set(accepted.map(\.id))
    let unknown = accepted.flatMap(\.dependencies).filter { id in
      !own.contains(id) && tasks[replaced[id] ?? id] == nil
    }
    if !unknown.isEmpty {
      if sabotage == .writesHalfABatch, let first = accepted.first, first.dependencies.isEmpty {
        insert(first, replaced: [:], now: now)
      }
      return .unknownDependencies(Set(unknown).sorted())
    }
    let added = accepted.filter { tasks[$0.id] == nil }
    if let full = fullQueue(adding: added) { return .queueFull(full) }

    for key in submission.keys where keys[key.text] == nil {
      keys[key.text] = MemoryKey(
        fingerprint: key.fingerprint, tasks: key.tasks.map { submission.tasks[$0].id }, createdAt: now)
    }
    for task in added where tasks[task.id] == nil { insert(task, replaced: replaced, now: now) }
    for task in added { settleNew(task.id, now: now) }
    // A repetition is answered with the time of the first acceptance: that is what was written.
    let at = accepted.first.flatMap { tasks[$0.id]?.record.createdAt } ?? now
    if sabotage == .swapsAnswers, !earlier.isEmpty {
      defer { sabotaged.replayed = earlier }
      if sabotaged.replayed.count == earlier.count { return .replayed(at: at, earlier: sabotaged.replayed) }
    }
    return earlier.isEmpty ? .accepted(at: at) : .replayed(at: at, earlier: earlier)
  }

  private mutating func insert(_ task: AcceptedTask, replaced: [TaskID: TaskID], now: Timestamp) {
    var task = task
    task.dependencies = task.dependencies.map { replaced[$0] ?? $0 }
    let unmet = task.dependencies.filter { id in
      tasks[id].map { task.onDependencyFailure.effect(of: $0.record.status) } != .met
    }
    if case .joinsFirstDependency(let new) = task.graph, let first = task.dependencies.first {
      if let graph = tasks[first]?.record.graphID {
        task.graph = .member(graph)
      } else {
        task.graph = .member(new)
        tasks[first]?.record.graphID = new
      }
    }
    if !task.notify.isEmpty { hasReceivers = true }
    if task.concurrencyKey != nil { hasKeys = true }
    if sabotage == .storesOtherwise, task.id.low % 8 == 0 { (task.priority, task.retries) = (5, 3) }
    tasks[task.id] = MemoryTask(task, unmet: Set(unmet), now: now)
    if sabotage == .dropsDelays { tasks[task.id]?.record.availableAt = now }
  }

  /// Of those that it depends on some may have failed already.
  private mutating func settleNew(_ id: TaskID, now: Timestamp) {
    guard let task = tasks[id] else { return }
    for dependency in task.unmet.sorted() {
      guard let status = tasks[dependency]?.record.status else { continue }
      if task.record.onDependencyFailure.effect(of: status) == .fails { return fail(id, now: now) }
    }
  }

  // MARK: Those that wait

  /// Tells those that wait for a task how it ended; nothing if it has not.
  mutating func settle(after id: TaskID, now: Timestamp) {
    guard let ended = tasks[id]?.record.status, ended.isFinal else { return }
    if sabotage == .missesParents {
      if sabotaged.hasSettled { return }
      sabotaged.hasSettled = true
    }
    for child in waiting(for: id) {
      guard let policy = tasks[child]?.record.onDependencyFailure else { continue }
      if sabotage == .neverReleasesHeld, policy == .hold,
        tasks[id]?.events.contains(where: { $0.type == .retried }) == true
      {
        continue
      }
      settle(child, policy.effect(of: ended), of: id, now: now)
    }
  }

  private mutating func settle(_ child: TaskID, _ effect: DependencyEffect, of parent: TaskID, now: Timestamp) {
    switch effect {
    case .open: break
    case .met: meet(parent, of: child, now: now)
    case .fails: fail(child, now: now)
    }
  }

  /// For `Sabotage.countsParentsTwice`: those that waited for a task count another one, too, as a number would.
  mutating func countAgain(_ id: TaskID, now: Timestamp) {
    guard tasks[id]?.record.status == .success else { return }
    let children = tasks.values.filter { $0.parents.contains(id) && !$0.unmet.isEmpty }.map(\.record.id).sorted()
    for child in children {
      if let other = tasks[child]?.unmet.min() { meet(other, of: child, now: now) }
    }
  }

  private func waiting(for id: TaskID) -> [TaskID] {
    tasks.values.filter { $0.unmet.contains(id) }.map(\.record.id).sorted()
  }

  private mutating func meet(_ dependency: TaskID, of id: TaskID, now: Timestamp) {
    tasks[id]?.unmet.remove(dependency)
    guard let task = tasks[id], task.unmet.isEmpty, task.record.status == .pending else { return }
    guard task.record.availableAt <= now else { return }
    tasks[id]?.record.availableAt = now
    tasks[id]?.move(to: .ready, now: now)
    tasks[id]?.tell(.ready, by: Actor.scheduler, now: now)
  }

  private mutating func fail(_ id: TaskID, now: Timestamp) {
    guard let status = tasks[id]?.record.status, status.isWaiting else { return }
    tasks[id]?.move(to: .cancelled, reason: .dependencyFailed, now: now)
    tasks[id]?.tell(.cancelled, by: Actor.scheduler, cause: FinalReason.dependencyFailed.rawValue, now: now)
    settle(after: id, now: now)
  }

  // MARK: Deletion

  /// True for what retention has to keep whatever its age.
  func isNeeded(_ id: TaskID, _ policy: RetentionPolicy, now: Timestamp) -> Bool {
    keys.values.contains { $0.tasks.contains(id) && $0.createdAt + policy.keys > now }
      || sabotage != .prunesParents
        && tasks.values.contains { !$0.record.status.isFinal && $0.parents.contains(id) }
  }

  mutating func delete(_ id: TaskID, now: Timestamp) {
    for child in waiting(for: id) {
      guard let policy = tasks[child]?.record.onDependencyFailure else { continue }
      settle(child, policy.effectOfDeletion, of: id, now: now)
    }
    // What will never come is not waited for either by those that are final now and retried later.
    for child in tasks.keys {
      tasks[child]?.unmet.remove(id)
      tasks[child]?.parents.remove(id)
    }
    tasks[id] = nil
    notices.removeAll { $0.record.id.task == id }
    // A key is answered with all of its tasks or not at all.
    for (text, key) in keys where key.tasks.contains(id) { keys[text] = nil }
  }

  // MARK: Graphs

  func graph(_ id: TaskID) -> TaskGraph? {
    let members = tasks.values.map(\.record).filter { $0.graphID == id }.sorted { $0.id < $1.id }
    if members.isEmpty { return nil }
    return TaskGraph(
      id: id,
      members: members.map { .init(id: $0.id, ref: $0.ref, type: $0.type, status: $0.status) },
      edges: members.flatMap { member in member.dependencies.map { .init(from: $0, to: member.id) } })
  }
}
