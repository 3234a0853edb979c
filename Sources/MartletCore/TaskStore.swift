// The contract every store keeps. Its comments are the specification: each sentence is a test of the conformance suite.
//
// Each call is one transaction: when it returns, what it answers is on disk; when it throws, nothing of it is (unless the
// error is `.unknownOutcome`). A call once begun is not interrupted by cancellation of the caller. Calls take many items; each
// item is an atomic group with a verdict of its own, so that one caller's conflict never spoils another's. All are safe to
// repeat. Time is the store's own clock.

package protocol TaskStore: WorkSource, QueueBook, ScheduleBook, APIKeyBook, AuditBook, BulkBook, ExplainBook,
  HistoryBook, OutboxBook, StreamBook, NoticeBook, SettingsBook, RetentionBook
{
  /// The store's clock.
  func now() async throws(StoreError) -> Timestamp

  /// Writes new tasks. A task that is due and waits for no other becomes READY, any other PENDING. Ids that are stored already
  /// are left as they are and answered as accepted, so that a repeated submission changes nothing.
  ///
  /// A key that is known with this fingerprint stands for its earlier tasks: they are answered, and those that the key covers
  /// here are not written. With another fingerprint it refuses the whole submission. Of any number of submissions of one key at
  /// once, on any nodes, one writes and the others wait for it.
  ///
  /// A dependency that is stored nowhere, and is no task of this submission, refuses the whole of it. One that has succeeded is
  /// met. What failed ones mean says `DependencyPolicy`: with CANCEL the task is stored as CANCELLED (DEPENDENCY_FAILED), after
  /// the event `received`. A task joins the graph of its first dependency, which is given one if it has none.
  ///
  /// Where a queue has a `maxDepth`, what waits in it and what is new for it together must not be more, or the whole submission
  /// is refused; tasks that are stored already do not count. Exact over all nodes.
  func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict]

  // claim: READY tasks of the request's queues and types, by priority (9 first), then `availableAt`, then id, over all of its
  //   queues together. Each becomes RUNNING under a lease of its `leaseSeconds` that never outlasts its timeout; the attempt is
  //   counted now. A task never started that is past `expiresAt` becomes CANCELLED (EXPIRED) instead. A task that lost a
  //   worker before is given out only as one of the first `limit − ahead`. No task is given to two requests.
  //   Left out: paused queues and types; tasks with a concurrency key that have not been admitted (`QueueBook.admit`); of a
  //   queue with `concurrency`, what exceeds it together with what runs; of a queue with a rate, what exceeds its tokens, of
  //   which each task given out takes one. All of it exact over all nodes. A limited queue has its place in the order of
  //   priorities as far as that costs the others nothing.
  //   A request with `ids` gets of these what it would be given if there were no others; ids that are not stored, or not to be
  //   had now, are passed over. Where some have expired it may get fewer than there are.
  // renew: only while the lease stands (also past its end, as long as nobody took it): to a full lease from now, never past
  //   the attempt's start + timeout.
  // finish: applies `Transition.after` to the row as it is, if the lease stands; the same report again answers the same;
  //   another report, or one after the rescuer, changes nothing and is `.lost`.
  //
  // Whatever makes a task final (finish, rescue, steer, claim, promote, prune) settles in the same transaction those that wait
  // for it, each exactly once: a met dependency counts, and the last one makes the task READY, or leaves it PENDING until its
  // time; a failed one cancels it by its policy. What is cancelled so settles those that wait for it in turn, here or, where
  // they are many, in the calls of `settle` that follow.

  /// Carries on what a cascade has left over: at most `limit` tasks that ended and whose dependants are not all settled.
  func settle(limit: Int) async throws(StoreError) -> Settlement

  /// Moves what is due: at most `limit` PENDING and RETRY tasks whose time has come to READY, and at most as many waiting
  /// tasks never started that are past `expiresAt` to CANCELLED (EXPIRED).
  func promote(limit: Int) async throws(StoreError) -> Promotion

  /// Ends at most `limit` attempts whose leases are over: TIMED_OUT if the attempt's timeout has passed, else LOST. Both count.
  func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue

  /// Deletes at most `limit` final tasks, with all of their history, that have been final for longer than the policy keeps
  /// them; answers how many. Kept whatever their age: those that a task not yet final depends on, and those of an idempotency
  /// key younger than `policy.keys`, those of which a sink has not heard everything, and those with a notice that is PENDING; the key of
  /// a deleted task and its notices go with it.
  func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int

  /// Carries out commands from outside (`SteeringDecision` decides). One verdict per command, in order. What changes something is
  /// written to the audit.
  func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict]

  /// One answer per id, in order; nil where there is none.
  func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?]

  /// Newest first by id. A page may be short, even empty, while `next` is set.
  func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage

  /// A graph's tasks in order of their ids, with the dependencies between them; nil where no stored task is of it.
  func graph(_ id: TaskID) async throws(StoreError) -> TaskGraph?

  /// How many tasks there are now, by queue, type and status; zeros are left out. Costs nothing to speak of at any size.
  func counts() async throws(StoreError) -> [TaskCount]

  /// What a claim could give out now, for those who keep lists of it elsewhere: of each lane the first ones in the order of claims.
  /// Left out are paused queues and types, tasks that have not been admitted, and limited queues altogether. Changes nothing.
  /// - Parameters:
  ///   - lanes: nil for all.
  ///   - limit: tasks of one priority in one lane.
  func claimable(in lanes: Set<Lane>?, limit: Int) async throws(StoreError) -> ClaimableTasks

  /// Each queue that has a READY task, with the earliest `availableAt` of these.
  func oldestReady() async throws(StoreError) -> [String: Timestamp]

  /// Says that a worker is alive; it stays listed for `WorkerRecord.lifetime`. `lastSeenAt` is set by the store. A worker elsewhere
  /// that calls itself as a listed one of a node does is passed over.
  func register(_ worker: WorkerRecord) async throws(StoreError)

  /// Takes a worker from the list at once.
  func unregister(worker id: String) async throws(StoreError)

  func workers() async throws(StoreError) -> [WorkerRecord]

  /// How many calls of one kind are worth having in flight at once: 1 where a single writer does all.
  var preferredConcurrency: Int { get }

  /// Hears what other nodes over the same store have done, and what this one's calls did beyond their answers: tasks that became
  /// READY because another one ended. Only ever hints: any of them may be missing or late. `hear` may be called from any thread
  /// and must return at once; called once, before the store is used.
  func listen(_ hear: @escaping @Sendable (StoreHint) -> Void)

  /// Returns if the store can commit now.
  func check() async throws(StoreError)

  /// Ends all use. Calls after it throw `.unavailable`.
  func close() async
}

