// `martlet dead-letters …`: the tasks that nobody will try again by themselves.

internal import ArgumentParser
internal import MartletClient

struct DeadLettersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dead-letters", abstract: "Look at tasks that ended DEAD.", subcommands: [List.self])

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
}
