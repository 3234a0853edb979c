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
      let builtIn = BuiltInHandlers(settings: settings)
      let result = await Result { () async throws -> Void in try await serve(location, store, builtIn) }
      await builtIn.shutdown()
      try result.get()
    }
    await store.close()
    try result.get()
    logger.info("stopped")
  }

  private func serve(_ location: DatabaseLocation, _ store: any TaskStore, _ builtIn: BuiltInHandlers) async throws {
    let registry = try HandlerRegistry(allHandlers(builtIn))
    let executor = HandlerExecutor(maxThreads: Self.threads(for: settings))
    let registryOfMetrics = PrometheusRegistry()
    var engineSettings = Self.engineSettings(settings)
    engineSettings.sinks = try settings.makeSinks(logger)
    let redis = try await redisBeside(store)
    engineSettings.accelerators = redis?.accelerators
    let post = settings.server.roles.contains(.notifier) ? try NoticePost(settings: settings) : nil
    engineSettings.noticeSender = post
    engineSettings.configuration = { [live] in live.component }
    engineSettings.settingsPanel = live
    let engine = Engine(
      engineSettings, store: store, registry: registry, executor: executor, clock: SystemClock(), random: .system,
      metrics: TaskMetrics(factory: registryOfMetrics), logger: logger)
    let http =
      settings.server.roles.contains(.api)
      ? httpServer(engine, store, redis, metrics: registryOfMetrics, location) : nil
    live.count(in: ConfigMetrics(factory: registryOfMetrics))
    live.onChange { new in
      engine.tune(Self.engineSettings(new).tuning)
      executor.setMostThreads(Self.threads(for: new))
      builtIn.take(over: new)
      post?.take(over: new)
      http?.limitRequests(new.requestLimit)
    }
    if http == nil { onStart(started(engine, address: nil, location)) }
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

  /// Both until both have drained; a failure of one stops the other.
  private func run(_ engine: Engine, _ http: HTTPServer?, _ store: any TaskStore) async throws {
    let drained = Alarm()
    try await withGracefulShutdownHandler {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await leaveBehind(engine, store, after: drained) }
        let reloader = try SettingsReloader(live, store: store, clock: SystemClock(), logger: logger)
        engine.onSettingsChanged { reloader.wakeUp() }
        group.addTask { await reloader.run() }
        try await withThrowingTaskGroup(of: Void.self) { parts in
          parts.addTask { await engine.run() }
          if let http {
            parts.addTask {
              do {
                try await http.run()
              } catch {
                engine.drain()
                throw error
              }
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

  private func httpServer(
    _ engine: Engine, _ store: any TaskStore, _ redis: RedisBeside?, metrics: PrometheusRegistry,
    _ location: DatabaseLocation
  ) -> HTTPServer {
    let auth = settings.authConfiguration
    let scheme = settings.tlsFiles == nil ? "http" : "https"
    return HTTPServer(
      configuration: HTTPConfiguration(
        host: settings.server.host, port: settings.server.port, maxBodyBytes: settings.server.maxBodyBytes,
        requiresLoopbackHost: auth == nil, auth: auth, tls: settings.tlsFiles, version: Version.current),
      tasks: engine.service, leases: engine.leases, schedules: engine.schedules, apiKeys: store,
      buckets: redis,
      metrics: {
        try await engine.service.refreshGauges()
        return metrics.render()
      }, logger: logger, metricsFactory: metrics,
      onListening: { host, port in
        let host = host.contains(":") ? "[\(host)]" : host
        onStart(started(engine, address: "\(scheme)://\(host):\(port)", location))
      })
  }

  private func started(_ engine: Engine, address: String?, _ location: DatabaseLocation) -> StartedNode {
    StartedNode(
      address: address, database: location.shown, roles: settings.server.roles,
      asksForCredentials: settings.auth.isConfigured, service: engine.service)
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
