// `martlet stats`: counts by type and status, pace and latencies.

internal import ArgumentParser
internal import MartletClient

struct StatsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Show counts by type and status, throughput and latencies.")

  @OptionGroup var output: OutputOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    try await server.withClient { client in
      guard !output.json else { return Console.json(try await client.answer(to: .statistics).json) }
      Console.out(TaskTable.statistics(try await client.statistics(), for: .output))
    }
  }
}
