// The one writer. Everything that writes comes through here, and whatever has gathered while a transaction was being committed
// makes up the next one: one fsync for all of it. No timer: with nothing in flight a job is begun at once.

internal import GRDB
internal import MartletCore
internal import Synchronization

/// Runs jobs in transactions on GRDB's writer queue; a job is answered after its commit.
final class GroupWriter: Sendable {
  private let database: any DatabaseWriter
  private let clock: @Sendable () -> Timestamp
  private let bounds: CascadeBounds
  private let state = Mutex(State())
  private let memory = Mutex(StoreMemory())
  private let listener = Mutex<(@Sendable (StoreHint) -> Void)?>(nil)

  private struct State {
    var waiting: [Job] = []
    var isRunning = false
    var isClosed = false
  }

  private struct Job {
    let perform: (WriteTransaction) throws -> Void
    let answer: (StoreError?) -> Void
  }

  /// Jobs in one transaction. More would make the first wait longer without saving much.
  private static let largestGroup = 256

  init(database: any DatabaseWriter, bounds: CascadeBounds, clock: @escaping @Sendable () -> Timestamp) {
    self.database = database
    self.bounds = bounds
    self.clock = clock
  }

  /// Jobs that are not begun yet.
  var waitingCount: Int { state.withLock { $0.waiting.count } }

  /// Whom to tell what a commit has done beyond its answers.
  func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {
    listener.withLock { $0 = hear }
  }

  /// Runs `work` inside a transaction. `work` may be run a second time, after a rollback: it must have no effect but on the
  /// database. Not interrupted by cancellation.
  func write<Value: Sendable>(
    _ work: @escaping @Sendable (WriteTransaction) throws -> Value
  ) async throws(StoreError) -> Value {
    let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
      let box = Box<Value>()
      let job = Job(
        perform: { box.value = try work($0) },
        answer: { error in
          if let error {
            continuation.resume(returning: .failure(error))
          } else if let value = box.value {
            continuation.resume(returning: .success(value))
          } else {
            continuation.resume(returning: .failure(.unavailable("the store gave no answer")))
          }
        })
      enqueue(job)
    }
    return try result.get()
  }

  /// Refuses further jobs; those waiting are answered first.
  func close() async {
    state.withLock { $0.isClosed = true }
    await withCheckedContinuation { continuation in
      database.asyncWriteWithoutTransaction { database in
        // So that the file alone is the whole database, for whoever copies it. If it fails, the WAL beside it has the rest.
        try? database.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
        continuation.resume()
      }
    }
  }

  private func enqueue(_ job: Job) {
    enum Next { case start, wait, refuse }
    let box = SendableBox(job)
    let next = state.withLock { state -> Next in
      guard !state.isClosed else { return .refuse }
      state.waiting.append(box.job)
      if state.isRunning { return .wait }
      state.isRunning = true
      return .start
    }
    switch next {
    case .start: database.asyncWriteWithoutTransaction { self.drain($0) }
    case .wait: break
    case .refuse: job.answer(.unavailable("the store is closed"))
    }
  }

  private func drain(_ database: Database) {
    while let group = nextGroup() {
      commit(group, on: database)
    }
  }

  private func nextGroup() -> [Job]? {
    state.withLock { state -> [SendableBox]? in
      guard !state.waiting.isEmpty else {
        state.isRunning = false
        return nil
      }
      let group = state.waiting.prefix(Self.largestGroup)
      state.waiting.removeFirst(group.count)
      return group.map(SendableBox.init)
    }?.map(\.job)
  }

  /// Answers all of them.
  private func commit(_ group: [Job], on database: Database) {
    guard let trouble = carryOut(group, on: database) else {
      for job in group { job.answer(nil) }
      return
    }
    guard group.count > 1, trouble.mayBeOfOneJob else {
      for job in group { job.answer(trouble.failure) }
      return
    }
    // One job's trouble must not become the others': each gets a transaction of its own.
    for (place, job) in group.enumerated() {
      let trouble = carryOut([job], on: database)
      job.answer(trouble?.failure)
      // What keeps one from beginning keeps the next as well, and each would wait as long for it.
      if let trouble, trouble.stage == .beginning {
        for job in group[(place + 1)...] { job.answer(trouble.failure) }
        return
      }
    }
  }

  /// Why a transaction came to nothing, as far as is known.
  private struct Trouble {
    enum Stage { case beginning, working, committing }

    var failure: StoreError
    var stage: Stage
    /// The file is damaged or cannot be written: no job of any will do better.
    var isOfFile: Bool

    var mayBeOfOneJob: Bool { stage == .working && !isOfFile }
  }

  /// Runs jobs in one transaction; nil: it is committed, and told of, but for the jobs' own answers.
  private func carryOut(_ group: [Job], on database: Database) -> Trouble? {
    var stage = Trouble.Stage.beginning
    var hints: [StoreHint] = []
    var learned = memory.withLock(\.self)
    do {
      try database.inTransaction(.immediate) {
        stage = .working
        let transaction = WriteTransaction(database: database, bounds: bounds, memory: learned, now: clock())
        for job in group { try job.perform(transaction) }
        try transaction.admitTouched()
        try transaction.writeCounts()
        hints = transaction.takeHints()
        learned = transaction.memory
        stage = .committing
        return .commit
      }
      memory.withLock { $0 = learned }
      if !hints.isEmpty, let hear = listener.withLock(\.self) { hints.forEach(hear) }
      return nil
    } catch {
      let failure = StoreError(error, whileCommitting: stage == .committing)
      let isOfFile = if error is DatabaseError, case .unusable = failure { true } else { false }
      return Trouble(failure: failure, stage: stage, isOfFile: isOfFile)
    }
  }

  private final class Box<Value> {
    var value: Value?
  }

  /// Jobs are handed from the caller to the writer's queue and never touched by both.
  private struct SendableBox: @unchecked Sendable {
    let job: Job
    init(_ job: Job) { self.job = job }
  }
}

