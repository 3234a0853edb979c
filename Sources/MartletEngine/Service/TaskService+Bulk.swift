// Actions on many tasks. What answers at once is a job too, carried out by the call itself: should this node die in between, the
// duty of another takes it over.

package import MartletCore

extension TaskService {
  package func bulk(_ request: BulkRequest, actor: String) async throws(ServiceError) -> BulkAnswer {
    let problems = request.problems
    guard problems.isEmpty else { throw .invalid(ValidationFailure(problems)) }
    let order = BulkOrder(
      id: bulkIDs.next(at: try await storeNow()), request.action, request.selection, limit: request.limit,
      ratePerSecond: request.ratePerSecond, actor: actor)
    if request.isDryRun { return BulkAnswer(matched: try await count(order, upTo: request.limit ?? .max)) }
    guard request.ratePerSecond == nil else {
      // Before it begins: later it would count what is left.
      let matched = try await count(order, upTo: request.limit ?? .max)
      let job = try await store("bulk") { (store) throws(StoreError) in try await store.begin(order, hold: .zero) }
      parts.bulk.ring()
      return BulkAnswer(matched: matched, id: job.id)
    }
    if request.limit == nil { try await checkNumber(of: order) }
    return try await carryOut(order)
  }

  package func bulkJob(_ id: TaskID) async throws(ServiceError) -> BulkJob {
    try found(try await store("bulk") { (store) throws(StoreError) in try await store.bulkJob(id) })
  }

  /// Newest first, with where the next page begins.
  package func bulkJobs(before: TaskID?, limit: Int) async throws(ServiceError) -> (jobs: [BulkJob], next: TaskID?) {
    let jobs = try await store("bulk") { (store) throws(StoreError) in
      try await store.bulkJobs(before: before, limit: limit + 1)
    }
    let page = Array(jobs.prefix(limit))
    return (page, jobs.count > limit ? page.last?.id : nil)
  }

  /// A job that has ended stays as it is.
  package func stopBulk(_ id: TaskID, actor: String) async throws(ServiceError) -> BulkJob {
    try found(
      try await store("bulk") { (store) throws(StoreError) in try await store.endBulk(id, error: nil, actor: actor) })
  }

  private func count(_ order: BulkOrder, upTo most: Int) async throws(ServiceError) -> Int {
    var matched = 0
    var after: TaskID?
    repeat {
      let (from, wanted) = (after, min(20_000, most - matched))
      let count = try await store("bulk-count") { (store) throws(StoreError) in
        try await store.count(order, after: from, limit: wanted)
      }
      matched += count.matched
      after = count.next
    } while after != nil && matched < most && !Task.isCancelled
    return matched
  }

  private func checkNumber(of order: BulkOrder) async throws(ServiceError) {
    let most = BulkRequest.mostAtOnce
    guard try await count(order, upTo: most + 1) > most else { return }
    throw .invalid(
      ValidationFailure([
        ValidationProblem(
          pointer: "/ratePerSecond",
          detail: "is needed: more than \(most) tasks match, so they are changed in the background; or give a limit")
      ]))
  }

  /// Long enough for any page; a node that has not come back by then is taken for dead.
  private static let hold = Duration.seconds(10)

  private func carryOut(_ order: BulkOrder) async throws(ServiceError) -> BulkAnswer {
    do throws(StoreError) {
      var job = try await parts.store.begin(order, hold: Self.hold)
      while job.status == .running {
        let changed = job.changed
        guard let step = try await parts.carryOn(bulk: order.id, hold: Self.hold) else { break }
        job = step.job
        if job.status == .running, job.changed == changed, try await !giveWay(step) {
          throw .unavailable("the request was given up; the job goes on in the background")
        }
      }
      return BulkAnswer(matched: job.matched, changed: job.changed, failed: job.failed)
    } catch {
      // It was begun, perhaps, and goes on without us.
      throw .store(.unknownOutcome(error.message), tasks: [])
    }
  }

  /// Somebody else has the job, or it waits for a cascade of its own doing.
  /// - Returns: false where nobody waits for the answer any more, so that no pause would be one: the duty has the job from there.
  private func giveWay(_ step: BulkStep) async throws(StoreError) -> Bool {
    let settlement = try await parts.store.settle(limit: 500)
    parts.wakeUp.work(in: settlement.lanes)
    let pause = min(step.nextIn ?? .zero, .milliseconds(200))
    do {
      try await parts.clock.sleep(for: pause)
      return true
    } catch {
      return false
    }
  }
}

extension EngineParts {
  /// Tasks of one transaction: a claim that has to wait for it waits some milliseconds.
  private static let bulkPage = 250

  /// One page of a job, and the bell for what it has brought about.
  func carryOn(bulk id: TaskID, hold: Duration) async throws(StoreError) -> BulkStep? {
    let step = try await timed("bulk") { () throws(StoreError) in
      try await store.carryOn(bulk: id, limit: Self.bulkPage, hold: hold, keys: keyRetention)
    }
    guard let step else { return nil }
    wakeUp.work(in: step.lanes)
    for task in step.asked { wakeUp.cancelled(task) }
    for task in step.ended { board.tell(task) }
    return step
  }
}
