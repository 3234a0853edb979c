// New tasks with idempotency keys, dependencies, graphs. Nobody waits for this process in between: one transaction takes the keys
// that are free, locks the tasks that others are to wait for, and then, seeing both as they stay, judges each submission and
// writes those that stand.

internal import MartletCore

extension PostgresStore {
  /// What `judged` reads the answers of.
  func insertion(of linked: LinkedTasks, _ lanes: [Int32], again: Bool) -> [Query] {
    var queries: [Query] = []
    if !linked.keys.isEmpty { queries.append(takeKeys(of: linked)) }
    if !linked.edges.isEmpty { queries.append(markParents(of: linked, again: again)) }
    let isDeep = linked.tasks.contains { deepQueues.contains($0.task.queue) }
    if isDeep { queries.append(lockDepths(of: linked)) }
    queries.append(write(linked, lanes, again: again, isDeep: isDeep))
    let perhapsEnded = linked.perhapsEnded
    if !perhapsEnded.isEmpty { queries.append(settleEnded(perhapsEnded)) }
    return queries
  }

  /// One verdict per submission; nil where a key was just taken by another one, which may not stand: the next turn tells.
  func judged(_ linked: LinkedTasks, _ lanes: [Int32], _ rows: [Rows]) throws -> [SubmissionVerdict?] {
    // What settles them comes last.
    let settled = linked.perhapsEnded.isEmpty ? nil : rows.last
    let judged = rows.dropLast(settled == nil ? 0 : 1)
    let marked = linked.edges.isEmpty ? nil : rows[linked.keys.isEmpty ? 0 : 1]
    let judgements = judged.last?.map { Judgement(&$0) } ?? []
    guard judgements.count == linked.tasks.count, let now = judgements.first?.now else {
      throw UnreadableRow(what: "no answer to a submission")
    }
    guard judgements.allSatisfy(\.knowsLanes) else { throw hasLostLanes() }
    // Nothing was written unless their depths were locked: the next turn does that.
    deepQueues.learn(judgements.first?.deep ?? [])

    // Their rows were locked for a moment: a claim may have passed them by.
    for (lane, availableAt) in marked?.map({ (Int32($0.int()), $0.int()) }) ?? [] {
      wasReleased(in: lane, at: availableAt)
    }
    ring(for: linked, lanes, judgements, at: now)
    if let settled { ring(for: Settled(settled)) }

    var start = 0
    return linked.submissions.map { submission in
      let end = start + submission.tasks.count
      defer { start = end }
      return verdict(on: submission, Array(judgements[start..<end]), at: Timestamp(milliseconds: now))
    }
  }

  private func verdict(
    on submission: Submission, _ judgements: [Judgement], at now: Timestamp
  ) -> SubmissionVerdict? {
    if judgements.contains(where: { $0.word == .notYet }) { return nil }
    let reused = submission.keys.first { $0.tasks.contains { judgements[$0].word == .reused } }
    if let reused { return .keyReused(reused.text) }
    let accepted = judgements.filter { $0.earlier == nil }
    let unknown = Set(accepted.flatMap(\.unknown))
    if !unknown.isEmpty { return .unknownDependencies(unknown.sorted()) }
    if let first = judgements.first, !first.stands { return first.fullQueue.map { .queueFull($0) } }
    let at = accepted.first?.storedAt ?? now
    let earlier = judgements.enumerated().compactMap { index, judgement in judgement.earlier.map { (index, $0) } }
    return earlier.isEmpty ? .accepted(at: at) : .replayed(at: at, earlier: Dictionary(uniqueKeysWithValues: earlier))
  }

  private func ring(for linked: LinkedTasks, _ lanes: [Int32], _ judgements: [Judgement], at now: Int64) {
    var ready: Set<Int32> = []
    var released: Set<Int32> = []
    var hasKeys = false
    for (index, judgement) in judgements.enumerated() where judgement.isNew {
      let hasKey = linked.tasks[index].task.concurrencyKey != nil
      if hasKey { hasKeys = true }
      // Whoever submitted a task with dependencies does not know what has become of it.
      let isSurprising = !linked.tasks[index].task.dependencies.isEmpty
      switch judgement.status {
      case TaskStatus.ready.code where hasKey: break  // not to be had before it is admitted
      case TaskStatus.ready.code where isSurprising: released.insert(lanes[index])
      case TaskStatus.ready.code: ready.insert(lanes[index])
      default:
        guard let time = judgement.dueAt else { continue }
        let due = Duration.milliseconds(max(0, time - now))
        if isSurprising { isDue(in: due) } else { bell.due(in: due) }
      }
    }
    if hasKeys { isUnadmitted() }
    for lane in ready.subtracting(released) { appeared(in: lane, at: now) }
    for lane in released { wasReleased(in: lane, at: now) }
  }

  // MARK: Parameters

  private func takeKeys(of linked: LinkedTasks) -> Query {
    var last: Int32 = 0
    let ranges = linked.keys.map { entry in
      defer { last += Int32(entry.tasks.count) }
      return (first: last + 1, last: last + Int32(entry.tasks.count))
    }
    return Query(
      Self.takeKeys, nowParameter, .texts(linked.keys.map(\.key.text)), .bytesArray(linked.keys.map(\.key.fingerprint)),
      .int4s(ranges.map(\.first)), .int4s(ranges.map(\.last)), .uuids(linked.keys.flatMap(\.tasks)))
  }

  /// - Parameter again: tasks of a repeated submission are stored already, and may end any moment.
  private func markParents(of linked: LinkedTasks, again: Bool) -> Query {
    let covered = linked.edges.filter { $0.key > 0 }
    return Query(
      Self.markParents, .uuids(Set(linked.edges.filter { !$0.isOwn }.map(\.parent))),
      .uuids(again ? Set(linked.edges.filter(\.isOwn).map(\.parent)) : []),
      .texts(covered.map { linked.keys[Int($0.key) - 1].key.text }), .int4s(covered.map(\.place)))
  }

