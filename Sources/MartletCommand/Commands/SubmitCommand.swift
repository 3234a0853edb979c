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

  @Option(help: ArgumentHelp("0…100 after the first attempt.", valueName: "n"))
  var retries: Int?

  @Option(help: ArgumentHelp("How long one attempt may take.", valueName: "time"), transform: Values.seconds)
  var timeout: Double?

  @Option(help: ArgumentHelp("No first attempt starts after this time.", valueName: "time"), transform: Values.time)
  var expiresAt: Timestamp?

  @Option(name: .customLong("tag"), help: ArgumentHelp("May be repeated.", valueName: "tag"))
  var tags: [String] = []

  @Option(help: ArgumentHelp("May be repeated.", valueName: "name=value"), transform: Values.pair)
  var metadata: [Values.Pair] = []

  @Flag(help: "Follow the task to its end.")
  var wait = false

  @OptionGroup var output: OutputOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    let task = try task()
    try await server.withClient { client in
      let submitted = try await client.submit(task)
      if !output.json { Console.out(submitted.id.description) }
      await warnIfUnhandled(client)
      guard wait else {
        if output.json { Console.json(submitted.json) }
        return
      }
      let end = try await Following.toTheEnd(submitted.id, client, telling: !output.json)
      if output.json { Console.json(end.json) }
      try Following.check(end)
    }
  }

  func task() throws -> NewTask {
    var task = NewTask(type: type)
    if let payload { task.payload = try payload.read() }
    task.queue = queue
    task.priority = priority
    task.delaySeconds = delay
    task.runAt = runAt
    task.retries = retries
    task.timeoutSeconds = timeout
    task.expiresAt = expiresAt
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
      throw CommandFailure(
        .usage,
        error.problems.map { "\(option(for: $0.pointer)) \(worded($0.detail))" }.joined(separator: "; "))
    }
  }

  private static func option(for pointer: String) -> String {
    switch pointer.split(separator: "/").first.map(String.init) {
    case "type"?: "the type"
    case "delaySeconds"?: "--delay"
    case "runAt"?: "--run-at"
    case "expiresAt"?: "--expires-at"
    case "timeoutSeconds"?: "--timeout"
    case "tags"?: "--tag"
    case let name?: "--\(name)"
    case nil: "the task"
    }
  }

  private static func worded(_ detail: String) -> String {
    detail.replacing("runAt or availableAt", with: "--run-at")
  }

  /// A misspelt type waits for ever: say so now. Who may submit may not always see the workers; then there is nothing
  /// to say.
  private func warnIfUnhandled(_ client: MartletClient) async {
    guard let workers = try? await client.workers(),
      !workers.contains(where: { $0.types.contains(type) })
    else { return }
    Console.error("martlet: warning: no live worker handles the type '\(Plain.line(type))'; the task waits for one")
  }
}
