// The flags that set settings, shared by `serve`, `migrate` and `config`. They are handed on as text: the settings' own table
// judges flags, variables and file alike.

internal import ArgumentParser
internal import Foundation
internal import Martlet

struct SettingsOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The configuration file (default: martlet.yaml here, if there is one).", valueName: "file"))
  var config: String?
  @Option(help: ArgumentHelp("The address to listen on (default: 127.0.0.1).", valueName: "address"))
  var host: String?
  @Option(help: ArgumentHelp("The port to listen on; 0 takes a free one (default: 8080).", valueName: "port"))
  var port: String?
  @Option(
    help: ArgumentHelp(
      "The database: sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE (default: sqlite:martlet.db).",
      valueName: "url"))
  var database: String?
  @Option(
    help: ArgumentHelp(
      "What this node does: a list of api, scheduler, worker, notifier (default: all).", valueName: "list"))
  var roles: String?
  @Option(help: ArgumentHelp("strict (fsync at every commit) or relaxed (default: strict).", valueName: "mode"))
  var durability: String?

  func load() async throws(CommandFailure) -> LoadedSettings { try await loadAndKeep().loaded }

  /// With where they come from, to read them again.
  func loadAndKeep() async throws(CommandFailure) -> (loaded: LoadedSettings, sources: SettingsSources) {
    try await Self.loadAndKeep(flags)
  }

  /// Once more, with what the database says is set for all nodes.
  static func load(_ sources: SettingsSources, overrides: [String: String]) throws(CommandFailure) -> LoadedSettings {
    do throws(SettingsError) { return try Settings.load(sources, overrides: overrides) } catch { throw failure(error) }
  }

  private var flags: [String: String?] {
    [
      "config.file": config, "server.host": host, "server.port": port, "database.url": database,
      "server.roles": roles, "database.durability": durability,
    ]
  }

  /// - Parameter flags: by the setting's key; nil was not given.
  static func load(_ flags: [String: String?]) async throws(CommandFailure) -> LoadedSettings {
    try await loadAndKeep(flags).loaded
  }

  /// - Parameter flags: by the setting's key; nil was not given.
  static func loadAndKeep(
    _ flags: [String: String?]
  ) async throws(CommandFailure) -> (loaded: LoadedSettings, sources: SettingsSources) {
    var sources = sources(flags)
    do throws(SettingsError) {
      let loaded = try await sources.load()
      return (loaded, sources)
    } catch {
      throw failure(error)
    }
  }

  private static func failure(_ error: SettingsError) -> CommandFailure {
    if error.problems.count == 1 { return CommandFailure(.usage, error.description) }
    return CommandFailure(
      .usage, "the configuration has \(error.problems.count) faults", details: error.problems.map(\.description))
  }

  private static func sources(_ flags: [String: String?]) -> SettingsSources {
    SettingsSources(
      flags: flags.compactMapValues(\.self), environment: ProcessInfo.processInfo.environment,
      workingDirectory: FileManager.default.currentDirectoryPath)
  }
}
