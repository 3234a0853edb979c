// Puts a node together: the service that HTTP and embedders call, the worker, and the background duties, over one store.
// `MartletServer` runs it in production, tests and simulation with a clock, a store and an executor of their own.

package import Logging
package import MartletCore
internal import Synchronization

package struct EngineSettings: Sendable {
  package var defaults = TaskDefaults()
  package var retention = RetentionPolicy(success: nil, dead: nil, cancelled: nil)
  /// Nil: this node carries out nothing itself.
  package var worker: Worker.Settings?
  /// False: time passes by this node; another has the role `scheduler`.
  package var isScheduler = true
  package var host = "localhost"
  /// Where the rules of time zones are.
  package var zones = ZoneDatabase.system
  /// What `/health/ready` says of a store that works: `durability relaxed`.
  package var storeNote: String?
  /// Whom this node tells what happens. Empty without the role `notifier`.
  package var sinks: [any EventSink] = []
  /// Entries of the outbox that a sink is told at a time. Tests have few.
  package var entriesPerPiece = 1000
  /// How long events are kept for those who listen to the stream; nil: there is none.
  package var streamKept: Duration?
  /// Whether this node puts events into the stream, where there is one.
  package var feedsStream = true
  /// How this node tells people how their tasks ended. Nil without the role `notifier`.
  package var noticeSender: (any NoticeSender)?
  /// What is wrong with a receiver that a task names, beyond what can be seen from its form; the rest of a sentence.
  package var noticeProblem: @Sendable (NoticeTarget) -> String? = { _ in nil }
  /// What stands beside the store.
  package var accelerators: Accelerators?
  /// Nil: nothing is traced.
  package var spans: SpanSource?
  /// For `/health/ready`: how the node's configuration fares.
  package var configuration: (@Sendable () -> Readiness.Component)?
  /// What is known of the node's settings. Nil: there are none.
  package var settingsPanel: (any SettingsPanel)?

  package init() {}

  /// What of it can change while the engine runs.
  package var tuning: EngineTuning {
    EngineTuning(
      defaults: defaults, retention: retention, concurrency: worker?.concurrency ?? 0, grace: worker?.grace ?? .zero)
  }
}

/// What of an engine's settings can change while it runs. A submission goes by one version of it.
package struct EngineTuning: Sendable {
  package var defaults: TaskDefaults
  package var retention: RetentionPolicy
  /// Of the node's worker, where it has one; as is the next.
  package var concurrency: Int
  package var grace: Duration

  package init(defaults: TaskDefaults, retention: RetentionPolicy, concurrency: Int, grace: Duration) {
    self.defaults = defaults
    self.retention = retention
    self.concurrency = concurrency
    self.grace = grace
  }
}

