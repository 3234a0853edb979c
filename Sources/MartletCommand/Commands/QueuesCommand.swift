// `martlet queues …`: how much waits where, and what is allowed there.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

struct QueuesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "queues", abstract: "Look at queues, pause and limit them.",
    subcommands: [List.self, Show.self, Pause.self, Resume.self, Set.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List queues with their depth and pace.")

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        guard !output.json else { return Console.json(try await client.whole(.queues).json) }
        let queues = try await client.queues()
        Console.out(queues.isEmpty ? "no queues" : TaskTable.queues(queues, for: .output))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show one queue.")

    @OptionGroup var queue: QueueArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        QueueOutput.show(try await client.queue(queue.name), output)
      }
    }
  }

  struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Give out nothing of a queue until it is resumed.", discussion: "What runs goes on.")

    @OptionGroup var queue: QueueArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await QueueOutput.change(queue.name, server, output) { $0.paused = true }
    }
  }

  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Give out a paused queue's tasks again.")

    @OptionGroup var queue: QueueArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await QueueOutput.change(queue.name, server, output) { $0.paused = false }
    }
  }

  struct Set: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Change a queue's limits.",
      discussion: "A limit of 'none' is no limit. What is not given stays as it is. Limits hold over all nodes.")

    @OptionGroup var queue: QueueArgument

    @Option(help: ArgumentHelp("Tasks that run at once.", valueName: "n"), transform: Values.limit)
    var concurrency: QueueChanges.Limit<Int>?

    @Option(
      help: ArgumentHelp("Tasks of one concurrency key that run at once.", valueName: "n"), transform: Values.limit)
    var concurrencyPerKey: QueueChanges.Limit<Int>?

    @Option(help: ArgumentHelp("Attempts begun in a second.", valueName: "n"), transform: Values.rate)
    var rate: QueueChanges.Limit<Double>?

    @Option(
      help: ArgumentHelp("Attempts that may begin at once after a rest.", valueName: "n"), transform: Values.limit)
    var burst: QueueChanges.Limit<Int>?

    @Option(help: ArgumentHelp("Tasks that may wait; more are refused.", valueName: "n"), transform: Values.limit)
    var maxDepth: QueueChanges.Limit<Int>?

    @Option(
      help: ArgumentHelp(
        "Tell this URL or address how its tasks ended, where neither they nor their types say it; may be repeated. 'none' takes them away.",
        valueName: "receiver[,SUCCESS,DEAD,CANCELLED]"),
      transform: Values.queueReceiver)
    var notify: [NoticeTarget?] = []

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func validate() throws {
      guard notify.count < 2 || !notify.contains(nil) else {
        throw ValidationError("--notify none takes all receivers away: it goes with no other")
      }
      guard
        concurrency != nil || concurrencyPerKey != nil || rate != nil || burst != nil || maxDepth != nil
          || !notify.isEmpty
      else {
        throw ValidationError("nothing to change: give at least one limit")
      }
    }

    func run() async throws {
      try await QueueOutput.change(queue.name, server, output) { changes in
        changes.concurrency = concurrency
        changes.concurrencyPerKey = concurrencyPerKey
        changes.ratePerSecond = rate
        changes.burst = burst
        changes.maxDepth = maxDepth
        let receivers = notify.compactMap(\.self)
        if !notify.isEmpty { changes.notify = receivers.isEmpty ? .unlimited : .value(receivers) }
      }
    }
  }
}

struct QueueArgument: ParsableArguments {
  @Argument(help: "The queue's name.")
  var name: String

  func validate() throws {
    guard !name.isEmpty else { throw ValidationError("the queue's name is empty") }
  }
}

private enum QueueOutput {
  static func show(_ queue: QueueState, _ output: OutputOptions) {
    guard !output.json else { return Console.json(queue.json) }
    Console.out(TaskTable.queues([queue], for: .output))
    Console.out("\nsettings  \(QueueSheet.settings(of: queue))")
  }

  static func change(
    _ name: String, _ server: ServerOptions, _ output: OutputOptions, _ set: (inout QueueChanges) -> Void
  ) async throws {
    var changes = QueueChanges()
    set(&changes)
    try await server.withClient { [changes] client in show(try await client.change(queue: name, changes), output) }
  }
}