extension TaskStore {
  package var preferredConcurrency: Int { 1 }

  /// A store that has nothing to tell.
  package func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {}
}

/// What has happened that nobody here was told.
package enum StoreHint: Sendable, Hashable {
  /// READY tasks appeared in these lanes by this node's doing.
  case work(Set<Lane>)
  /// The same, by another node's.
  case workElsewhere(Set<Lane>)
  /// Tasks appeared in any lanes: there were too many to name, or hints were missed.
  case anyWork
  /// READY tasks appeared by this node's doing, in lanes that it cannot name.
  case anyWorkHere
  /// A waiting task was stored that is due in (about) this time.
  case due(Duration)
  /// A running task's cancellation was asked for.
  case cancelled(TaskID)
  /// A cascade has left something for `settle`.
  case unsettled
  /// There may be something for `admit`.
  case unadmitted
  /// READY tasks in these lanes could not be given out, and can in (about) this time: a bucket will hold a token.
  case later(Set<Lane>, Duration)
  /// Settings of queues, of types or of all nodes were changed.
  case settings
  /// A schedule is to be looked at.
  case schedules
}

package struct Promotion: Sendable, Hashable {
  package var promoted: Int
  package var expired: Int
  /// Where READY tasks appeared.
  package var lanes: Set<Lane>
  /// How long until the next task is due or expires; nil if none waits. Zero when the limit cut this call short.
  package var nextIn: Duration?

  package init(promoted: Int, expired: Int, lanes: Set<Lane>, nextIn: Duration?) {
    self.promoted = promoted
    self.expired = expired
    self.lanes = lanes
    self.nextIn = nextIn
  }
}

