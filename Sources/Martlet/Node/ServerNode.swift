// The composition root: makes everything a node is made of, runs it together and closes the store last.

internal import Foundation
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletHTTP
internal import ServiceLifecycle

/// One run of a node, from opening the store to closing it.
struct ServerNode: Service {
  let live: LiveSettings
  let handlers: [any TaskHandler]
  let logger: Logger
  let onStart: @Sendable (StartedNode) -> Void

  /// What a handler may take to stop once it was cancelled; after that the process leaves without it.
  private static let cancellationGrace = Duration.seconds(3)

  /// Threads for handlers that block; more attempts than these can be under way as long as most of them await.
  private static let mostThreads = 256

  private var settings: Settings { live.running }

  func run() async throws {
    let location = try DatabaseLocation(settings.database)
    let store = try await location.open(settings.database, logger: logger)
    let result = await Result { () async throws -> Void in
      live.begin(with: try await store.settingsRevision(after: 0))
      let metrics = PrometheusRegistry()
      let traces = NodeTraces(settings, location, metrics: metrics, logger: logger)
      let builtIn = BuiltInHandlers(settings: settings, spans: traces.spans)
      let result = await Result { () async throws -> Void in
        try await traces.sending { try await serve(location, store, builtIn, metrics, traces.spans) }
      }
      await builtIn.shutdown()
      try result.get()
    }
    await store.close()
    try result.get()
    logger.info("stopped")
  }

  private func serve(
    _ location: DatabaseLocation, _ store: any TaskStore, _ builtIn: BuiltInHandlers,
    _ registryOfMetrics: PrometheusRegistry, _ spans: SpanSource?
  ) async throws {
    let registry = try HandlerRegistry(allHandlers(builtIn))
    let executor = HandlerExecutor(maxThreads: Self.threads(for: settings))
    var engineSettings = Self.engineSettings(settings)
    engineSettings.spans = spans
    engineSettings.sinks = try settings.makeSinks(logger)
    let redis = try await redisBeside(store)
    engineSettings.accelerators = redis?.accelerators
    let post =
      settings.server.roles.contains(.notifier)
      ? try NoticePost(settings: settings, spans: spans, logger: logger) : nil
    engineSettings.noticeSender = post
    engineSettings.configuration = { [live] in live.component }
    engineSettings.settingsPanel = live
    let engine = Engine(
      engineSettings, store: store, registry: registry, executor: executor, clock: SystemClock(), random: .system,
      metrics: TaskMetrics(factory: registryOfMetrics), logger: logger)
    let http = httpServers(engine, store, redis, metrics: registryOfMetrics, spans, location)
    live.count(in: ConfigMetrics(factory: registryOfMetrics))
    live.onChange { new in
      engine.tune(Self.engineSettings(new).tuning)
      executor.setMostThreads(Self.threads(for: new))
      builtIn.take(over: new)
      post?.take(over: new)
      for server in http { server.limitRequests(new.requestLimit) }
    }
    let result = await Result { () async throws -> Void in try await run(engine, http, store) }
    await post?.shutdown()
    await redis?.close()
    executor.shutdown()
    try result.get()
  }

  /// Nil where none is configured. Whether it can be reached is not waited for.
  private func redisBeside(_ store: any TaskStore) async throws -> RedisBeside? {
    guard let url = settings.redis.url else { return nil }
    return try RedisBeside(url, installation: try await store.attend(to: []), logger: logger)
  }

