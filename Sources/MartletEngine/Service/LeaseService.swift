// Work for workers elsewhere: what `POST /leases`, `/leases/renew` and `/leases/finish` come down to. A remote worker waits in
// the same broker as the node's own, and its reports go through the same desk. Called by `MartletHTTP`.

internal import Logging
package import MartletCore

package final class LeaseService: Sendable {
  private let parts: EngineParts
  private let broker: ClaimBroker
  private let desk: WorkDesk
  private let book: LeaseBook
  private let workers: RemoteWorkers

  /// Payloads in one answer; the first task goes out however large it is.
  private static let mostPayloadBytes = 32 * 1024 * 1024
  /// What the first look has found must not wait for the second until its leases end.
  private static let secondLookPatience = Duration.milliseconds(500)

  init(_ parts: EngineParts, broker: ClaimBroker, desk: WorkDesk, book: LeaseBook, workers: RemoteWorkers) {
    self.parts = parts
    self.broker = broker
    self.desk = desk
    self.book = book
    self.workers = workers
  }

  /// At least one task as soon as there is one; none when the request's patience is over, the node drains, or the calling
  /// Swift task is cancelled because the client has gone. What it could not take then is given back.
  package func lease(_ request: LeaseRequest) async throws(ServiceError) -> LeaseGrant {
    let problems = request.problems
    guard problems.isEmpty else { throw .invalid(ValidationFailure(problems)) }
    let arrivedAt = parts.clock.now
    workers.asks(request, at: arrivedAt)
    defer { workers.asked(request, at: parts.clock.now) }
    let claimed = await claim(request)
    if claimed.tasks.isEmpty, let failure = claimed.failure { throw .store(failure, tasks: []) }
    var (tasks, tooMany) = Task.isCancelled ? ([], claimed.tasks) : Self.fitting(claimed.tasks)
    await giveBack(tooMany)
    let traces = parts.spans.map { spans in
      tasks.map { AttemptTrace.begin($0, worker: request.worker, by: spans) }
    }
    book.note(tasks, traces, worker: request.worker, claimedAt: claimed.sentAt)
    // What the worker does is part of the attempt.
    for (index, trace) in (traces ?? []).enumerated() {
      tasks[index].traceparent = trace.traceparent ?? tasks[index].traceparent
    }
    for task in tasks {
      parts.metrics.started(
        Lane(queue: task.queue, type: task.type), waited: max(.zero, task.startedAt - task.readyAt))
    }
    return LeaseGrant(
      tasks: tasks, held: max(.zero, claimed.sentAt - arrivedAt), claimedAt: claimed.sentAt, clock: parts.clock)
  }

  /// In one look, or in two: before payloads are read nobody knows how large they are, and what one answer cannot carry would be read
  /// and written for nothing. So the first asks for no more than can be carried of the largest, and where it is full and they were
  /// small, the second asks for the rest.
  private func claim(_ request: LeaseRequest) async -> ClaimBroker.Claimed {
    let largest = max(1, parts.tuning.current.defaults.maxPayloadBytes)
    let first = min(request.limit, max(1, Self.mostPayloadBytes / largest))
    var claimed = await broker.claim(within: request.patience) { Self.claim(first, for: request, taken: 0) }
    let taken = claimed.tasks.count
    guard taken == first, taken < request.limit, !Task.isCancelled else { return claimed }
    let bytes = claimed.tasks.reduce(0) { $0 + $1.payload.count }
    let rest = min(request.limit - taken, (Self.mostPayloadBytes - bytes) / max(1, bytes / taken))
    guard rest > 0 else { return claimed }
    let others = await broker.claimOnce(within: Self.secondLookPatience) {
      Self.claim(rest, for: request, taken: taken)
    }
    claimed.tasks += others.tasks  // their leases are counted from too early, which does no harm
    return claimed
  }

  /// The worker's free slots come first: what has to wait in it is what goes beyond them.
  private static func claim(_ limit: Int, for request: LeaseRequest, taken: Int) -> ClaimRequest {
    let free = max(0, request.limit - request.ahead - taken)
    return ClaimRequest(
      worker: request.worker, queues: request.queues ?? [ClaimRequest.allQueues], types: request.types,
      limit: limit, ahead: max(0, limit - free), token: 0, isLocal: false)
  }

  /// Releases tasks that never reached their worker. What cannot be given back ends with its lease.
  package func giveBack(_ tasks: [ClaimedTask]) async {
    guard !tasks.isEmpty else { return }
    do throws(ServiceError) {
      _ = try await finish(tasks.map { LeaseReport(lease: $0.lease, outcome: .released) })
    } catch {
      parts.logger.warning("could not give back \(tasks.count) tasks; their leases will end")
    }
  }

  /// One verdict per entry, in order.
  package func renew(_ renewals: [LeaseRenewal]) async throws(ServiceError) -> [RenewalVerdict] {
    guard !renewals.isEmpty else { return [] }
    let sentAt = parts.clock.now
    let verdicts: [RenewalVerdict]
    do throws(StoreError) {
      verdicts = try await desk.renew(renewals.map { Renewal(lease: $0.lease, progress: $0.progress, logs: $0.logs) })
    } catch {
      throw .store(error, tasks: [])
    }
    let seen = book.renewed(zip(renewals, verdicts), sentAt: sentAt)
    workers.seen(seen, at: sentAt)
    return verdicts
  }

  /// One verdict per entry, in order. The same report again gets the same verdict.
  package func finish(_ reports: [LeaseReport]) async throws(ServiceError) -> [FinishVerdict] {
    guard !reports.isEmpty else { return [] }
    let kept = book.entries(of: reports.map(\.lease))
    let finishes = reports.map { report in
      Finish(
        lease: report.lease, outcome: report.outcome, logs: report.logs, randomness: parts.random.fraction())
    }
    let begin = parts.spans?.now
    let verdicts: [FinishVerdict]
    do throws(StoreError) {
      verdicts = try await desk.finish(finishes)
    } catch {
      throw .store(error, tasks: [])
    }
    book.forget(reports.map(\.lease))
    if let begin { endTraces(of: reports, verdicts, kept, from: begin) }
    await tell(of: reports, verdicts, kept)
    return verdicts
  }

  /// Those of attempts that began on this node.
  private func endTraces(
    of reports: [LeaseReport], _ verdicts: [FinishVerdict], _ kept: [LeaseID: LeaseBook.Entry],
    from begin: SpanSource.Moment
  ) {
    for (report, verdict) in zip(reports, verdicts) {
      guard let trace = kept[report.lease]?.trace else { continue }
      let now = trace.spans.now
      trace.reported(from: begin, to: now, batch: reports.count)
      switch verdict {
      case .applied(let status):
        trace.end(report.outcome.attemptOutcome, error: report.outcome.error, status: status, at: now)
      case .lost: trace.end(.lost, error: Outcome.lost.error, status: nil, at: now)
      }
    }
  }

  /// Counts ended attempts and tells whoever waits for them. A lease that another node gave out has to be looked up first.
  private func tell(of reports: [LeaseReport], _ verdicts: [FinishVerdict], _ kept: [LeaseID: LeaseBook.Entry]) async {
    let now = parts.clock.now
    var lanes = kept.mapValues(\.lane)
    let unknown = zip(reports, verdicts).filter { $1 != .lost && lanes[$0.lease] == nil }.map(\.0.lease)
    if !unknown.isEmpty, let records = await look(unknown.map(\.task)) {
      for (lease, record) in zip(unknown, records) {
        if let record { lanes[lease] = Lane(queue: record.queue, type: record.type) }
      }
    }
    for (report, verdict) in zip(reports, verdicts) {
      guard let lane = lanes[report.lease] else { continue }
      switch verdict {
      case .applied(let status):
        let claimedAt = kept[report.lease]?.claimedAt
        parts.metrics.ended(lane, outcome: report.outcome.attemptOutcome, after: claimedAt.map { now - $0 })
        parts.settled(report.lease.task, lane: lane, status: status)
      case .lost:
        parts.metrics.leaseLost(lane)
      }
    }
  }

  private func look(_ ids: [TaskID]) async -> [TaskRecord?]? {
    do throws(StoreError) {
      return try await parts.store.tasks(ids)
    } catch {
      return nil  // the report is in the store; who waits for the task finds it there
    }
  }

  /// As many of the first as one answer can carry, and the rest.
  private static func fitting(_ tasks: [ClaimedTask]) -> ([ClaimedTask], rest: [ClaimedTask]) {
    var bytes = 0
    let count = tasks.prefix { task in
      defer { bytes += task.payload.count }
      return bytes == 0 || bytes + task.payload.count <= mostPayloadBytes
    }.count
    return (Array(tasks.prefix(count)), Array(tasks.dropFirst(count)))
  }
}
