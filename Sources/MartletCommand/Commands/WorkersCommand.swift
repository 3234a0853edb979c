// `martlet workers`: who carries out tasks.

internal import ArgumentParser
internal import MartletClient

struct WorkersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "workers", abstract: "List the live workers.")

  @OptionGroup var output: OutputOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    try await server.withClient { client in
      guard !output.json else { return Console.json(try await client.whole(.workers).json) }
      let workers = try await client.workers()
      Console.out(workers.isEmpty ? "no live workers" : TaskTable.workers(workers, for: .output))
    }
  }
}
