// `martlet queues …`: how much waits where.

internal import ArgumentParser
internal import MartletClient

struct QueuesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "queues", abstract: "Look at queues.", subcommands: [List.self, Show.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List queues with their depth and pace.")

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        guard !output.json else { return Console.json(try await client.answer(to: .queues).json) }
        let queues = try await client.queues()
        Console.out(queues.isEmpty ? "no queues" : TaskTable.queues(queues, for: .output))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show one queue.")

    @Argument(help: "The queue's name.")
    var name: String

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func validate() throws {
      guard !name.isEmpty else { throw ValidationError("the queue's name is empty") }
    }

    func run() async throws {
      try await server.withClient { client in
        let queue = try await client.queue(name)
        if output.json { Console.json(queue.json) } else { Console.out(TaskTable.queues([queue], for: .output)) }
      }
    }
  }
}