  /// All until all have drained; a failure of one stops the others.
  private func run(_ engine: Engine, _ http: [HTTPServer], _ store: any TaskStore) async throws {
    let drained = Alarm()
    try await withGracefulShutdownHandler {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await leaveBehind(engine, store, after: drained) }
        let reloader = try SettingsReloader(live, store: store, clock: SystemClock(), logger: logger)
        engine.onSettingsChanged { reloader.wakeUp() }
        group.addTask { await reloader.run() }
        group.addTask { await FreedMemory.giveBackNowAndThen() }
        try await withThrowingTaskGroup(of: Void.self) { parts in
          parts.addTask { await engine.run() }
          parts.addTask {
            do {
              try await serve(http)
            } catch {
              engine.drain()
              throw error
            }
          }
          try await parts.waitForAll()
        }
        group.cancelAll()
      }
    } onGracefulShutdown: {
      logger.info("draining", metadata: ["running": "\(engine.busy)"])
      engine.drain()
      drained.ring()
    }
  }

  /// Until all have ended; one that cannot begin takes the others along.
  private func serve(_ http: [HTTPServer]) async throws {
    try await withThrowingTaskGroup(of: Void.self) { servers in
      for server in http { servers.addTask { try await server.run() } }
      while try await servers.next() != nil {}
    }
  }

  /// A handler that does not stop cannot be made to: when its time is over the process ends without it, and its lease heals.
  private func leaveBehind(_ engine: Engine, _ store: any TaskStore, after drained: Alarm) async throws {
    await drained.wait()
    do {
      try await Task.sleep(for: .seconds(settings.workers.shutdownGraceSeconds) + Self.cancellationGrace)
    } catch {
      return  // all went well
    }
    logger.warning("leaving \(engine.busy) attempts behind that do not stop; their leases will end")
    await store.close()
    exit(0)
  }

  private func httpServers(
    _ engine: Engine, _ store: any TaskStore, _ redis: RedisBeside?, metrics: PrometheusRegistry,
    _ spans: SpanSource?, _ location: DatabaseLocation
  ) -> [HTTPServer] {
    let auth = settings.authConfiguration
    let scheme = settings.tlsFiles == nil ? "http" : "https"
    let process = ProcessMetrics(factory: metrics)
    let listeners = Listeners(settings) { onStart(started(engine, $0, location)) }
    return settings.listeners.map { listener in
      var configuration = HTTPConfiguration(
        host: settings.server.host, port: listener.port, maxBodyBytes: settings.server.maxBodyBytes,
        requiresLoopbackHost: auth == nil, auth: auth, tls: settings.tlsFiles, version: Version.current)
      configuration.purpose = listener.purpose
      return HTTPServer(
        configuration: configuration, tasks: engine.service, leases: engine.leases, schedules: engine.schedules,
        apiKeys: store, buckets: redis,
        metrics: {
          process?.refresh()
          return metrics.render()
        }, logger: logger, metricsFactory: metrics, spans: spans,
        onListening: { host, port in
          let host = host.contains(":") ? "[\(host)]" : host
          listeners.listens(listener.purpose, at: "\(scheme)://\(host):\(port)")
        })
    }
  }

  private func started(
    _ engine: Engine, _ addresses: [HTTPConfiguration.Purpose: String], _ location: DatabaseLocation
  ) -> StartedNode {
    StartedNode(
      address: addresses[.api], metricsAddress: addresses[.watching], database: location.shown,
      roles: settings.server.roles, asksForCredentials: settings.auth.isConfigured, service: engine.service)
  }

  /// The built-in ones, but for the types that the embedder handles.
  private func allHandlers(_ builtIn: BuiltInHandlers) -> [any TaskHandler] {
    let own = Set(handlers.flatMap { type(of: $0).types })
    return handlers + builtIn.all.filter { own.isDisjoint(with: type(of: $0).types) }
  }

  private static func threads(for settings: Settings) -> Int {
    min(max(2, settings.workers.concurrency), mostThreads)
  }

  private static func engineSettings(_ settings: Settings) -> EngineSettings {
    var engine = EngineSettings()
    engine.defaults = settings.tasks.defaults
    engine.defaults.notify = settings.notifications.defaultTargets
    engine.noticeProblem = { NoticePost.problem(with: $0) }
    engine.retention = settings.retention.policy
    engine.retention.keys = .seconds(settings.idempotency.retentionSeconds)
    engine.storeNote = settings.database.durability == .relaxed ? "durability relaxed" : nil
    engine.isScheduler = settings.server.roles.contains(.scheduler)
    engine.streamKept = settings.events.streamSeconds > 0 ? .seconds(settings.events.streamSeconds) : nil
    engine.feedsStream = settings.server.roles.contains(.notifier)
    engine.host = ProcessInfo.processInfo.hostName
    if settings.server.roles.contains(.worker) {
      engine.worker = Worker.Settings(
        id:
          "\(engine.host)-\(ProcessInfo.processInfo.processIdentifier)-\(String(UInt16.random(in: .min ... .max), radix: 36))",
        queues: settings.workers.queues, concurrency: settings.workers.concurrency,
        grace: .seconds(settings.workers.shutdownGraceSeconds))
    }
    return engine
  }
}

extension Result where Failure == any Error {
  /// What an asynchronous call gave or threw.
  fileprivate init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}
