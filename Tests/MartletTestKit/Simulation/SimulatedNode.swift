// A process of the simulation: the real engine on a link of its own, with a handler that plays a script and writes down when it
// ran. It can crash, pause and be drained.

internal import Logging
package import MartletCore
package import MartletEngine
internal import Synchronization

package final class SimulatedNode: Sendable {
  package let process: Int
  package let engine: Engine
  package let link: SimulatedLink
  package let metrics = PrometheusRegistry()
  private let executor: ProcessExecutor
  private let stopped = Alarm()
  private let stops: ClockStops?
  private let state = Mutex(State())

  private struct State {
    var isCrashed = false
    var isPaused = false
    /// When it was last paused or went on, if ever.
    var changedAt: Int64?
  }

  package struct Options: Sendable {
    package var concurrency = 4
    package var grace = Duration.seconds(5)
    package var queues = ["default"]
    package var retention = RetentionPolicy(success: nil, dead: nil, cancelled: nil)
    /// The roles `worker` and `scheduler`.
    package var isWorker = true
    package var isScheduler = true
    package var wire: HintWire?
    package var post: LatePost?
    package var sabotage: Sabotage?
    /// By how many millionths its clock is too fast.
    package var drift: Int64 = 0
    /// The role `notifier`.
    package var sinks: @Sendable (Identity) -> [any EventSink] = { _ in [] }
    /// The event stream; nil for none.
    package var streamKept: Duration?
    package var feedsStream = true
    package var noticeSender: @Sendable (Identity) -> (any NoticeSender)? = { _ in nil }

    /// What stands beside the store.
    package var accelerators: Accelerators?
    package var spans: @Sendable (Identity) -> SpanSource? = { _ in nil }

    package init() {}
  }

  package init(
    process: Int, scheduler: Scheduler, store: any TaskStore, random: RandomSource, counters: Counters,
    handlers: (SimulatedNode.Identity) -> [any TaskHandler], options: Options = Options()
  ) throws {
    self.process = process
    executor = ProcessExecutor(scheduler: scheduler, process: process)
    stops = options.sabotage == .stopsClocks ? ClockStops() : nil
    let clock = ProcessClock(
      scheduler: scheduler, origin: .seconds(1000 * process), drift: options.drift, stops: stops)
    link = SimulatedLink(
      store, process: process, wire: options.wire, post: options.post, clock: clock, random: random, counters: counters,
      sabotage: options.sabotage)
    var settings = EngineSettings()
    settings.retention = options.retention
    settings.isScheduler = options.isScheduler
    settings.streamKept = options.streamKept
    settings.feedsStream = options.feedsStream
    settings.accelerators = options.accelerators
    settings.entriesPerPiece = 2
    settings.spans = options.spans(Identity(process: process, clock: clock))
    settings.sinks = options.sinks(Identity(process: process, clock: clock))
    settings.noticeSender = options.noticeSender(Identity(process: process, clock: clock))
    if options.isWorker {
      settings.worker = Worker.Settings(
        id: "node-\(process)", queues: options.queues, concurrency: options.concurrency, grace: options.grace)
    }
    engine = Engine(
      settings, store: link, registry: try HandlerRegistry(handlers(Identity(process: process, clock: clock))),
      executor: executor, clock: clock, random: random, metrics: TaskMetrics(factory: metrics),
      logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() })
  }

  package struct Identity: Sendable {
    package let process: Int
    package let clock: ProcessClock

    package init(process: Int, clock: ProcessClock) {
      self.process = process
      self.clock = clock
    }
  }

  /// Runs the engine until it is drained or crashes.
  package func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask(executorPreference: executor) { [engine] in await engine.run() }
      group.addTask { [stopped] in await stopped.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  /// As kill -9: no call gets through any more, nothing it does counts any more.
  package func crash() {
    state.withLock { $0.isCrashed = true }
    link.cut()
    stopped.ring()
  }

  package func pause() {
    state.withLock { state in
      state.isPaused = true
      state.changedAt = executor.scheduler.now
    }
    executor.scheduler.pause(process)
  }

  package func resume() {
    state.withLock { state in
      guard state.isPaused else { return }
      state.isPaused = false
      if let since = state.changedAt { stops?.add(executor.scheduler.now - since) }
      state.changedAt = executor.scheduler.now
    }
    executor.scheduler.resume(process)
  }

  package var isCrashed: Bool { state.withLock { $0.isCrashed } }

  /// It stands still, or has gone on in this very instant: what it should have done meanwhile it does only now.
  package var isBehind: Bool {
    state.withLock { $0.isPaused || $0.changedAt == executor.scheduler.now }
  }
}
