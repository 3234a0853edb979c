// The entrance for Swift teams: a node with handlers of their own. `martlet serve` is this, with the built-in handlers alone.

internal import Foundation
public import Logging
@_exported public import MartletCore  // `NewTask`, `TaskID`, … are part of what an embedder writes
@_exported public import MartletEngine  // `TaskHandler`, `AttemptContext`, `TaskResult`, …
internal import ServiceLifecycle
internal import UnixSignals

/// A Martlet node: the HTTP API, the scheduler and a worker over one store, by the roles of its settings.
///
/// ```swift
/// try await MartletServer(handlers: [ResizeImage()]).run()
/// ```
public struct MartletServer: Sendable {
  private let settings: Settings
  private let handlers: [any TaskHandler]
  private let logger: Logger
  private let onStart: @Sendable (StartedNode) -> Void

  /// - Parameters:
  ///   - settings: nil reads them as `martlet serve` does: environment, then `martlet.yaml`, then defaults.
  ///   - handlers: besides the built-in ones; one of the same type takes the built-in one's place.
  ///   - logger: by default to standard error, as the settings say.
  ///   - onStart: called once when the node serves; by default its banner is printed.
  /// - Throws: `SettingsError`, whose description has one line for each thing wrong.
  public init(
    settings: Settings? = nil, handlers: [any TaskHandler] = [], logger: Logger? = nil,
    onStart: @escaping @Sendable (StartedNode) -> Void = { $0.printBanner() }
  ) throws {
    let settings = try settings ?? Self.settingsOfTheProcess()
    try settings.check()
    self.settings = settings
    self.handlers = handlers
    self.logger = logger ?? LineLogHandler.logger(settings.log)
    self.onStart = onStart
  }

  /// Serves until SIGTERM or SIGINT, then drains and returns. A second signal ends the process at once; leases heal.
  /// - Throws: what kept it from starting, or from going on, with a description that is one line for people.
  public func run() async throws {
    var quiet = logger
    quiet.logLevel = .critical
    let node = ServerNode(settings: settings, handlers: handlers, logger: logger, onStart: onStart)
    let group = ServiceGroup(
      services: [node], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { [logger] in await exitAtSecondSignal(logger) }
      defer { tasks.cancelAll() }
      try await group.run()
    }
  }

  private static func settingsOfTheProcess() throws(SettingsError) -> Settings {
    try Settings.load(
      flags: [:], environment: ProcessInfo.processInfo.environment,
      workingDirectory: FileManager.default.currentDirectoryPath
    ).settings
  }
}

/// What there is to tell when a node has started.
public struct StartedNode: Sendable {
  /// `http://127.0.0.1:8080`; nil without the role `api`.
  public let address: String?
  /// The absolute path of the database, or `:memory:`.
  public let database: String

  /// The address, the database and three lines to paste, on standard output.
  public func printBanner() {
    FileHandle.standardOutput.write(Data((banner + "\n").utf8))  // unbuffered: whoever waits for it reads a pipe
  }

  package var banner: String {
    var lines = ["martlet \(Version.current)"]
    if let address { lines.append("  address   \(address)") }
    lines.append("  database  \(database)")
    if let address {
      lines += [
        "",
        "Try it in another terminal:",
        "  curl -i \(address)/tasks -H 'Content-Type: application/json' \\",
        #"    -d '{"type":"email","payload":{"to":"user@example.com","subject":"Welcome"}}'"#,
        "  curl '\(address)/tasks?limit=5'",
        "  curl \(address)/stats",
        "",
        "Ctrl-C drains and stops.",
      ]
    }
    return lines.joined(separator: "\n")
  }
}
