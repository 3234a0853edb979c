// `martlet notifications …`: whom was told how tasks ended, and once more.

internal import ArgumentParser
internal import MartletClient

struct NotificationsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "notifications", abstract: "Look at notices of how tasks ended, and send them again.",
    subcommands: [List.self, Resend.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List notices, the latest first.")

    @Option(help: ArgumentHelp("Only those of this task.", valueName: "id"), transform: Values.taskID)
    var task: TaskID?

    @Option(
      help: "Only these statuses (PENDING,DELIVERED,DEAD); may be repeated.", transform: Values.noticeStatuses)
    var status: [Set<String>] = []

    @OptionGroup var paging: PagingOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let statuses = status.reduce(into: Set<String>()) { $0.formUnion($1) }
      try await server.withClient { client in
        var pages: [NoticePage] = []
        var notices: [NoticeState] = []
        repeat {
          let page = try await client.notices(
            of: task, statuses: statuses, limit: min(paging.limit - notices.count, 1000),
            after: pages.last?.nextCursor)
          pages.append(page)
          notices += page.notices
        } while pages.last?.nextCursor != nil && notices.count < paging.limit
        guard output.json else {
          return Console.out(notices.isEmpty ? "no notices" : OperationsTable.notices(notices, for: .output))
        }
        Console.json(
          pages.count == 1
            ? pages[0].json : Listing.joined(notices.map(\.json), nextCursor: pages.last?.nextCursor))
      }
    }
  }

  struct Resend: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Send a notice again, at once and with a fresh budget.")

    @Argument(help: "The notice's id, as the list shows it.", transform: Values.text)
    var id: String

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let notice = try await client.resendNotice(id)
        if output.json {
          Console.json(notice.json)
        } else {
          Console.out(OperationsTable.notices([notice], for: .output))
        }
      }
    }
  }
}
