// `martlet submit`: one task from the command line.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

struct SubmitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "submit", abstract: "Submit a task and print its id.",
    discussion: """
      With --wait the task is followed to its end, and the exit code is 0 only if that is SUCCESS. Lengths of time are \
      seconds, or forms such as 90s, 5m, 1h30m, 2d. Times are RFC 3339.
      """)

  @Argument(help: "The task's type: who handles it.")
  var type: String

  @Option(
    help: ArgumentHelp("What to do: JSON, @FILE, or - for the standard input (default {}).", valueName: "json"),
    transform: PayloadSource.init)
  var payload: PayloadSource?

  @Option(help: "The queue (default: default).")
  var queue: String?

  @Option(help: ArgumentHelp("1…9, 9 is most urgent (default 5).", valueName: "1…9"))
  var priority: Int?

  @Option(help: ArgumentHelp("Run no sooner than after this long.", valueName: "time"), transform: Values.seconds)
  var delay: Double?

  @Option(help: ArgumentHelp("Run no sooner than at this time.", valueName: "time"), transform: Values.time)
  var runAt: Timestamp?

  @Option(
    help: ArgumentHelp("The same, but not told as the wanted time (runAt).", valueName: "time"),
    transform: Values.time)
  var availableAt: Timestamp?

  @Option(help: ArgumentHelp("0…100 after the first attempt.", valueName: "n"))
  var retries: Int?

  @Option(help: Values.backoffHelp, transform: Values.backoff)
  var backoff: NewTask.Backoff?

  @Option(help: ArgumentHelp("How long one attempt may take.", valueName: "time"), transform: Values.seconds)
  var timeout: Double?

  @Option(help: ArgumentHelp("How long a silent worker keeps it.", valueName: "time"), transform: Values.seconds)
  var lease: Double?

  @Option(help: ArgumentHelp("No first attempt starts after this time.", valueName: "time"), transform: Values.time)
  var expiresAt: Timestamp?

  @Option(
    help: ArgumentHelp(
      "The same key with the same task submits it once. Sent again for five seconds while there is no answer.",
      valueName: "key"))
  var key: String?

  @Option(
    help: ArgumentHelp("Few tasks of one key run at once (a queue's concurrencyPerKey, default 1).", valueName: "key"))
  var concurrencyKey: String?

  @Option(
    name: .customLong("after"), help: ArgumentHelp("Wait for this task to succeed; may be repeated.", valueName: "id"),
    transform: Values.taskID)
  var dependencies: [TaskID] = []

  @Option(
    help: ArgumentHelp("If one of them fails: HOLD (default), CANCEL or RUN.", valueName: "what"),
    transform: Values.dependencyPolicy)
  var onDependencyFailure: DependencyPolicy?

  @Option(name: .customLong("tag"), help: ArgumentHelp("May be repeated.", valueName: "tag"))
  var tags: [String] = []

  @Option(help: ArgumentHelp("May be repeated.", valueName: "name=value"), transform: Values.pair)
  var metadata: [Values.Pair] = []

  @Option(
    help: ArgumentHelp(
      "Tell this URL or address how it ended (on SUCCESS and DEAD, unless said otherwise); may be repeated.",
      valueName: "receiver[,SUCCESS,DEAD,CANCELLED]"),
    transform: Values.receiver)
  var notify: [NoticeTarget] = []

  @Flag(help: "Follow the task to its end.")
  var wait = false

  @OptionGroup var output: OutputOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    let task = try task()
    try await server.withClient { client in
      let submitted = try await submit(task, client)
      if !output.json { Console.out(submitted.id.description) }
      await warnIfUnhandled(submitted, client)
      guard wait else {
        if output.json { Console.json(submitted.json) }
        return
      }
      let end = try await Following.toTheEnd(submitted.id, client, telling: !output.json)
      if output.json { Console.json(end.json) }
      try Following.check(end)
    }
  }

  /// Without a key a lost answer is told at once: the task may be there.
  private func submit(_ task: NewTask, _ client: MartletClient) async throws -> RemoteTask {
    var client = client
    if key != nil { client.options.retries.whileUnreachable = .seconds(5) }
    return try await OptionNames.telling(of: .task) { try await client.submit(task) }
  }

  func task() throws -> NewTask {
    var task = NewTask(type: type)
    if let payload { task.payload = try payload.read() }
    task.queue = queue
    task.priority = priority
    task.delaySeconds = delay
    task.runAt = runAt
    task.availableAt = availableAt
    task.retries = retries
    task.backoff = backoff
    task.timeoutSeconds = timeout
    task.leaseSeconds = lease
    task.expiresAt = expiresAt
    task.idempotencyKey = key
    task.concurrencyKey = concurrencyKey
    task.dependencies = dependencies.map(\.description)
    task.onDependencyFailure = onDependencyFailure
    if !notify.isEmpty { task.notify = notify }
    task.tags = tags
    task.metadata = try Values.map(metadata, option: "--metadata")
    try Self.check(task)
    return task
  }

  /// The server's own rules, told in the words of the command line. What only the server knows (its clock, its limit
  /// for payloads) is left to it.
  private static func check(_ task: NewTask) throws {
    var defaults = TaskDefaults()
    defaults.maxPayloadBytes = .max
    do throws(ValidationFailure) {
      _ = try task.accepted(id: TaskID(high: 0, low: 0), defaults: defaults, now: .earliest)
    } catch {
      throw CommandFailure(.usage, error.problems.map { OptionNames.told($0) }.joined(separator: "; "))
    }
  }

  /// A misspelt type waits for ever, and so does a queue that nobody looks into: say so now. Who may submit may not always see the
  /// workers; then there is nothing to say.
  private func warnIfUnhandled(_ task: RemoteTask, _ client: MartletClient) async {
    guard let workers = try? await client.workers() else { return }
    let able = workers.filter { $0.types.contains(task.type) }
    guard !able.contains(where: { $0.takes(from: task.queue) }) else { return }
    let type = "'\(Plain.line(task.type))'"
    let nobody =
      able.isEmpty
      ? "no live worker handles the type \(type)"
      : "no live worker that handles the type \(type) looks into the queue '\(Plain.line(task.queue))'"
    Console.error("martlet: warning: \(nobody); the task waits for one")
  }
}

extension WorkerState {
  /// One that names no queues is an older server's, which does not tell.
  fileprivate func takes(from queue: String) -> Bool {
    queues.isEmpty || queues.contains { QueuePattern($0)?.matches(queue) ?? false }
  }
}
