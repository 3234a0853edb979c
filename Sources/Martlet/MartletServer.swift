// The entrance for Swift teams: a node with handlers of their own. `martlet serve` is this, with the built-in handlers alone.

internal import Foundation
public import Logging
@_exported public import MartletCore  // `NewTask`, `TaskID`, … are part of what an embedder writes
@_exported public import MartletEngine  // `TaskHandler`, `AttemptContext`, `TaskResult`, …
internal import MartletHTTP
internal import ServiceLifecycle
internal import UnixSignals

/// A Martlet node: the HTTP API, the scheduler and a worker over one store, by the roles of its settings.
///
/// ```swift
/// try await MartletServer(handlers: [ResizeImage()]).run()
/// ```
public struct MartletServer: Sendable {
  /// Nil as long as AWS SSM was not asked.
  private let loaded: LoadedSettings?
  private let sources: SettingsSources
  private let handlers: [any TaskHandler]
  /// Nil: our own.
  private let logger: Logger?
  private let onStart: @Sendable (StartedNode) -> Void

  /// - Parameters:
  ///   - settings: nil reads them as `martlet serve` does, again and again: environment, then `martlet.yaml`, then defaults.
  ///   - handlers: besides the built-in ones; one of the same type takes the built-in one's place.
  ///   - logger: by default to standard error, as the settings say.
  ///   - onStart: called once when the node serves; by default its banner is printed.
  /// - Throws: `SettingsError`, whose description has one line for each thing wrong.
  public init(
    settings: Settings? = nil, handlers: [any TaskHandler] = [], logger: Logger? = nil,
    onStart: @escaping @Sendable (StartedNode) -> Void = { $0.printBanner() }
  ) throws {
    try settings?.check()
    let environment = ProcessInfo.processInfo.environment
    let sources =
      settings.map { SettingsSources(environment: environment, program: $0) }
      ?? SettingsSources(environment: environment, workingDirectory: FileManager.default.currentDirectoryPath)
    let asksSSM = Settings.config(of: sources).config.ssm.path != nil
    self.init(
      asksSSM ? nil : try Settings.load(sources), from: sources, handlers: handlers, logger: logger, onStart: onStart)
  }

  /// With settings that were loaded, and can be again.
  package init(
    _ loaded: LoadedSettings?, from sources: SettingsSources, handlers: [any TaskHandler] = [], logger: Logger? = nil,
    onStart: @escaping @Sendable (StartedNode) -> Void = { $0.printBanner() }
  ) {
    self.loaded = loaded
    self.sources = sources
    self.handlers = handlers
    self.logger = logger
    self.onStart = onStart
  }

  /// Serves until SIGTERM or SIGINT, then drains and returns. A second signal ends the process at once; leases heal.
  /// - Throws: what kept it from starting, or from going on, with a description that is one line for people.
  public func run() async throws {
    var sources = sources
    let loaded = if let loaded { loaded } else { try await sources.load() }
    let logLevel = Live(loaded.settings.log.level)
    let logger = logger ?? LineLogHandler.logger(loaded.settings.log.format, level: logLevel)
    var quiet = logger
    quiet.logLevel = .critical
    let live = LiveSettings(loaded, from: sources, logger: logger)
    live.onChange { logLevel.replace(with: $0.log.level) }
    let node = ServerNode(live: live, handlers: handlers, logger: logger, onStart: onStart)
    let group = ServiceGroup(
      services: [node], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { await exitAtSecondSignal(logger) }
      defer { tasks.cancelAll() }
      try await group.run()
    }
  }
}

/// The store could not take tasks now.
public struct SubmissionFailure: Error, Sendable, CustomStringConvertible {
  /// One line for people.
  public let description: String
  /// Tasks that may have been stored all the same: the connection broke while committing. Empty: nothing was stored.
  public let tasksOfUnknownOutcome: [TaskID]

  init(_ error: StoreError, tasks: [TaskID]) {
    description = error.message
    if case .unknownOutcome = error { tasksOfUnknownOutcome = tasks } else { tasksOfUnknownOutcome = [] }
  }
}

