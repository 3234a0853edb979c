// `martlet tasks …`: look at tasks and steer them.

internal import ArgumentParser
internal import MartletClient

struct TasksCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tasks", abstract: "Look at tasks and steer them.",
    subcommands: [
      List.self, Show.self, Explain.self, Follow.self, Patch.self, Cancel.self, Retry.self, Replay.self,
    ])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List tasks, newest first.")

    @Option(help: "Only these statuses (A,B); may be repeated.", transform: Values.statuses)
    var status: [Set<TaskStatus>] = []

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
      abstract: "Show one task: why it is not running, its attempts with errors and log lines, its events.",
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
        // What has ended says so itself.
        let explanation = found.status.isFinal ? nil : try await Self.explanation(of: task.id, client)
        Console.out(
          TaskSheet.rendered(
            found, explanation: explanation, attempts: try await attempts, events: try await events, for: .output))
      }
    }

    /// Nil from a server that cannot explain yet.
    private static func explanation(of id: TaskID, _ client: MartletClient) async throws -> TaskExplanation? {
      do {
        return try await client.explain(id)
      } catch let error as MartletClientError {
        guard case .problem(let problem) = error, problem.status == 404 else { throw error }
        return nil
      }
    }
  }

  struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tell why a task is not running now.")

    @OptionGroup var task: TaskArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let explanation = try await client.explain(task.id)
        if output.json {
          Console.json(explanation.json)
        } else {
          Console.out(OperationsTable.explanation(explanation, for: .output))
        }
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
      abstract: "Cancel a task by its id, or all that match.",
      discussion: "A running one is told, and ends when its worker lets go.")

    @Argument(help: "The task's id; leave it out to go by filters.", transform: Values.taskID)
    var id: TaskID?

    @Option(help: "Only these statuses (A,B); may be repeated.", transform: Values.statuses)
    var status: [Set<TaskStatus>] = []

    @OptionGroup var filter: FilterOptions
    @OptionGroup var bulk: BulkArguments
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let filter = try filter.filter(statuses: status)
      guard let id else {
        let options = try bulk.options(for: filter)
        return try await server.withClient { client in
          bulk.show(try await client.cancelTasks(filter, options), output, "cancelled, or asked to end")
        }
      }
      guard filter == TaskFilter(), !bulk.all, !bulk.dryRun, bulk.limit == nil, bulk.rate == nil else {
        throw ValidationError("give either a task's id, or filters")
      }
      try await server.withClient { client in
        let cancelled = try await client.cancel(id)
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

  enum Steered {
    static func show(_ task: RemoteTask, _ output: OutputOptions, _ words: String) {
      if output.json { Console.json(task.json) } else { Console.out("\(task.id) \(words)") }
    }
  }
}

struct TaskArgument: ParsableArguments {
  @Argument(help: "The task's id.", transform: Values.taskID)
  var id: TaskID
}
