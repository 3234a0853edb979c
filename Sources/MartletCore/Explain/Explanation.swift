// Why a task is not running now: every reason that holds, each with a sentence for people. Pure; the answer of
// `GET /tasks/{id}/explain`.

package struct Explanation: Sendable, Hashable {
  package var status: TaskStatus
  /// Empty for a READY task that nothing holds back: it is about to be claimed.
  package var blockers: [Blocker]
  /// 1 is next of its queue; nil unless it is READY, and where more than `ExplainFacts.mostAhead` come before it.
  package var queuePosition: Int?
  /// When it may be attempted at the earliest, where that is known and lies ahead.
  package var nextAttemptAt: Timestamp?

  package struct Blocker: Sendable, Hashable {
    package var kind: Kind
    package var detail: String

    package init(_ kind: Kind, _ detail: String) {
      self.kind = kind
      self.detail = detail
    }
  }

  package enum Kind: String, CaseIterable, Sendable {
    case notDue = "not-due"
    case dependency
    case queuePaused = "queue-paused"
    case typePaused = "type-paused"
    case concurrencyLimit = "concurrency-limit"
    case rateLimit = "rate-limit"
    case noWorker = "no-worker"
    case behindOthers = "behind-others"
    case leased
    case final
  }
}

extension Explanation {
  package init(_ facts: ExplainFacts) {
    status = facts.task.status
    switch facts.task.status {
    case .success, .dead, .cancelled:
      blockers = [Blocker(.final, facts.endWords)]
    case .running:
      blockers = [Blocker(.leased, facts.leaseWords)]
    case .pending, .retry:
      blockers = facts.waiting + facts.pauses + facts.missingWorker
      if facts.unmet == 0 { nextAttemptAt = facts.task.availableAt }
    case .ready:
      blockers = facts.pauses + facts.fullLimits + facts.missingWorker + facts.queueing
      queuePosition = facts.ahead.map { $0 + 1 }
      if let rate = facts.limits.rate, rate.nextAt > facts.now { nextAttemptAt = rate.nextAt }
    }
  }
}

extension ExplainFacts {
  private typealias Blocker = Explanation.Blocker

  fileprivate var endWords: String {
    let reason = task.reason.map { " (\($0.rawValue))" } ?? ""
    let time = task.finishedAt.map { " since \($0)" } ?? ""
    let way = task.status == .success ? "a replay makes a new task of it" : "a retry by hand runs it again"
    return "\(task.status.rawValue)\(reason)\(time): \(way)"
  }

  fileprivate var leaseWords: String {
    let worker = task.worker.map { "worker '\($0)'" } ?? "a worker"
    let end = leasedUntil.map { ", whose lease ends at \($0) unless it is renewed" } ?? ""
    let cancel =
      task.cancelRequested ? "; its cancellation was requested and the worker is told at its next renewal" : ""
    return "attempt \(task.attempt) is with \(worker)\(end)\(cancel)"
  }

  /// What keeps it from becoming READY.
  fileprivate var waiting: [Explanation.Blocker] {
    var blockers: [Blocker] = []
    if unmet > 0 { blockers.append(Blocker(.dependency, dependencyWords)) }
    if task.availableAt > now {
      let why = task.status == .retry ? "the backoff after attempt \(task.attempt) ends" : "it is due"
      blockers.append(Blocker(.notDue, "\(why) at \(task.availableAt)"))
    } else if unmet == 0 {
      blockers.append(
        Blocker(
          .notDue,
          "it has been due since \(task.availableAt) and becomes READY in a moment, if a node has the role scheduler"))
    }
    return blockers
  }

  private var dependencyWords: String {
    guard !waitsFor.isEmpty else { return "waits for \(unmet) \(unmet == 1 ? "task" : "tasks")" }
    let named = waitsFor.map { "\($0.id) (\($0.status.rawValue))" }.joined(separator: ", ")
    let more = unmet > waitsFor.count ? " and \(unmet - waitsFor.count) more" : ""
    let failed = waitsFor.contains { $0.status == .dead || $0.status == .cancelled }
    let hint = failed ? "; what has failed has to be retried first" : ""
    return "waits for \(named)\(more)\(hint)"
  }

  fileprivate var pauses: [Explanation.Blocker] {
    var blockers: [Blocker] = []
    if limits.isQueuePaused { blockers.append(Blocker(.queuePaused, "the queue '\(task.queue)' is paused")) }
    if limits.isTypePaused { blockers.append(Blocker(.typePaused, "the type '\(task.type)' is paused")) }
    return blockers
  }

  fileprivate var fullLimits: [Explanation.Blocker] {
    var blockers: [Blocker] = []
    if let slots = limits.concurrency, slots.isFull {
      blockers.append(
        Blocker(
          .concurrencyLimit, "\(slots.taken) tasks of the queue '\(task.queue)' run, and its limit is \(slots.limit)"))
    }
    if let slots = limits.concurrencyOfKey, slots.isFull {
      blockers.append(
        Blocker(
          .concurrencyLimit,
          "\(slots.taken) tasks with the key '\(task.concurrencyKey ?? "")' are under way in the queue '\(task.queue)', "
            + "and the limit is \(slots.limit)"))
    }
    if let rate = limits.rate, rate.nextAt > now {
      blockers.append(
        Blocker(
          .rateLimit,
          "the queue '\(task.queue)' starts \(rate.perSecond.shortText) tasks a second; the next one at \(rate.nextAt)")
      )
    }
    return blockers
  }

  fileprivate var missingWorker: [Explanation.Blocker] {
    let able = workers.filter { $0.types.contains(task.type) }
    guard !able.contains(where: { $0.takes(queue: task.queue) }) else { return [] }
    if able.isEmpty { return [Blocker(.noWorker, "no live worker handles the type '\(task.type)'")] }
    return [
      Blocker(.noWorker, "no live worker that handles the type '\(task.type)' looks into the queue '\(task.queue)'")
    ]
  }

  fileprivate var queueing: [Explanation.Blocker] {
    guard let ahead else {
      return [Blocker(.behindOthers, "more than \(Self.mostAhead) tasks of the queue '\(task.queue)' come before it")]
    }
    guard ahead > 0 else { return [] }
    let words =
      ahead == 1 ? "1 task of the queue '\(task.queue)' comes" : "\(ahead) tasks of the queue '\(task.queue)' come"
    return [Blocker(.behindOthers, "\(words) before it")]
  }
}

extension WorkerRecord {
  fileprivate func takes(queue: String) -> Bool {
    queues.contains(queue) || queues.contains(ClaimRequest.allQueues)
  }
}

extension Double {
  fileprivate var shortText: String {
    self == rounded() && magnitude < 1e15 ? String(Int64(self)) : String(self)
  }
}