/// A node that has started: what there is to tell of it, and the way to give it tasks.
public struct StartedNode: Sendable {
  /// `http://127.0.0.1:8080`, with TLS `https://…`; nil without the role `api`.
  public let address: String?
  /// Where health and metrics alone are to be had; nil without `telemetry.metricsPort`.
  public let metricsAddress: String?
  /// The absolute path of the database, `:memory:`, or its URL without the password, and the schema.
  public let database: String
  private let roles: Set<Settings.Role>
  private let asksForCredentials: Bool
  private let service: TaskService

  init(
    address: String?, metricsAddress: String?, database: String, roles: Set<Settings.Role>, asksForCredentials: Bool,
    service: TaskService
  ) {
    self.asksForCredentials = asksForCredentials
    self.address = address
    self.metricsAddress = metricsAddress
    self.database = database
    self.roles = roles
    self.service = service
  }

  /// Accepts tasks, all or none, without a detour over HTTP. When it returns they are on disk. They may name each other in
  /// `dependencies` by their `ref`s; with an `idempotencyKey` the same task is submitted once, from here or over HTTP.
  /// - Returns: their ids, in order; of a repeated one the id that it has.
  /// - Throws: `ValidationFailure` with every problem at once, or `SubmissionFailure`.
  public func submit(_ tasks: [NewTask]) async throws -> [TaskID] {
    try checkPayloads(tasks)
    let request = try SubmitRequest(embedded: tasks)
    do throws(ServiceError) {
      return try await service.submitHere(request).map(\.record.id)
    } catch {
      switch error {
      case .invalid(let failure): throw failure
      case .store(let error, let tasks): throw SubmissionFailure(error, tasks: tasks)
      case .idempotencyKeyReused(let key):
        throw ValidationFailure([
          ValidationProblem(pointer: "/idempotencyKey", detail: "\(key) was used for another request")
        ])
      case .dependencyCycle(let ring):
        throw ValidationFailure([
          ValidationProblem(
            pointer: "/tasks",
            detail: "wait for each other in a ring: \((ring + ring.prefix(1)).joined(separator: " → "))")
        ])
      case .queueFull, .notFound, .invalidState, .forbiddenQueues, .alreadyExists, .nameTaken, .forbiddenQueue:
        throw SubmissionFailure(.unavailable("\(error)"), tasks: [])
      }
    }
  }

  private func checkPayloads(_ tasks: [NewTask]) throws(ValidationFailure) {
    let problems = tasks.enumerated().compactMap { index, task -> ValidationProblem? in
      do {
        _ = try JSONScanner.scan(task.payload)
        return nil
      } catch {
        return ValidationProblem(
          pointer: tasks.count == 1 ? "/payload" : "/tasks/\(index)/payload", detail: "is no JSON value")
      }
    }
    guard problems.isEmpty else { throw ValidationFailure(problems) }
  }

  /// The address, the database, the roles where some are missing, and three lines to paste, on standard output.
  public func printBanner() {
    FileHandle.standardOutput.write(Data((banner + "\n").utf8))  // unbuffered: whoever waits for it reads a pipe
  }

  package var banner: String {
    var lines = ["martlet \(Version.current)"]
    if let address { lines.append("  address   \(address)") }
    if let metricsAddress { lines.append("  metrics   \(metricsAddress)/metrics") }
    lines.append("  database  \(database)")
    if roles.count < Settings.Role.allCases.count {
      lines.append(
        "  roles     \(Settings.Role.allCases.filter(roles.contains).map(\.rawValue).joined(separator: ", "))")
    }
    if let address {
      let credential = asksForCredentials ? " -H \"X-API-Key: $MARTLET_API_KEY\"" : ""
      lines += [
        "",
        "Try it in another terminal:",
        "  curl -i \(address)/tasks\(credential) -H 'Content-Type: application/json' \\",
        #"    -d '{"type":"email","payload":{"to":"user@example.com","subject":"Welcome"}}'"#,
        "  curl '\(address)/tasks?limit=5'\(credential)",
        "  curl \(address)/stats\(credential)",
        "",
        "Ctrl-C drains and stops.",
      ]
    }
    return lines.joined(separator: "\n")
  }
}
