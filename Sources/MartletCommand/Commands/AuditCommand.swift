// `martlet audit`: who changed what.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

struct AuditCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit", abstract: "Show who changed what, newest first (administrators).")

  @Option(help: "Only what this actor did, such as key:deploy.", transform: Values.text)
  var actor: String?

  @Option(help: "Only this action, such as task.cancel.", transform: Values.text)
  var action: String?

  @Option(help: "Only what was done to this: a task's id, a queue's name.", transform: Values.text)
  var target: String?

  @Option(help: ArgumentHelp("Only entries at or after this time.", valueName: "time"), transform: Values.time)
  var createdAfter: Timestamp?

  @Option(help: ArgumentHelp("Only entries before this time.", valueName: "time"), transform: Values.time)
  var createdBefore: Timestamp?

  @OptionGroup var paging: PagingOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    var filter = AuditFilter()
    (filter.actor, filter.action, filter.target) = (actor, action, target)
    (filter.createdAfter, filter.createdBefore) = (createdAfter, createdBefore)
    try await server.withClient { client in
      var entries: [AuditRecord] = []
      var cursor: String?
      repeat {
        let page = try await client.audit(filter, limit: min(paging.limit - entries.count, 1000), after: cursor)
        entries += page.entries
        cursor = page.nextCursor
      } while cursor != nil && entries.count < paging.limit
      guard output.json else {
        return Console.out(entries.isEmpty ? "no entries" : OperationsTable.audit(entries, for: .output))
      }
      var json = JSONWriter(capacity: 256 * entries.count)
      json.object { json in
        json.name("data")
        json.array(of: entries) { $0.raw($1.json) }
        json.field("nextCursor", cursor)
      }
      Console.json(json.bytes)
    }
  }
}
