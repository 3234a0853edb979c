// `martlet config check|show`: what a server started here and now would do.

internal import ArgumentParser
internal import Martlet
internal import MartletCore

struct ConfigCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "Check or show the settings that `martlet serve` would use.",
    subcommands: [Check.self, Show.self], defaultSubcommand: Show.self)

  struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Say whether the configuration is valid; exit 2 and list every fault if not.")
    @OptionGroup var settings: SettingsOptions

    func run() async throws {
      let loaded = try await settings.load()
      for warning in loaded.warnings { Console.error("martlet: \(warning)") }
      Console.out("the configuration is valid" + (loaded.file.map { " (\($0))" } ?? ""))
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List every setting with its value and where it comes from; secrets are hidden.")
    @OptionGroup var settings: SettingsOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let rows = try await settings.load().describe()
      if output.json {
        var writer = JSONWriter()
        writer.object { writer in
          writer.name("settings")
          writer.array(of: rows) { writer, row in
            writer.object { writer in
              writer.field("key", row.key)
              writer.field("value", row.value)
              writer.field("source", row.source)
            }
          }
        }
        Console.json(writer.bytes)
      } else {
        var table = Table(columns: [.init("SETTING"), .init("VALUE", shrinks: true), .init("SOURCE")])
        table.rows = rows.map { [.init($0.key), .init($0.value), .init($0.source)] }
        Console.out(table.rendered(for: .output))
      }
    }
  }
}
