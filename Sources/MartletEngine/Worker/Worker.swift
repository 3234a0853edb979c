// Gets work, carries it out in a bounded number of slots, reports. It runs over any `WorkSource`: inside the server that is the
// store, far away a client.

package import Logging
package import MartletCore
internal import Synchronization

package final class Worker: Sendable {
  package struct Settings: Sendable {
    /// Unique among living workers.
    package var id: String
    package var queues: [String]
    /// Attempts at once.
    package var concurrency: Int
    /// How long running attempts may go on once it drains; then they are cancelled and their tasks given back.
    package var grace: Duration
    /// It lives and dies with the process that serves the store.
    package var isLocal: Bool
    /// How long a remote source may hold a claim while there is nothing.
    package var patience = Duration.zero

    package init(id: String, queues: [String], concurrency: Int, grace: Duration, isLocal: Bool = true) {
      self.id = id
      self.queues = queues
      self.concurrency = concurrency
      self.grace = grace
      self.isLocal = isLocal
    }
  }

  private let settings: Settings
  private let broker: ClaimBroker
  private let registry: HandlerRegistry
  private let clock: any EngineClock
  private let random: RandomSource
  private let logger: Logger
  private let runner: AttemptRunner
  private let keeper: LeaseKeeper
  private let reporter: Reporter
  private let queue: WorkQueue
  private let observer: WorkObserver
  private let spans: SpanSource?
  /// Rings when it is to drain, or has another number of slots.
  private let changed = Alarm()
  private let isDraining = Mutex(false)
  private let grace: Live<Duration>
  private let running = Mutex<[LeaseID: AttemptSignal]>([:])

  /// - Parameters:
  ///   - reportLanes: reports in flight at once.
  ///   - spans: nil where nothing is traced.
  package init(
    _ settings: Settings, source: any WorkSource, reportLanes: Int = 1, broker: ClaimBroker, registry: HandlerRegistry,
    executor: any TaskExecutor, clock: any EngineClock, random: RandomSource, observer: WorkObserver,
    spans: SpanSource? = nil, logger: Logger
  ) {
    self.spans = spans
    self.settings = settings
    self.broker = broker
    self.registry = registry
    self.clock = clock
    self.random = random
    self.logger = logger
    self.observer = observer
    grace = Live(settings.grace)
    runner = AttemptRunner(registry: registry, executor: executor, logger: logger)
    let keeper = LeaseKeeper(source: source, clock: clock, logger: logger)
    self.keeper = keeper
    reporter = Reporter(
      source: source, clock: clock, random: random, logger: logger, capacity: max(1000, 4 * settings.concurrency),
      lanes: reportLanes
    ) { report, verdict in
      keeper.letGo(report.task.lease)
      report.endTrace(verdict, isStored: settings.isLocal)
      observer.reported(report.task, report.finish.outcome, report.ranFor, verdict)
    }
    queue = WorkQueue(slots: settings.concurrency)
  }

  /// Attempts that may be under way at once.
  package var slots: Int { queue.slots }
  /// Attempts under way.
  package var busy: Int { queue.busy }
  /// Leases held, those waiting for a slot or for their report included.
  package var leases: Int { keeper.count }

  /// Its cancellation was asked for: tell the handler now rather than at the next renewal.
  package func nudge(_ id: TaskID) {
    keeper.nudge(id)
  }

  /// Takes no more work; `run` returns when all that was begun has ended or was given back, and is reported.
  package func drain() {
    isDraining.withLock { $0 = true }
    changed.ring()
  }

  /// So many attempts at once from now on. What runs beyond that goes on to its end.
  package func resize(to concurrency: Int, grace: Duration) {
    self.grace.replace(with: grace)
    queue.resize(to: concurrency)
    changed.ring()
  }

  /// Works until drained. When its task is cancelled it leaves everything as it is, as a crash would.
  package func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.keeper.run() }
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await self.reporter.run() }
        await carryOut()
        reporter.close()
      }
      group.cancelAll()
    }
  }

  private func carryOut() async {
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<queue.openSlots() { group.addTask { await self.workSlot() } }
      await withTaskGroup(of: Void.self) { claiming in
        claiming.addTask { await self.claimWork() }
        while !Task.isCancelled, !isDraining.withLock(\.self) {
          await changed.wait()
          for _ in 0..<queue.openSlots() { group.addTask { await self.workSlot() } }
        }
        claiming.cancelAll()
        let unstarted = queue.close()
        if !Task.isCancelled { await giveBack(unstarted) }
      }
      if Task.isCancelled { return group.cancelAll() }
      await stopLatecomers(group: &group)
    }
  }

  private func claimWork() async {
    let types = registry.types
    while !Task.isCancelled, await queue.hasRoom() {
      let claimed = await broker.claim { [settings, queue] in
        let room = queue.room
        return ClaimRequest(
          worker: settings.id, queues: settings.queues, types: types, limit: room.limit, ahead: room.ahead, token: 0,
          isLocal: settings.isLocal, patience: settings.patience)
      }
      let entries = claimed.tasks.map { task in
        WorkQueue.Entry(task: task, context: AttemptContext(task: task, logger: logger), signal: AttemptSignal())
      }
      for entry in entries {
        keeper.hold(
          entry.task, sentAt: claimed.sentAt + entry.task.heldFor, context: entry.context, signal: entry.signal)
      }
      await giveBack(queue.add(entries))
    }
  }

  private func workSlot() async {
    var spent: Duration?
    while let entry = await queue.next(after: spent) {
      let startedAt = clock.now
      guard keeper.mayBegin(entry.task.lease) else {
        keeper.letGo(entry.task.lease)
        observer.lost(entry.task)
        spent = .zero
        continue
      }
      running.withLock { $0[entry.task.lease] = entry.signal }
      observer.started(entry.task)
      let trace = spans.map { begin(entry, by: $0) }
      let outcome = await run(entry, trace)
      let endedAt = trace?.spans.now
      running.withLock { _ = $0.removeValue(forKey: entry.task.lease) }
      let ranFor = clock.now - startedAt
      if let outcome, !Task.isCancelled {
        await report(entry, outcome, ranFor: ranFor, trace, endedAt)
      } else {
        keeper.letGo(entry.task.lease)
        if !Task.isCancelled {
          if let trace, let endedAt { trace.end(.lost, error: Outcome.lost.error, status: nil, at: endedAt) }
          observer.lost(entry.task)
        }
      }
      spent = ranFor
    }
  }

  private func begin(_ entry: WorkQueue.Entry, by spans: SpanSource) -> AttemptTrace {
    let trace: AttemptTrace =
      settings.isLocal
      ? .begin(entry.task, worker: settings.id, by: spans) : .beginElsewhere(entry.task, worker: settings.id, by: spans)
    entry.context.belongs(to: trace)
    return trace
  }

  private func run(_ entry: WorkQueue.Entry, _ trace: AttemptTrace?) async -> Outcome? {
    guard let trace else { return await runner.run(entry.task, context: entry.context, signal: entry.signal) }
    return await trace.spans.within(trace.span) {
      await runner.run(entry.task, context: entry.context, signal: entry.signal)
    }
  }

  private func report(
    _ entry: WorkQueue.Entry, _ outcome: Outcome, ranFor: Duration, _ trace: AttemptTrace? = nil,
    _ endedAt: SpanSource.Moment? = nil
  ) async {
    var report = Reporter.Report(
      task: entry.task,
      finish: Finish(
        lease: entry.task.lease, outcome: outcome, logs: entry.context.logLines, randomness: random.fraction()),
      ranFor: ranFor)
    (report.trace, report.endedAt) = (trace, endedAt)
    await reporter.report(report)
  }

  private func giveBack(_ entries: [WorkQueue.Entry]) async {
    for entry in entries { await report(entry, .released, ranFor: .zero) }
  }

  /// Waits for what is running; what takes longer than the grace is cancelled and given back.
  private func stopLatecomers(group: inout TaskGroup<Void>) async {
    await withTaskGroup(of: Void.self) { timer in
      timer.addTask { [self] in
        do { try await clock.sleep(for: grace.current) } catch { return }
        let late = running.withLock { Array($0.values) }
        if !late.isEmpty { logger.warning("stopping \(late.count) attempts that outlast the grace time") }
        for signal in late { signal.stop(.draining) }
      }
      await group.waitForAll()
      timer.cancelAll()
    }
  }
}

/// Told of what the worker does; for metrics and for those who wait for results.
package struct WorkObserver: Sendable {
  package var started: @Sendable (ClaimedTask) -> Void
  package var reported: @Sendable (ClaimedTask, Outcome, Duration, FinishVerdict) -> Void
  /// There is nothing to report: the lease ended before the attempt did, or before it could be begun.
  package var lost: @Sendable (ClaimedTask) -> Void

  package init(
    started: @escaping @Sendable (ClaimedTask) -> Void = { _ in },
    reported: @escaping @Sendable (ClaimedTask, Outcome, Duration, FinishVerdict) -> Void = { _, _, _, _ in },
    lost: @escaping @Sendable (ClaimedTask) -> Void = { _ in }
  ) {
    self.started = started
    self.reported = reported
    self.lost = lost
  }
}
