// `martlet migrate up|status`: the database's schema, without a server and, where one runs, beside it.

internal import ArgumentParser
internal import Martlet
internal import MartletCore

struct MigrateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "migrate", abstract: "Show or bring up to date the database's schema.",
    discussion: "`martlet serve` migrates by itself unless it is given --no-migrate.",
    subcommands: [Up.self, Status.self], defaultSubcommand: Status.self)

  struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Apply the migrations that are missing.")
    @OptionGroup var settings: SettingsOptions

    func run() async throws {
      let database = try await settings.load().settings.database
      let missing = try await MigrateCommand.schema(database).pending
      try await telling { () throws(StoreError) in try await Schema.migrate(database) }
      Console.out(missing.isEmpty ? "up to date" : missing.map { "applied \($0)" }.joined(separator: "\n"))
    }
  }

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the migrations; exit 1 if some are missing.")
    @OptionGroup var settings: SettingsOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let schema = try await MigrateCommand.schema(settings.load().settings.database)
      if output.json {
        var writer = JSONWriter()
        writer.object { writer in
          writer.field("applied", schema.applied)
          writer.field("pending", schema.pending)
        }
        Console.json(writer.bytes)
      } else {
        var table = Table(columns: [.init("MIGRATION"), .init("STATE")])
        table.rows = schema.applied.map { [.init($0), "applied"] } + schema.pending.map { [.init($0), "pending"] }
        Console.out(table.rendered(for: .output))
      }
      if !schema.pending.isEmpty { throw CommandFailure(.failed, "") }
    }
  }

  static func ensureMigrated(_ settings: Settings) async throws {
    let pending = try await schema(settings.database).pending
    guard pending.isEmpty else {
      throw CommandFailure(
        .failed, "the schema is not up to date (\(pending.joined(separator: ", "))): martlet migrate up")
    }
  }

  fileprivate static func schema(_ database: Settings.Database) async throws -> Schema {
    try await telling { () throws(StoreError) in try await Schema.read(database) }
  }
}

/// A store's failure as the command's.
private func telling<Value>(_ call: () async throws(StoreError) -> Value) async throws(CommandFailure) -> Value {
  do throws(StoreError) {
    return try await call()
  } catch {
    throw CommandFailure(.failed, error.message)
  }
}
