// `martlet bulk …`: the actions on many tasks, those that go on in the background among them.

internal import ArgumentParser
internal import MartletClient

struct BulkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bulk", abstract: "Look at actions on many tasks, and stop them.",
    subcommands: [List.self, Show.self, Stop.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the latest ones, newest first.")

    @OptionGroup var paging: PagingOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        var pages: [BulkJobPage] = []
        var jobs: [BulkJobState] = []
        repeat {
          let limit = min(paging.limit - jobs.count, 1000)
          let page = try await client.bulkJobs(limit: limit, after: pages.last?.nextCursor)
          pages.append(page)
          jobs += page.jobs
        } while pages.last?.nextCursor != nil && jobs.count < paging.limit
        guard output.json else {
          return Console.out(jobs.isEmpty ? "no actions in bulk" : OperationsTable.bulk(jobs, for: .output))
        }
        Console.json(
          pages.count == 1
            ? pages[0].json : Listing.joined(jobs.map(\.json), nextCursor: pages.last?.nextCursor))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show one.")

    @OptionGroup var bulk: BulkArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        BulkCommand.show(try await client.bulkJob(bulk.id), output)
      }
    }
  }

  struct Stop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Stop one; what it has changed stays changed.")

    @OptionGroup var bulk: BulkArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        BulkCommand.show(try await client.stopBulk(bulk.id), output)
      }
    }
  }

  private static func show(_ job: BulkJobState, _ output: OutputOptions) {
    if output.json { Console.json(job.json) } else { Console.out(OperationsTable.bulk([job], for: .output)) }
  }
}

struct BulkArgument: ParsableArguments {
  @Argument(help: "The action's id.", transform: Values.taskID)
  var id: TaskID
}
