// `martlet graph`: the tasks of a graph, and what each waits for.

internal import ArgumentParser
internal import MartletClient

struct GraphCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "graph", abstract: "Show the tasks of a graph and what each waits for.",
    discussion: "A task's graphId is the graph's id.")

  @Argument(help: "The graph's id.", transform: Values.taskID)
  var id: TaskID

  @OptionGroup var output: OutputOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    try await server.withClient { client in
      let graph = try await client.graph(id)
      if output.json { Console.json(graph.json) } else { Console.out(TaskTable.graph(graph, for: .output)) }
    }
  }
}
