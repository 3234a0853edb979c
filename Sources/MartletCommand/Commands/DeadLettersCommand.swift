// `martlet dead-letters …`: the tasks that nobody will try again by themselves.

internal import ArgumentParser
internal import MartletClient

struct DeadLettersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dead-letters",
    abstract: "Look at tasks that ended DEAD, retry or delete them; read them from a broker.",
    subcommands: [List.self, Retry.self, Purge.self, ConsumeCommand.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List DEAD tasks, newest first.")

    @OptionGroup var filter: FilterOptions
    @OptionGroup var paging: PagingOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let filter = try filter.filter()
      try await server.withClient { client in
        try await Listing.show(
          .deadLetters, filter, limit: paging.limit, json: output.json, client, empty: "no dead letters")
      }
    }
  }

  struct Retry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make DEAD tasks runnable now, with fresh retries: those that match, the oldest first.")

    @OptionGroup var filter: FilterOptions
    @OptionGroup var bulk: BulkArguments
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let filter = try filter.filter()
      let options = try bulk.options(for: filter)
      try await server.withClient { client in
        bulk.show(try await client.retryDeadLetters(filter, options), output, "retried")
      }
    }
  }

  struct Purge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Delete DEAD tasks with their history: those that match.",
      discussion: "What waits for one of them is cancelled.")

    @OptionGroup var filter: FilterOptions
    @OptionGroup var bulk: BulkArguments
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let filter = try filter.filter()
      let options = try bulk.options(for: filter)
      try await server.withClient { client in
        bulk.show(try await client.purgeDeadLetters(filter, options), output, "deleted")
      }
    }
  }
}
