// `martlet tasks …`: look at tasks and steer them.

internal import ArgumentParser
internal import MartletClient

struct TasksCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tasks", abstract: "Look at tasks and steer them.",
    subcommands: [List.self, Show.self, Follow.self, Cancel.self, Retry.self, Replay.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List tasks, newest first.")

    @Option(help: "Only these statuses (A,B).", transform: Values.statuses)
    var status: Set<TaskStatus> = []

    @OptionGroup var filter: FilterOptions
    @OptionGroup var paging: PagingOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let filter = try filter.filter(statuses: status)
      try await server.withClient { client in
        try await Listing.show(.tasks, filter, limit: paging.limit, json: output.json, client, empty: "no tasks")
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show one task with its attempts, errors, log lines and events.",
      discussion: "--json prints the task alone.")

    @OptionGroup var task: TaskArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let found = try await client.task(task.id)
        guard !output.json else { return Console.json(found.json) }
        async let attempts = client.attempts(of: task.id)
        async let events = client.events(of: task.id)
        Console.out(TaskSheet.rendered(found, attempts: try await attempts, events: try await events, for: .output))
      }
    }
  }

  struct Follow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print what happens to a task until its end.",
      discussion: "The exit code is 0 only if that is SUCCESS. --json prints the final task alone.")

    @OptionGroup var task: TaskArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let end = try await Following.toTheEnd(task.id, client, telling: !output.json)
        if output.json { Console.json(end.json) }
        try Following.check(end)
      }
    }
  }

  struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Cancel a task.", discussion: "A running one is told, and ends when its worker lets go.")

    @OptionGroup var task: TaskArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let cancelled = try await client.cancel(task.id)
        let words = cancelled.status == .cancelled ? "CANCELLED" : "\(cancelled.status.rawValue), cancel requested"
        Steered.show(cancelled, output, words)
      }
    }
  }

  struct Retry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a DEAD, CANCELLED or RETRY task runnable now, with fresh retries.")

    @OptionGroup var task: TaskArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let retried = try await client.retry(task.id)
        Steered.show(retried, output, retried.status.rawValue)
      }
    }
  }

  struct Replay: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Submit a final task's instructions again and print the new id.")

    @OptionGroup var task: TaskArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let replayed = try await client.replay(task.id)
        if output.json { Console.json(replayed.json) } else { Console.out(replayed.id.description) }
      }
    }
  }

  private enum Steered {
    static func show(_ task: RemoteTask, _ output: OutputOptions, _ words: String) {
      if output.json { Console.json(task.json) } else { Console.out("\(task.id) \(words)") }
    }
  }
}

struct TaskArgument: ParsableArguments {
  @Argument(help: "The task's id.", transform: Values.taskID)
  var id: TaskID
}
