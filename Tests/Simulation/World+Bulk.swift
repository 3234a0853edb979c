// Actions in bulk: cancels, retries and purges of many tasks, at once and in the background, under all that befalls a world. And the
// audit, in which they and all single acts have to be.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit

extension World {
  /// Who gives them; each is given by another.
  static let bulkActor = "bulk-"
  /// Of half of the tasks, for filters.
  static let bulkTag = "half"

  func actInBulk() async throws {
    for number in 0..<4 {
      try await clock.sleep(for: .milliseconds(random.below(15_000)))
      var query = TaskQuery()
      query.types = [ScriptedHandler.type]
      if random.below(2) == 0 { query.tag = Self.bulkTag }
      let actions: [BulkAction] = [.cancel, .retry, .retry, .purge]
      var request = BulkRequest(actions[random.below(actions.count)], BulkSelection(query))
      if random.below(2) == 0 { request.ratePerSecond = Double(1 + random.below(10)) / 4 }
      if random.below(4) == 0 { request.limit = 1 + random.below(4) }
      guard let node = anyNode() else { continue }
      let actor = Self.bulkActor + String(number)
      do throws(ServiceError) {
        let answer = try await node.engine.service.bulk(request, actor: actor)
        judge.actedInBulk(actor, answer)
      } catch {
        judge.actedInBulk(actor, failing: error, isDead: node.isCrashed)
      }
    }
  }
}

/// What is known of an action in bulk, beside the store.
struct BulkWatch {
  var job: BulkJob
  /// The tasks that there were when it was given, as they were.
  let there: [TaskID: TaskImage]
  /// Those that it has acted on.
  var acted: Set<TaskID> = []
}

extension Rules {
  /// An action is about what was there when it was given, acts on each of these once, leaves none of them out, and keeps to its rate.
  mutating func checkBulk() {
    switch step.call {
    case .beginBulk(let job):
      if state.jobs[job.id] == nil { state.jobs[job.id] = BulkWatch(job: job, there: state.tasks) }
    case .bulk(let page?):
      guard var watch = state.jobs[page.job.id] else { return require(false, "G20", "an action that was never given") }
      if watch.job.status == .running { checkPage(page.job, &watch) }
      watch.job = page.job
      state.jobs[page.job.id] = watch
    default: break
    }
  }

  private mutating func checkPage(_ job: BulkJob, _ watch: inout BulkWatch) {
    for (id, change) in step.changes.sorted(by: { $0.key < $1.key }) where isActedOn(change, by: job) {
      require(watch.acted.insert(id).inserted, "G20", "acted on twice by one action", id)
      require(watch.there[id] != nil, "G20", "acted on though it came after the action", id)
      if let before = state.tasks[id]?.record {
        require(job.order.concerns(before), "G20", "acted on though \(before.status.rawValue)", id)
      }
    }
    require(
      job.changed == watch.acted.count, "G20",
      "the action counts \(job.changed) tasks and has changed \(watch.acted.count)")
    if let limit = job.order.limit {
      require(job.changed <= limit, "G20", "\(job.changed) tasks changed, with a limit of \(limit)")
    }
    if let rate = job.order.ratePerSecond {
      let seconds = Double((step.now - job.createdAt).wholeMilliseconds) / 1000
      // A page that is due is taken by each node that sees it, and again by each repeated call: later ones wait for that.
      let most = rate * (seconds + 1) + 6 * max(1, rate / 5)
      require(Double(job.changed) <= most, "G20", "\(job.changed) tasks after \(seconds) s, at \(rate) a second")
      counters.count("acted at a rate")
    }
    guard job.status == .done, job.order.limit == nil else { return }
    counters.count("action in bulk done")
    for (id, task) in watch.there where job.concerns(task.record) {
      // It was there all the time, and nobody has touched it. (Which ones a purge had to keep is not told.)
      require(
        step.changes[id] != nil || state.tasks[id] != task || job.failed > 0, "G20",
        "left out by an action that is done", id)
    }
  }

  /// By the action itself, and not by what it brought about.
  private func isActedOn(_ change: StoreStep.Change, by job: BulkJob) -> Bool {
    guard let before = change.before else { return false }
    guard let after = change.after else { return true }
    return after.events.dropFirst(before.events.count).contains { $0.actor == job.order.actor }
  }
}

extension Judge {
  /// What clients know of an action in bulk.
  enum BulkBelief {
    case refused
    case unknown
    case acknowledged(BulkAnswer)
  }

  func actedInBulk(_ actor: String, _ answer: BulkAnswer) {
    believe(.acknowledged(answer), of: actor)
  }

  func actedInBulk(_ actor: String, failing error: ServiceError, isDead: Bool) {
    if case .store(.unknownOutcome, _) = error {
      counters.count("action in bulk of unknown outcome")
      believe(.unknown, of: actor)
    } else {
      believe(isDead ? .unknown : .refused, of: actor)
    }
  }

  /// Each that was acknowledged is done, and each that was refused was never there.
  func checkActions(on auditor: Auditor) throws(Violation) {
    for (actor, belief) in beliefs {
      let jobs = auditor.jobs.filter { $0.order.actor == actor }
      if jobs.count > 1 { throw Violation("G20", "one action was given as \(jobs.count)") }
      switch belief {
      case .refused:
        if !jobs.isEmpty { throw Violation("G20", "an action was refused for good, and is there") }
      case .unknown: break
      case .acknowledged(let answer):
        guard let job = jobs.first else { throw Violation("G20", "an action was acknowledged and lost") }
        // One that goes on in the background is told of by its id; the others were done when they were answered.
        if answer.id == nil, (answer.changed, answer.failed) != (job.changed, job.failed) {
          throw Violation("G20", "an action has changed \(job.changed) tasks, and was answered with \(answer.changed)")
        }
      }
      if let job = jobs.first, job.status != .done { throw Violation("G20", "an action ended \(job.status.rawValue)") }
    }
  }
}

extension World {
  /// Each change that somebody has asked for is in the audit, once, and nothing else is.
  func checkAudit() async throws {
    var entries: [String: Int] = [:]
    var query = AuditQuery()
    query.limit = 1000
    repeat {
      let page = try await store.audit(query)
      for entry in page.entries { entries["\(entry.action.rawValue) \(entry.target)", default: 0] += 1 }
      query.after = page.next
    } while query.after != nil
    let client = Credential.unguarded.actor
    for (id, task) in auditor.all {
      let own = task.events.filter { $0.actor == client }
      let cancels = own.count {
        $0.type == .cancelled && $0.cause == FinalReason.requested.rawValue
          || $0.type == .updated && $0.cause == "cancel requested"
      }
      let retries = own.count { $0.type == .retried }
      let patches = own.count { $0.type == .updated && $0.cause != "cancel requested" }
      for (action, count) in [(AuditAction.cancelTask, cancels), (.retryTask, retries), (.patchTask, patches)] {
        let written = entries["\(action.rawValue) \(id)", default: 0]
        guard written == count else {
          throw Violation("G21", "\(action.rawValue): \(count) times, and \(written) in the audit", tasks: [id])
        }
        if count > 0 { counters.count("act in the audit") }
      }
    }
    for job in auditor.jobs where job.status == .done {
      let name = "\(job.order.action.auditAction.rawValue) bulk:\(job.id)"
      guard entries[name] == 1 else {
        throw Violation("G21", "\(name): \(entries[name] ?? 0) times in the audit")
      }
    }
  }
}
