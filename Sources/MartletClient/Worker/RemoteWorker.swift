// A worker far from its server: the engine's own `Worker`, over HTTP instead of a store. For Swift programs with handlers of their
// own, and for `martlet work`.

internal import Foundation
public import Logging
internal import MartletCore
// `TaskHandler`, `AttemptContext`, `TaskResult` and `TaskFailure` are what a user of this writes.
@_exported public import MartletEngine
internal import Synchronization

/// Carries out tasks of a server elsewhere with handlers in this process.
///
/// ```swift
/// try await MartletClient.withClient(server: "https://tasks.example.com", credential: .apiKey("mk_…")) { client in
///   try await RemoteWorker(client, handlers: [ResizeImage()]).run()
/// }
/// ```
///
/// The handlers are the same as in a server of one's own (`MartletServer(handlers:)`), and so are the promises: a task is
/// carried out at least once, its lease is renewed while the handler runs, and a handler whose lease cannot be kept is
/// cancelled before it ends. A server that cannot be reached is waited for; results are held until it takes them.
///
/// In a program that has set up a tracer (`InstrumentationSystem.bootstrap`), before it makes the worker, each attempt is a span `run`
/// below the server's, and spans of handlers are below that.
public final class RemoteWorker: Sendable {
  /// How it works.
  public struct Options: Sendable, Hashable {
    /// Unique among living workers; 1–256 characters. Nil makes one of the host's name, the process and chance.
    public var name: String?
    /// Nil is every queue.
    public var queues: [String]?
    /// Attempts at once.
    public var concurrency = 16
    /// How long running attempts may go on once it drains; then they are cancelled and given back.
    public var shutdownGrace = Duration.seconds(25)

    /// The defaults.
    public init() {}
  }

  /// As the server lists it.
  public let name: String
  private let options: Options
  private let worker: Worker
  private let broker: ClaimBroker
  private let source: RemoteWorkSource
  private let executor: HandlerExecutor
  private let clock: any EngineClock
  private let logger: Logger
  private let draining = Alarm()
  private let refusal: Refusal

  /// What a handler may take to stop once it was cancelled.
  private static let cancellationGrace = Duration.seconds(3)
  /// How long a server that cannot be reached is given to take the last results.
  private static let reportGrace = Duration.seconds(10)
  /// Threads for handlers that block.
  private static let mostThreads = 256

  /// - Throws: `RemoteWorkerError.invalid` for handlers that cannot stand together and options out of range.
  public convenience init(
    _ client: MartletClient, handlers: [any TaskHandler], options: Options = Options(),
    logger: Logger = Logger(label: "martlet.worker")
  ) throws(RemoteWorkerError) {
    let registry: HandlerRegistry
    do throws(HandlerConflict) {
      registry = try HandlerRegistry(handlers)
    } catch {
      throw .invalid(error.description)
    }
    try self.init(client, registry: registry, options: options, logger: logger)
  }

  package init(
    _ client: MartletClient, registry: HandlerRegistry, options: Options, logger: Logger,
    observer: WorkObserver = WorkObserver(), clock: any EngineClock = SystemClock(), random: RandomSource = .system
  ) throws(RemoteWorkerError) {
    let name = options.name ?? Self.drawnName()
    if let problem = Self.problem(name, registry.types, options) { throw .invalid(problem) }
    self.name = name
    self.options = options
    self.logger = logger
    self.clock = clock
    let refusal = Refusal(draining)
    self.refusal = refusal
    source = RemoteWorkSource(client, clock: clock, logger: logger) { refusal.note($0) }
    // It asks again as soon as an answer is there: the server holds the request while there is nothing.
    broker = ClaimBroker(source: source, clock: clock, random: random, logger: logger, pollInterval: .zero)
    executor = HandlerExecutor(maxThreads: min(max(2, options.concurrency), Self.mostThreads))
    var settings = Worker.Settings(
      id: name, queues: options.queues ?? [ClaimRequest.allQueues], concurrency: options.concurrency,
      grace: options.shutdownGrace, isLocal: false)
    settings.patience = Call.longestWait
    worker = Worker(
      settings, source: source, reportLanes: 2, broker: broker, registry: registry, executor: executor, clock: clock,
      random: random, observer: observer, spans: .ofTheProcess, logger: logger)
  }

