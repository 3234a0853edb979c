// `martlet settings …`: the settings of a running server, and those that are set for all nodes.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

struct SettingsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "settings", abstract: "Show and set the settings of running servers (administrators).",
    discussion: """
      What is set here counts on all nodes within two seconds, after flags and environment and before SSM and file. \
      `martlet config show` tells what a server started here would do.
      """,
    subcommands: [List.self, Set.self, Unset.self, History.self, Revert.self], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List the settings of the server that answers, with where each comes from; secrets are hidden.")

    @Flag(help: "Only what is set for all nodes.")
    var overrides = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let sheet = try await client.settings()
        guard !output.json else { return Console.json(sheet.json) }
        let shown = overrides ? sheet.settings.filter { $0.override != nil } : sheet.settings
        Console.out(shown.isEmpty ? "nothing is set for all nodes" : SettingsTable.settings(shown, for: .output))
        SettingsTable.tell(sheet)
      }
    }
  }

  struct Set: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Set settings for all nodes.",
      discussion: "Lists are separated by commas: `martlet settings set workers.queues=mail,video`.")

    @Argument(help: ArgumentHelp("What to set.", valueName: "key=value"))
    var changes: [String]

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func validate() throws { _ = try values }

    func run() async throws {
      try await SettingsTable.change(try values, output, server)
    }

    private var values: [String: String?] {
      get throws {
        var values: [String: String?] = [:]
        for change in changes {
          guard let equals = change.firstIndex(of: "="), equals > change.startIndex else {
            throw ValidationError("'\(change)' must be KEY=VALUE, such as tasks.maxRetries=5")
          }
          let key = String(change[..<equals])
          guard change.index(after: equals) < change.endIndex else {
            throw ValidationError("\(key) has no value; `martlet settings unset \(key)` leaves it to each node")
          }
          guard values.updateValue(String(change[change.index(after: equals)...]), forKey: key) == nil else {
            throw ValidationError("\(key) is given twice")
          }
        }
        return values
      }
    }
  }

  struct Unset: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Leave settings to each node's own configuration again.")

    @Argument(help: ArgumentHelp("What not to set any more.", valueName: "key"))
    var keys: [String]

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let changes = Dictionary(keys.map { ($0, String?.none) }, uniquingKeysWith: { first, _ in first })
      try await SettingsTable.change(changes, output, server)
    }
  }

  struct History: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List who changed what is set for all nodes, the latest first.")

    @OptionGroup var paging: PagingOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        var revisions: [SettingsRevisionRecord] = []
        var cursor: String?
        repeat {
          let page = try await client.settingsRevisions(
            limit: min(paging.limit - revisions.count, 1000), after: cursor)
          revisions += page.revisions
          cursor = page.nextCursor
        } while cursor != nil && revisions.count < paging.limit
        guard output.json else {
          let none = "nothing was ever set for all nodes"
          return Console.out(revisions.isEmpty ? none : SettingsTable.revisions(revisions, for: .output))
        }
        Console.json(Listing.joined(revisions.map(\.json), nextCursor: cursor))
      }
    }
  }

  struct Revert: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Bring back what was set for all nodes at an earlier revision; without one, before the latest change.")

    @Argument(
      help: ArgumentHelp("A revision of `martlet settings history`; 0 is nothing at all.", valueName: "revision"))
    var revision: Int?

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func validate() throws {
      guard revision.map({ $0 >= 0 }) ?? true else { throw ValidationError("a revision is 0 or more") }
    }

    func run() async throws {
      try await server.withClient { client in
        SettingsTable.show(try SettingsSheet(await client.answer(to: .revertSettings(to: revision))), output)
      }
    }
  }
}

enum SettingsTable {
  static func change(_ changes: [String: String?], _ output: OutputOptions, _ server: ServerOptions) async throws {
    try await server.withClient { client in
      show(try SettingsSheet(await client.answer(to: .changeSettings(changes))), output)
    }
  }

  /// After a change: what is set now.
  static func show(_ sheet: SettingsSheet, _ output: OutputOptions) {
    guard !output.json else { return Console.json(sheet.json) }
    let overrides = sheet.settings.filter { $0.override != nil }
    Console.out(overrides.isEmpty ? "nothing is set for all nodes" : settings(overrides, for: .output))
    tell(sheet)
    for setting in overrides where setting.source != "fleet" && !sheet.waitingForRestart.contains(setting.key) {
      Console.error("martlet: on this node \(setting.key) comes from \(Plain.line(setting.source)), which goes first")
    }
  }

  static func tell(_ sheet: SettingsSheet) {
    if !sheet.waitingForRestart.isEmpty {
      Console.error("martlet: waiting for a restart of the node: \(sheet.waitingForRestart.joined(separator: ", "))")
    }
    for problem in sheet.problems { Console.error("martlet: refused: \(Plain.line(problem))") }
  }

  static func settings(_ settings: [SettingsSheet.Setting], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("SETTING"), .init("VALUE", shrinks: true), .init("SOURCE"), .init("ALL NODES", shrinks: true),
    ])
    table.rows = settings.map { setting in
      [
        .init(setting.key), .init(plain(setting.value)), .init(setting.source),
        .init(setting.override.map(plain) ?? ""),
      ]
    }
    return table.rendered(for: terminal)
  }

  static func revisions(_ revisions: [SettingsRevisionRecord], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("REVISION"), .init("AT"), .init("ACTOR"), .init("CHANGES", shrinks: true),
    ])
    table.rows = revisions.map { revision in
      [
        .init("\(revision.revision)"), .init(revision.at.description), .init(revision.actor),
        .init(changes(revision.changes)),
      ]
    }
    return table.rendered(for: terminal)
  }

  /// `tasks.maxRetries=5 log.level=`
  private static func changes(_ json: [UInt8]) -> String {
    let members = (try? JSONScanner.scan(json))?.members ?? []
    return members.map { "\($0.name)=\(plain($0.value.bytes))" }.joined(separator: " ")
  }

  /// As it would stand in the environment.
  private static func plain(_ json: [UInt8]) -> String {
    guard let value = try? JSONScanner.scan(json) else { return "" }
    switch value.kind {
    case .null: return ""
    case .string: return value.string ?? ""
    case .array: return (value.elements ?? []).map { plain($0.bytes) }.joined(separator: ",")
    default: return String(decoding: value.bytes, as: UTF8.self)
    }
  }
}