package final class Engine: Sendable {
  package let service: TaskService
  /// For workers elsewhere.
  package let leases: LeaseService
  package let schedules: ScheduleService
  private let parts: EngineParts
  private let settings: EngineSettings
  private let broker: ClaimBroker
  private let worker: Worker?
  private let remoteWorkers = RemoteWorkers()
  private let leaseBook = LeaseBook()
  private let relays: [OutboxRelay]
  private let notifier: Notifier?
  private let dispatch: DispatchDesk?
  private let keys: KeyShortcut?
  private let finished = Alarm()

  /// - Parameters:
  ///   - executor: where handlers run.
  package init(
    _ settings: EngineSettings, store: any TaskStore, registry: HandlerRegistry, executor: any TaskExecutor,
    clock: any EngineClock, random: RandomSource, metrics: TaskMetrics, logger: Logger
  ) {
    self.settings = settings
    let parts = EngineParts(
      store: store, clock: clock, random: random, metrics: metrics, logger: logger,
      tuning: settings.tuning, noticeProblem: settings.noticeProblem, spans: settings.spans)
    self.parts = parts
    let stream = settings.streamKept.map { _ in EventStream(parts) }
    let pieceSize = settings.entriesPerPiece
    let fed = settings.feedsStream ? stream : nil
    relays =
      settings.sinks.map { sink in
        OutboxRelay(sink, parts, id: OutboxRelay.id(parts, node: settings.host), pieceSize: pieceSize)
      }
      + (fed.map { [OutboxRelay.stream($0, parts, node: settings.host, pieceSize: pieceSize)] } ?? [])
    notifier = settings.noticeSender.map { Notifier($0, parts) }
    let dispatch = settings.accelerators.map { DispatchDesk($0, parts) }
    self.dispatch = dispatch
    keys = settings.accelerators.map { KeyShortcut($0.keys, parts) }
    service = TaskService(
      parts, registry: registry, storeNote: settings.storeNote, relays: relays, stream: stream, notifier: notifier,
      keys: keys, accelerators: settings.accelerators, configuration: settings.configuration,
      settings: settings.settingsPanel)
    schedules = ScheduleService(parts, service.submitter, zones: settings.zones)
    let source = WorkDesk(parts, dispatch)
    let broker = ClaimBroker(source: source, clock: clock, random: random, logger: logger) { [wakeUp = parts.wakeUp] in
      wakeUp.work(in: $0)
    }
    self.broker = broker
    leases = LeaseService(parts, broker: broker, desk: source, book: leaseBook, workers: remoteWorkers)
    worker = settings.worker.map { workerSettings in
      Worker(
        workerSettings, source: source, reportLanes: store.preferredConcurrency, broker: broker, registry: registry,
        executor: executor, clock: clock,
        random: random, observer: parts.observer, spans: settings.spans, logger: logger)
    }
    if let dispatch {
      parts.wakeUp.onWork { dispatch.appeared(in: $0) }
      parts.wakeUp.onReady { dispatch.appeared($0) }
    } else {
      parts.wakeUp.onWork { broker.ring($0) }
    }
    if let worker { parts.wakeUp.onCancelled { worker.nudge($0) } }
    store.listen { [broker, wakeUp = parts.wakeUp] hint in
      switch hint {
      case .work(let lanes):
        broker.hear(of: lanes)
        dispatch?.appeared(in: lanes)
      case .workElsewhere(let lanes): broker.hear(of: lanes)
      case .anyWorkHere:
        broker.hear(of: nil)
        dispatch?.appearedSomewhere()
      case .anyWork:
        broker.hear(of: nil)
        wakeUp.due(in: .zero)  // where hints of work were missed, those of time may have been too
        wakeUp.schedules()
      case .due(let duration): wakeUp.due(in: duration)
      case .cancelled(let id): wakeUp.cancelled(id)
      case .unsettled: wakeUp.unsettled()
      case .unadmitted: wakeUp.unadmitted()
      case .later(let lanes, let duration): broker.hear(of: lanes, in: duration)
      case .settings: wakeUp.settingsChanged()
      case .schedules: wakeUp.schedules()
      }
    }
  }

  /// Runs until drained. Cancelling the task stops everything where it is, as a crash would.
  package func run() async {
    await withTaskGroup(of: Void.self) { group in
      for duty in duties { group.addTask { await duty.run() } }
      group.addTask { await self.broker.run() }
      group.addTask { await self.parts.probe.run() }
      group.addTask { await self.service.counting.run() }
      for relay in relays { group.addTask { await relay.run() } }
      if let stream = service.stream { group.addTask { await stream.run() } }
      if let notifier { group.addTask { await notifier.run() } }
      if let dispatch { group.addTask { await dispatch.run(self.broker) } }
      if let keys { group.addTask { await keys.run() } }
      if let worker {
        await worker.run()
        if !Task.isCancelled, let id = settings.worker?.id { await unregister(id) }
      } else {
        await finished.wait()
      }
      group.cancelAll()
    }
    for relay in relays { await relay.close() }
  }

  /// Takes no more work and lets `run` return once what was begun has ended or is given back. Waiting callers are answered.
  package func drain() {
    service.drain()
    broker.close()
    worker?.drain()
    finished.ring()
  }

  /// Goes by this from now on; what has begun ends as it began.
  package func tune(_ tuning: EngineTuning) {
    parts.tuning.replace(with: tuning)
    worker?.resize(to: tuning.concurrency, grace: tuning.grace)
  }

  /// Calls `listener` when this node hears that settings were changed somewhere; only ever a hint.
  package func onSettingsChanged(_ listener: @escaping @Sendable () -> Void) {
    parts.wakeUp.onSettingsChanged(listener)
  }

  /// Attempts under way on this node.
  package var busy: Int { worker?.busy ?? 0 }

  private var duties: [PeriodicService] {
    var duties: [PeriodicService] = [
      .storeTime(parts), .typeSettings(parts, service.rules.types), .completionWatcher(parts),
      .remoteWorkers(parts, remoteWorkers, leaseBook),
    ]
    if let dispatch { duties.append(.limitedQueues(parts, dispatch)) }
    if settings.isScheduler {
      duties += [
        .promoter(parts), .settler(parts), .admitter(parts), .rescuer(parts),
        .pruner(parts), .bulkRunner(parts), .sinkKeeper(parts),
        .scheduleRunner(parts, service.submitter, zones: settings.zones),
      ]
    }
    if let kept = settings.streamKept, settings.feedsStream { duties.append(.streamPruner(parts, kept: kept)) }
    if let worker, let its = settings.worker {
      let record = WorkerRecord(
        id: its.id, host: settings.host, kind: its.isLocal ? .node : .remote, types: service.localTypes,
        queues: its.queues, running: 0, lastSeenAt: Timestamp(milliseconds: 0))
      duties.append(.heartbeat(parts, worker: record) { worker.busy })
      duties.append(.workerGauge(parts, worker))
    }
    return duties
  }

  private func unregister(_ id: String) async {
    do throws(StoreError) {
      try await parts.store.unregister(worker: id)
    } catch {
      parts.logger.debug("could not sign off: \(error.message)")
    }
  }
}