  /// What the keys of these submissions stand for, where that decides which graph a task joins: of one that names another of its
  /// own submission first, and that one has a key. Only a look: should somebody take the key meanwhile, it is another graph.
  func replaced(in submissions: [Submission]) async throws -> [TaskID: TaskID] {
    var places: [(task: TaskID, key: String, place: Int)] = []
    for submission in submissions where !submission.keys.isEmpty {
      let firsts = submission.tasks.compactMap { task -> TaskID? in
        if case .joinsFirstDependency = task.graph { task.dependencies.first } else { nil }
      }
      for key in submission.keys where !firsts.isEmpty {
        for (place, position) in key.tasks.enumerated() where firsts.contains(submission.tasks[position].id) {
          places.append((submission.tasks[position].id, key.text, place))
        }
      }
    }
    guard !places.isEmpty else { return [:] }
    let rows = try await pool.run(Query(Self.readKeys, .texts(places.map(\.key))))
    let known = Dictionary(rows.map { ($0.text(), $0.ids()) }) { first, _ in first }
    var replaced: [TaskID: TaskID] = [:]
    for (task, key, place) in places {
      guard let tasks = known[key], tasks.indices.contains(place), tasks[place] != task else { continue }
      replaced[task] = tasks[place]
    }
    return replaced
  }

  /// Whoever else judges submissions to these queues has done so before, or waits.
  func lockDepths(of linked: LinkedTasks) -> Query {
    Query(Self.lockDepths, .texts(Set(linked.tasks.map(\.task.queue))))
  }

  /// Parameters 1 to 31 of each statement that inserts such tasks.
  func columns(of linked: LinkedTasks, _ lanes: [Int32]) -> [PostgresValue] {
    let tasks = linked.tasks
    func column<Element>(_ value: (AcceptedTask) -> Element?, _ array: ([Element?]) -> PostgresValue) -> PostgresValue {
      Self.sparse(tasks.map { value($0.task) }, array)
    }
    return parameters(tasks.map(\.task), lanes) + [
      .int4s(tasks.map { Int32($0.group) }), Self.sparse(tasks.map(\.key?.text)) { .texts($0) },
      Self.sparse(tasks.map(\.key?.fingerprint)) { .bytesArray($0) }, .int4s(tasks.map(\.place)),
      column({ $0.onDependencyFailure == .hold ? nil : Int16($0.onDependencyFailure.code) }) { .int2s($0) },
      column(\.ref) { .texts($0) }, Self.sparse(tasks.map(\.graph)) { .uuids($0) },
      column(\.idempotencyKey) { .texts($0) }, column(\.concurrencyKey) { .texts($0) },
      column(\.scheduleName) { .texts($0) },
    ]
  }

  private func write(_ linked: LinkedTasks, _ lanes: [Int32], again: Bool, isDeep: Bool) -> Query {
    let tasks = linked.tasks
    var parameters = columns(of: linked, lanes)
    guard !linked.edges.isEmpty else {
      let statement = isDeep ? Self.insertKeyedWithin : again ? Self.insertNewKeyed : Self.insertKeyed
      return Query(statement, parameters: parameters)
    }
    parameters += [
      .bools(tasks.map(\.isParent)), Self.sparse(tasks.map(\.anchor)) { .uuids($0) }, .int4s(tasks.map(\.edges.first)),
      .int4s(tasks.map(\.edges.last)), .uuids(linked.edges.map(\.parent)), .bools(linked.edges.map(\.isOwn)),
      .int4s(linked.edges.map(\.key)), .int4s(linked.edges.map(\.place)), .texts(linked.keys.map(\.key.text)),
    ]
    let statement = isDeep ? Self.insertLinkedWithin : again ? Self.insertNewLinked : Self.insertLinked
    return Query(statement, parameters: parameters)
  }
}

/// What became of one task.
private struct Judgement {
  enum Word: Int64 {
    case good
    /// Its key stands for another request.
    case reused = 2
    /// Its key was taken a moment ago by a submission of the same call, or has just been deleted.
    case notYet
  }

  var now: Int64
  var knowsLanes: Bool
  /// Its submission was accepted.
  var stands: Bool
  var word: Word
  /// The task that its key stands for.
  var earlier: TaskID?
  /// Dependencies that are nowhere.
  var unknown: [TaskID]
  /// When it was accepted, if that was before.
  var storedAt: Timestamp?
  var status: Int64
  var dueAt: Int64?
  /// One that has no room for its submission.
  var fullQueue: String?
  /// Queues with a `maxDepth` that was not looked at.
  var deep: [String]

  var isNew: Bool { stands && earlier == nil && storedAt == nil }

  init(_ columns: inout Columns) {
    now = columns.int()
    knowsLanes = columns.bool()
    stands = columns.bool()
    word = Word(rawValue: columns.int()) ?? .notYet
    earlier = columns.optionalID()
    unknown = columns.ids()
    storedAt = columns.optionalTime()
    status = columns.int()
    dueAt = columns.optionalInt()
    fullQueue = columns.optionalText()
    deep = columns.texts()
  }
}

extension LinkedTasks {
  /// New tasks that may be stored as CANCELLED, because of what they depend on, although others of theirs wait for them.
  fileprivate var perhapsEnded: [TaskID] {
    tasks.filter { $0.isParent && $0.task.onDependencyFailure == .cancel && $0.edges.last >= $0.edges.first }.map(
      \.task.id)
  }
}