/// A queue and a type: what a claim looks for.
package struct Lane: Sendable, Hashable {
  package var queue: String
  package var type: String

  package init(queue: String, type: String) {
    self.queue = queue
    self.type = type
  }
}

package struct Rescue: Sendable, Hashable {
  package struct Rescued: Sendable, Hashable {
    package var id: TaskID
    package var lane: Lane
    /// LOST or TIMED_OUT.
    package var outcome: AttemptOutcome
    package var status: TaskStatus

    package init(id: TaskID, lane: Lane, outcome: AttemptOutcome, status: TaskStatus) {
      self.id = id
      self.lane = lane
      self.outcome = outcome
      self.status = status
    }
  }
  package var rescued: [Rescued]
  /// True when the limit cut this call short.
  package var isPartial: Bool

  package init(rescued: [Rescued], isPartial: Bool) {
    self.rescued = rescued
    self.isPartial = isPartial
  }
}

/// How long final tasks are kept; nil is for ever.
package struct RetentionPolicy: Sendable, Hashable {
  package var success: Duration?
  package var dead: Duration?
  package var cancelled: Duration?
  /// How long an idempotency key lives at least, counted from its submission.
  package var keys: Duration

  package init(success: Duration?, dead: Duration?, cancelled: Duration?, keys: Duration = .seconds(86_400)) {
    self.success = success
    self.dead = dead
    self.cancelled = cancelled
    self.keys = keys
  }

  /// Nil where all are kept for ever.
  package var shortest: Duration? { [success, dead, cancelled].compactMap(\.self).min() }

  /// Ids are in the order of time: no task from this one on can have been final for long enough to go.
  package func firstTooYoung(now: Timestamp) -> TaskID? {
    shortest.map { TaskID(high: UInt64(clamping: (now + (.zero - $0)).milliseconds + 1) << 16, low: 0) }
  }
}

package struct Steering: Sendable, Hashable {
  package enum Action: Sendable, Hashable {
    case cancel
    case retry
    case patch(TaskPatch)
  }
  package var task: TaskID
  package var action: Action
  package var actor: String

  package init(_ action: Action, task: TaskID, actor: String) {
    self.task = task
    self.action = action
    self.actor = actor
  }
}

/// Nil leaves a field as it is.
package struct TaskPatch: Sendable, Hashable {
  package var priority: Int?
  package var available: When?
  package var tags: [String]?
  package var metadata: [String: String]?

  package init(
    priority: Int? = nil, available: When? = nil, tags: [String]? = nil, metadata: [String: String]? = nil
  ) {
    self.priority = priority
    self.available = available
    self.tags = tags
    self.metadata = metadata
  }

  /// What is wrong with it, by the rules of a submission.
  package var problems: [ValidationProblem] {
    var problems = Problems()
    problems.check(priority, in: 1...9, at: "/priority")
    if let tags { problems.checkTags(tags) }
    if let metadata { problems.checkMetadata(metadata) }
    return problems.all
  }

  /// The names of the fields it changes, for the event's cause.
  package var fields: [String] {
    [
      priority == nil ? nil : "priority", available == nil ? nil : "availableAt", tags == nil ? nil : "tags",
      metadata == nil ? nil : "metadata",
    ].compactMap(\.self)
  }
}

package enum SteeringVerdict: Sendable, Hashable {
  /// The task as it is after the command.
  case done(TaskRecord)
  case notFound
  /// The state forbids it; nothing changed.
  case illegal(TaskStatus)
}

package struct TaskCount: Sendable, Hashable {
  package var lane: Lane
  package var status: TaskStatus
  package var count: Int

  package init(lane: Lane, status: TaskStatus, count: Int) {
    self.lane = lane
    self.status = status
    self.count = count
  }
}

/// What a store can fail with. A task's own failure is never one of these.
package enum StoreError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Cannot be reached or cannot write now (disk full, locked, shutting down); nothing was changed; try again later.
  case unavailable(String)
  /// Whether it was committed is not known.
  case unknownOutcome(String)
  /// Will not work until somebody mends it: corrupt file, newer schema, read-only, served by another process.
  case unusable(String)

  /// One line for people: embedders print what `MartletServer.run` throws.
  package var description: String { message }

  package var message: String {
    switch self {
    case .unavailable(let message), .unknownOutcome(let message), .unusable(let message): message
    }
  }
}
