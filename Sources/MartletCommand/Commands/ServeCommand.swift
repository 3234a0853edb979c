// `martlet serve`: the server, with the built-in handlers.

internal import ArgumentParser
internal import Foundation
internal import Martlet
internal import MartletCore

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Run the server.",
    discussion: """
      Settings come from flags, then MARTLET_ variables, then the configuration file, then defaults; `martlet config show` \
      tells which. SIGTERM and Ctrl-C drain: running attempts get workers.shutdownGraceSeconds to end, the rest is given back.
      """)

  @OptionGroup var settings: SettingsOptions
  @Flag(help: "Refuse to start on an older schema instead of migrating it.")
  var noMigrate = false

  func run() async throws {
    let (loaded, sources) = try await settings.loadAndKeep()
    if noMigrate { try await MigrateCommand.ensureMigrated(loaded.settings) }
    do {
      for warning in loaded.warnings { Console.error("martlet: \(warning)") }
      try await MartletServer(loaded, from: sources).run()
    } catch let error as StoreError {
      throw CommandFailure(.failed, error.message)
    } catch let error as CommandFailure {
      throw error
    } catch {
      throw CommandFailure(.failed, String(describing: error))
    }
  }
}
