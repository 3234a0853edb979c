// What a transaction of the reference model was asked, what it answered, and which tasks it changed: for those who check each of
// them, as the simulation does.

package import MartletCore

package struct StoreStep: Sendable {
  /// A call and its answer. What is not told by itself is seen by what it changes.
  package enum Call: Sendable {
    case submit([Submission], [SubmissionVerdict])
    case claim([ClaimRequest], [[ClaimedTask]])
    case renew([Renewal], [RenewalVerdict])
    case finish([Finish], [FinishVerdict])
    case rescue(Rescue)
    case steer([Steering], [SteeringVerdict])
    case advance([ScheduleStep], [StepVerdict])
    case prune(RetentionPolicy)
    case beginBulk(BulkJob)
    case bulk(BulkStep?)
    case other

    /// What it answers is of interest also where it has changed nothing.
    var tellsWithoutChange: Bool {
      switch self {
      case .submit, .renew, .finish, .beginBulk, .bulk: true
      case .claim, .rescue, .steer, .advance, .prune, .other: false
      }
    }
  }

  package struct Change: Sendable {
    /// Nil for a new task.
    package var before: TaskImage?
    /// Nil for one that was deleted.
    package var after: TaskImage?
  }

  package var call: Call
  package var now: Timestamp
  package var changes: [TaskID: Change]
  /// What each sink is to be told of this transaction's events, by task; nil where there is no sink.
  package var noted: [TaskID: ClosedRange<Int>]?
  /// Of those that were deleted: of which a sink has not heard everything.
  package var untold: Set<TaskID>
}

/// A task as a store holds it, with all that is known of it.
package struct TaskImage: Sendable, Equatable {
  package var record: TaskRecord
  package var attempts: [AttemptRecord]
  package var events: [TaskEvent]
  /// Of the lease that stands.
  package var token: Int64?
  package var leaseEnd: Timestamp?
  /// Under which leases its attempts were reported; nil for those that run or the rescuer ended.
  package var reportedUnder: [Int64?]
  package var unmet: Set<TaskID>
  package var parents: Set<TaskID>

  init(_ task: MemoryTask) {
    record = task.record
    attempts = task.attempts.map(\.record)
    events = task.events
    token = task.lease?.token
    leaseEnd = task.lease?.expiresAt
    reportedUnder = task.attempts.map(\.reportedUnder)
    unmet = task.unmet
    parents = task.parents
  }
}

/// Sees each transaction in turn, while it holds the store: it must not call it.
package protocol StepObserver: Sendable {
  func saw(_ step: StoreStep)
}