/// A transaction in which one or more jobs write. `now` is the same for all of them.
final class WriteTransaction {
  let database: Database
  let now: Timestamp
  let bounds: CascadeBounds
  var cascade: Cascade
  /// Dependants that may still be told of what the jobs themselves have ended.
  var dependantsLeft: Int
  /// A cascade has left something over.
  var isUnsettled = false
  /// Kept if this is committed.
  var memory: StoreMemory
  /// What `memory` says of settings is known to hold.
  var knowsSettings = false
  var admissions = Admissions()
  /// What single calls have to tell.
  var told: [StoreHint] = []
  /// Tasks were deleted: there may be lanes in which nothing is left to count.
  var hasDeleted = false
  /// Of the task that was written last.
  var lastBackoff: (policy: RetryPolicy, column: String)?
  private var countChanges: [CountKey: Int] = [:]

  private struct CountKey: Hashable {
    let lane: Lane
    let status: TaskStatus
  }

  init(database: Database, bounds: CascadeBounds, memory: StoreMemory, now: Timestamp) {
    self.database = database
    self.bounds = bounds
    self.memory = memory
    self.now = now
    cascade = Cascade(budget: bounds.mostCascaded)
    dependantsLeft = bounds.mostDependants
  }

  func prepared(_ sql: String) throws -> PreparedStatement {
    try database.prepared(sql)
  }

  /// Notes that a task moved; nil stands for not being there.
  func count(_ lane: Lane, from old: TaskStatus?, to new: TaskStatus?) {
    guard old != new else { return }
    if let old { countChanges[CountKey(lane: lane, status: old), default: 0] -= 1 }
    if let new { countChanges[CountKey(lane: lane, status: new), default: 0] += 1 }
  }

  /// Queues in which this transaction has made tasks READY: the table does not know of them yet.
  var readyQueues: Set<String> {
    Set(countChanges.filter { $0.key.status == .ready && $0.value > 0 }.map(\.key.lane.queue))
  }

  /// How many tasks of a queue this transaction has brought, on balance, into these statuses: the table does not know of them yet.
  func change(in queue: String, of statuses: Set<TaskStatus>) -> Int {
    countChanges.reduce(0) { sum, change in
      change.key.lane.queue == queue && statuses.contains(change.key.status) ? sum + change.value : sum
    }
  }

  /// What became of those that waited for what ended here: other tasks, slots of keys, room in queues. To be taken once.
  func takeHints() -> [StoreHint] {
    let roomy = memory.takeLanesWithRoom { change(in: $0, of: [.running]) < 0 }
    let lanes = cascade.lanes.union(admissions.lanes).union(roomy)
    let work = lanes.isEmpty ? [] : [StoreHint.work(lanes)]
    let due = cascade.firstDue.map { [StoreHint.due($0 - now)] } ?? []
    return told + work + due + (isUnsettled ? [.unsettled] : []) + (admissions.isLeftOver ? [.unadmitted] : [])
  }

  func writeCounts() throws {
    guard !countChanges.isEmpty else { return }
    let statement = try prepared(
      """
      INSERT INTO counts (queue, type, status, count) VALUES (?1, ?2, ?3, ?4)
      ON CONFLICT DO UPDATE SET count = count + excluded.count
      """)
    for (key, change) in countChanges where change != 0 {
      try statement.run(key.lane.queue, key.lane.type, key.status.code, change)
    }
    if hasDeleted { try prepared("DELETE FROM counts WHERE count = 0").run() }
  }
}
