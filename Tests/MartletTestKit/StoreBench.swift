// A store on a test's bench, with its clock and short words for what nearly every test does with them.

package import MartletCore

/// A store, its clock, and the few things that nearly every test does with them.
package struct StoreBench: Sendable {
  package let store: any TaskStore
  package let time: ManualTime
  /// The test's own, removed when it ends.
  package let directory: String

  package init(store: any TaskStore, time: ManualTime, directory: String) {
    self.store = store
    self.time = time
    self.directory = directory
  }

  package var now: Timestamp { time.now }

  package func advance(_ duration: Duration) {
    time.advance(by: duration)
  }

  package func submit(_ tasks: AcceptedTask...) async throws {
    _ = try await store.submit(tasks.map { Submission([$0]) })
  }

  package func submit(_ tasks: [AcceptedTask]) async throws {
    _ = try await store.submit([Submission(tasks)])
  }

  package func verdicts(_ submissions: [Submission]) async throws -> [SubmissionVerdict] {
    try await store.submit(submissions)
  }

  package func claim(
    limit: Int = 1, ahead: Int = 0, worker: String = "worker-1", types: [String] = ["resize"],
    queues: [String] = ["default"], token: Int64 = 7
  ) async throws -> [ClaimedTask] {
    let request = ClaimRequest(
      worker: worker, queues: queues, types: types, limit: limit, ahead: ahead, token: token, isLocal: false)
    return try await store.claim([request]).first ?? []
  }

  package func claimOne(worker: String = "worker-1", token: Int64 = 7) async throws -> ClaimedTask {
    guard let task = try await claim(worker: worker, token: token).first else { throw BenchError.nothingToClaim }
    return task
  }

  /// Submits one task and claims it.
  package func running(_ task: AcceptedTask = .stub(), token: Int64 = 7) async throws -> ClaimedTask {
    try await submit(task)
    guard let claimed = try await claim(types: [task.type], queues: [task.queue], token: token).first,
      claimed.id == task.id
    else { throw BenchError.nothingToClaim }
    return claimed
  }

  @discardableResult
  package func renew(
    _ lease: LeaseID, progress: Progress? = nil, logs: [String] = []
  ) async throws -> RenewalVerdict? {
    try await store.renew([Renewal(lease: lease, progress: progress, logs: logs)]).first
  }

  @discardableResult
  package func finish(
    _ lease: LeaseID, _ outcome: Outcome, logs: [String] = [], randomness: Double = 0
  ) async throws -> FinishVerdict? {
    try await store.finish([Finish(lease: lease, outcome: outcome, logs: logs, randomness: randomness)]).first
  }

  @discardableResult
  package func promote(limit: Int = 1000) async throws -> Promotion {
    try await store.promote(limit: limit)
  }

  @discardableResult
  package func rescue(limit: Int = 1000, randomness: Double = 0) async throws -> Rescue {
    try await store.rescue(limit: limit, randomness: randomness)
  }

  @discardableResult
  package func steer(
    _ action: Steering.Action, _ id: TaskID = .stub(1), actor: String = "key-1"
  ) async throws -> SteeringVerdict? {
    try await store.steer([Steering(action, task: id, actor: actor)]).first
  }

  package func record(_ id: TaskID = .stub(1)) async throws -> TaskRecord {
    guard let record = try await store.tasks([id]).first ?? nil else { throw BenchError.noSuchTask }
    return record
  }

  package func attempts(_ id: TaskID = .stub(1)) async throws -> [AttemptRecord] {
    guard let attempts = try await store.attempts(of: id) else { throw BenchError.noSuchTask }
    return attempts
  }

  package func events(_ id: TaskID = .stub(1)) async throws -> [TaskEvent] {
    guard let events = try await store.events(of: id) else { throw BenchError.noSuchTask }
    return events
  }

  /// Every task that the filters of `query` match, page by page, in the order given.
  package func listAll(_ query: TaskQuery) async throws -> [TaskRecord] {
    var query = query
    var tasks: [TaskRecord] = []
    while true {
      let page = try await store.list(query)
      guard page.tasks.count <= query.limit else { throw BenchError.pageTooLong }
      tasks += page.tasks
      guard let next = page.next else { return tasks }
      if let before = query.before, next >= before { throw BenchError.cursorStandsStill }
      query.before = next
    }
  }

  /// Lets everything happen that a store may put off for `admit`. How long until somebody has to give way.
  @discardableResult
  package func admitAll() async throws -> Duration? {
    while true {
      let admission = try await store.admit(limit: 100)
      if !admission.isPartial { return admission.nextIn }
    }
  }

  @discardableResult
  package func set(_ queue: String = "default", _ change: (inout QueuePatch) -> Void) async throws -> QueueSettings {
    var patch = QueuePatch()
    change(&patch)
    return try await store.change(queue: queue, patch, actor: "key-1")
  }

  package func set(type: String, _ change: (inout TypeSettings) -> Void) async throws {
    var settings = TypeSettings()
    change(&settings)
    try await store.put(type: type, settings, actor: "key-1")
  }

  /// How many tasks there are of each status, over all lanes, by `counts`.
  package func countsByStatus() async throws -> [TaskStatus: Int] {
    Dictionary(try await store.counts().map { ($0.status, $0.count) }, uniquingKeysWith: +)
  }
}

package enum BenchError: Error {
  case nothingToClaim, noSuchTask, pageTooLong, cursorStandsStill
}
