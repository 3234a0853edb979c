// The one writer. Everything that writes comes through here, and whatever has gathered while a transaction was being committed
// makes up the next one: one fsync for all of it. No timer: with nothing in flight a job is begun at once.

internal import GRDB
internal import MartletCore
internal import Synchronization

/// Runs jobs in transactions on GRDB's writer queue; a job is answered after its commit.
final class GroupWriter: Sendable {
  private let database: any DatabaseWriter
  private let clock: @Sendable () -> Timestamp
  private let state = Mutex(State())

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

  init(database: any DatabaseWriter, clock: @escaping @Sendable () -> Timestamp) {
    self.database = database
    self.clock = clock
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

  private func commit(_ group: [Job], on database: Database) {
    var isCommitting = false
    do {
      try database.inTransaction(.immediate) {
        let transaction = WriteTransaction(database: database, now: clock())
        for job in group { try job.perform(transaction) }
        try transaction.writeCounts()
        isCommitting = true
        return .commit
      }
      for job in group { job.answer(nil) }
    } catch {
      let failure = StoreError(error, whileCommitting: isCommitting)
      guard group.count > 1, case .unavailable = failure, !isCommitting else {
        for job in group { job.answer(failure) }
        return
      }
      // One job's trouble must not become the others': each gets a transaction of its own.
      for job in group { commit([job], on: database) }
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
  private var countChanges: [CountKey: Int] = [:]

  private struct CountKey: Hashable {
    let lane: Lane
    let status: TaskStatus
  }

  init(database: Database, now: Timestamp) {
    self.database = database
    self.now = now
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
  }
}