  /// Takes no more work; running attempts may end within the grace, and `run` returns.
  public func drain() {
    draining.ring()
  }

  /// Works until SIGTERM or SIGINT, `drain()`, or until the server refuses for good. A second signal ends the process at once;
  /// leases heal.
  /// - Throws: `MartletClientError` where the server refuses (no right to lease, no such call), `RemoteWorkerError.unreported`
  ///   where the last results could not be told, `CancellationError`.
  public func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [self] in
        await SignalWatch.run(onFirst: { self.drain() }, onSecond: { self.leaveAtOnce() })
      }
      defer { group.cancelAll() }
      try await work()
    }
  }

  /// The same, and signals are somebody else's.
  package func work() async throws {
    let isOverdue = await withTaskGroup(of: End.self) { group in
      group.addTask {
        await self.broker.run()
        return .part
      }
      group.addTask {
        await self.worker.run()
        return .part
      }
      group.addTask { await self.keepTime() }
      var parts = 2
      var isOverdue = false
      for await end in group {
        switch end {
        case .part: parts -= 1
        case .overdue: isOverdue = true
        case .inTime: break
        }
        if parts == 0 || isOverdue { group.cancelAll() }
      }
      return isOverdue
    }
    executor.shutdown()
    try Task.checkCancellation()
    if let error = refusal.error { throw error }
    if isOverdue { throw RemoteWorkerError.unreported(worker.leases) }
  }

  private enum End {
    /// The broker or the worker has ended.
    case part
    /// What had to end in time has not.
    case overdue
    case inTime
  }

  /// Waits for the drain, begins it, and bounds it.
  private func keepTime() async -> End {
    await draining.wait()
    guard !Task.isCancelled else { return .inTime }
    logger.info("draining", metadata: ["running": "\(worker.busy)"])
    broker.close()
    source.drain()
    worker.drain()
    do {
      try await clock.sleep(for: options.shutdownGrace + Self.cancellationGrace + Self.reportGrace)
    } catch {
      return .inTime
    }
    logger.warning("leaving \(worker.leases) attempts behind that could not be reported; their leases will end")
    return .overdue
  }

  private func leaveAtOnce() -> Never {
    logger.warning("stopping at once; what runs here is rescued when its lease ends")
    exit(1)
  }

  /// The first answer that will be the same the next time ends the work.
  private final class Refusal: Sendable {
    private let first = Mutex<MartletClientError?>(nil)
    private let draining: Alarm

    init(_ draining: Alarm) {
      self.draining = draining
    }

    var error: MartletClientError? { first.withLock(\.self) }

    func note(_ error: MartletClientError) {
      first.withLock { $0 = $0 ?? error }
      draining.ring()
    }
  }

  // MARK: Options

  private static func drawnName() -> String {
    let process = ProcessInfo.processInfo
    let chance = String(UInt32.random(in: .min ... .max), radix: 36)
    return "\(process.hostName)-\(process.processIdentifier)-\(chance)"
  }

  private static func problem(_ name: String, _ types: [String], _ options: Options) -> String? {
    var problems = Problems()
    problems.checkText(name, lengths: 1...256, at: "the worker's name")
    problems.check(options.concurrency, in: 1...1000, at: "concurrency")
    if types.isEmpty { problems.add("a worker", "needs at least one handler") }
    if options.queues?.isEmpty == true { problems.add("queues", "must not be empty") }
    for queue in options.queues ?? [] { problems.checkName(queue, at: "the queue '\(queue)'") }
    return problems.all.isEmpty ? nil : problems.all.map { "\($0.pointer) \($0.detail)" }.joined(separator: "; ")
  }
}

/// Why a worker did not begin, or did not end well.
public enum RemoteWorkerError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Handlers or options that cannot be.
  case invalid(String)
  /// It had to leave before the server took all of its results; the tasks of so many leases will be carried out again.
  case unreported(Int)

  /// One sentence for people, on one line.
  public var description: String {
    switch self {
    case .invalid(let reason): reason
    case .unreported(let count): "\(count) results could not be reported; their tasks will be carried out again"
    }
  }
}
