// What stores do for actions in bulk. Called by `TaskService` for what answers at once, and by the duty `bulk` for the rest.

package protocol BulkBook: Sendable {
  /// Writes a job down. It is about the tasks that are stored now, and no later one. Repeated, it changes nothing.
  /// - Parameter hold: how long `dueBulk` leaves it to its creator.
  func begin(_ order: BulkOrder, hold: Duration) async throws(StoreError) -> BulkJob

  /// The RUNNING job whose next page has been due for longest; or else how long until one is due, nil if none runs.
  func dueBulk() async throws(StoreError) -> BulkDue

  /// Carries out the next page of a RUNNING job, oldest tasks first, in one transaction with the job's row: at most
  /// `BulkJob.page(limit:)` tasks that match, each by the rules of `steer` (but for the audit) or of deletion. At the end of the
  /// tasks, or of the order's limit, the job is DONE, and an entry of the audit tells its filter and counts. Of several callers
  /// at once one does it. Does not look whether the page is due yet.
  ///
  /// Tasks whose key is younger than `keys`, and tasks of which a sink has not heard everything, are not purged: they count as failed. What waits for a purged one is settled by
  /// `DependencyPolicy.effectOfDeletion`; where that is more than one transaction should do, the page ends before that task, and
  /// a later one comes back to it.
  /// - Parameter hold: how long `dueBulk` leaves a job without a rate to this caller.
  /// - Returns: nil where there is no such job.
  func carryOn(bulk id: TaskID, limit: Int, hold: Duration, keys: Duration) async throws(StoreError) -> BulkStep?

  /// Ends a RUNNING job as STOPPED or, with an error, as FAILED; the audit tells who stopped it, and what it had done. One that
  /// has ended stays as it is.
  /// - Returns: the job as it is now; nil where there is none.
  func endBulk(_ id: TaskID, error: String?, actor: String) async throws(StoreError) -> BulkJob?

  func bulkJob(_ id: TaskID) async throws(StoreError) -> BulkJob?

  /// Newest first by id, those before `before`.
  func bulkJobs(before: TaskID?, limit: Int) async throws(StoreError) -> [BulkJob]

  /// How many tasks an order would be about now, a bounded look at a time.
  /// - Parameters:
  ///   - after: the `next` of the look before.
  ///   - limit: enough is counted with this many.
  func count(_ order: BulkOrder, after: TaskID?, limit: Int) async throws(StoreError) -> BulkCount

  /// Forgets at most `limit` jobs that ended this long ago or longer; how many.
  func pruneBulk(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int
}

package struct BulkDue: Sendable, Hashable {
  package var job: TaskID?
  package var nextIn: Duration?

  package init(job: TaskID?, nextIn: Duration?) {
    self.job = job
    self.nextIn = nextIn
  }
}

package struct BulkStep: Sendable, Hashable {
  /// As it is after the page.
  package var job: BulkJob
  /// Where tasks became READY.
  package var lanes: Set<Lane> = []
  /// Running tasks whose cancellation was asked for.
  package var asked: [TaskID] = []
  /// Tasks that became final.
  package var ended: [TaskID] = []
  /// How long until the next page may be begun; nil where there is none. A job that another caller holds is looked at again then.
  package var nextIn: Duration?

  package init(_ job: BulkJob, nextIn: Duration?) {
    self.job = job
    self.nextIn = nextIn
  }
}

package struct BulkCount: Sendable, Hashable {
  package var matched: Int
  /// Where the next look begins; nil after the last task.
  package var next: TaskID?

  package init(matched: Int, next: TaskID?) {
    self.matched = matched
    self.next = next
  }
}