/// What the parts of one node share.
final class EngineParts: Sendable {
  let store: any TaskStore
  let clock: any EngineClock
  let random: RandomSource
  let metrics: EngineMetrics
  let logger: Logger
  let wakeUp = WakeUp()
  let board = CompletionBoard()
  let storeTime: StoreTime
  let probe: StoreProbe
  let tuning: Live<EngineTuning>
  /// Rings for the next look at actions in bulk.
  let bulk = Alarm()
  let notices = NoticeBell()
  let noticeProblem: @Sendable (NoticeTarget) -> String?
  /// Nil: nothing is traced.
  let spans: SpanSource?

  init(
    store: any TaskStore, clock: any EngineClock, random: RandomSource, metrics: TaskMetrics, logger: Logger,
    tuning: EngineTuning, noticeProblem: @escaping @Sendable (NoticeTarget) -> String?, spans: SpanSource? = nil
  ) {
    self.spans = spans
    self.tuning = Live(tuning)
    self.noticeProblem = noticeProblem
    self.store = store
    self.clock = clock
    self.random = random
    self.metrics = EngineMetrics(metrics, clock: clock)
    self.logger = logger
    storeTime = StoreTime(store: store, clock: clock)
    probe = StoreProbe(clock: clock) { () throws(StoreError) in try await store.check() }
  }

  /// How long an idempotency key lives at least.
  var keyRetention: Duration { tuning.current.retention.keys }

  /// Runs a store call and measures it; where what it is about is traced, as a span.
  /// - Parameter items: how many callers' wishes it gathers, where it gathers them.
  func timed<Value>(
    _ operation: String, items: Int? = nil, _ call: () async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    guard spans != nil else { return try await measured(operation, items, call) }
    return try await traced(operation) { () throws(StoreError) in try await measured(operation, items, call) }
  }

  private func measured<Value>(
    _ operation: String, _ items: Int?, _ call: () async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    let start = clock.now
    var failed = true
    defer { metrics.store.call(operation, items: items, took: clock.now - start, failed: failed) }
    let value = try await call()
    failed = false
    if Self.moving.contains(operation) { wakeUp.moved() }
    return value
  }

  /// Calls after which sinks may have something to hear.
  private static let moving: Set<String> = [
    "submit", "claim", "finish", "steer", "promote", "rescue", "settle", "bulk", "advance-schedules",
    "trigger-schedule",
  ]

  /// Of receivers whose form is right.
  func noticeProblems(_ targets: [NoticeTarget]?) -> [ValidationProblem] {
    (targets ?? []).prefix(NoticeTarget.most).enumerated().compactMap { index, target in
      guard target.problem == nil, let detail = noticeProblem(target) else { return nil }
      return ValidationProblem(pointer: "/notify/\(index)/\(target.channel.rawValue)", detail: detail)
    }
  }

  /// An attempt ended and left its task so: tell whoever it concerns.
  func settled(_ id: TaskID, lane: Lane, status: TaskStatus) {
    metrics.settled(lane, status)
    switch status {
    case .success, .dead, .cancelled: board.tell(id)
    case .ready: wakeUp.work(in: [lane])
    case .pending, .retry: wakeUp.due(in: .zero)
    case .running: break
    }
  }

  var observer: WorkObserver {
    WorkObserver(
      started: { [metrics] task in
        metrics.started(Lane(queue: task.queue, type: task.type), waited: max(.zero, task.startedAt - task.readyAt))
      },
      reported: { [self] task, outcome, ranFor, verdict in
        let lane = Lane(queue: task.queue, type: task.type)
        switch verdict {
        case .applied(let status):
          metrics.ended(lane, outcome: outcome.attemptOutcome, after: ranFor)
          settled(task.id, lane: lane, status: status)
        case .lost:
          metrics.leaseLost(lane)
          logger.warning(
            "a report came too late: the lease was lost",
            metadata: task.logFields.merging(["outcome": "\(outcome.attemptOutcome.rawValue)"]) { $1 })
        }
      },
      lost: { [metrics, logger] task in
        metrics.leaseLost(Lane(queue: task.queue, type: task.type))
        logger.warning(
          "an attempt was given up: its lease could not be kept",
          metadata: task.logFields)
      })
  }
}

extension ClaimedTask {
  /// By which the log names an attempt.
  fileprivate var logFields: Logger.Metadata {
    var fields: Logger.Metadata = ["task_id": "\(id)", "attempt": "\(attempt)"]
    if let trace = traceparent.flatMap({ TraceParent($0) }) { fields["trace_id"] = "\(trace.traceIDText)" }
    return fields
  }
}
