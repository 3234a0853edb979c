// `martlet tasks patch`: other values for a task that waits.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

extension TasksCommand {
  struct Patch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Change a waiting task: its priority, its time, its tags, its metadata.",
      discussion: "What is not given stays as it is. --tag and --metadata replace all there are.")

    @OptionGroup var task: TaskArgument

    @Option(help: ArgumentHelp("1…9, 9 is most urgent.", valueName: "1…9"))
    var priority: Int?

    @Option(
      help: ArgumentHelp("When it is next eligible; a time in the past is now.", valueName: "time"),
      transform: Values.time)
    var availableAt: Timestamp?

    @Flag(help: "It is eligible at once.")
    var now = false

    @Option(name: .customLong("tag"), help: ArgumentHelp("May be repeated.", valueName: "tag"))
    var tags: [String] = []

    @Option(help: ArgumentHelp("May be repeated.", valueName: "name=value"), transform: Values.pair)
    var metadata: [Values.Pair] = []

    @Option(help: ArgumentHelp("Take all of these away; may be repeated.", valueName: "what"))
    var clear: [Clearable] = []

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    enum Clearable: String, CaseIterable, ExpressibleByArgument {
      case tags, metadata
    }

    func validate() throws {
      guard priority != nil || availableAt != nil || now || !tags.isEmpty || !metadata.isEmpty || !clear.isEmpty else {
        throw ValidationError(
          "nothing to change: give at least one of --priority, --available-at, --now, --tag, --metadata")
      }
      if now, availableAt != nil { throw ValidationError("--now and --available-at cannot be given together") }
      if !tags.isEmpty, clear.contains(.tags) {
        throw ValidationError("--tag and --clear tags cannot be given together; --tag replaces all there are")
      }
      if !metadata.isEmpty, clear.contains(.metadata) {
        throw ValidationError(
          "--metadata and --clear metadata cannot be given together; --metadata replaces all there is")
      }
    }

    func run() async throws {
      let changes = try changes()
      try await server.withClient { client in
        do {
          let patched = try await client.patch(task.id, changes)
          Steered.show(patched, output, patched.status.rawValue)
        } catch let error as MartletClientError {
          guard case .problem(let problem) = error else { throw error }
          throw MartletClientError.problem(OptionNames.told(problem))
        }
      }
    }

    func changes() throws -> TaskChanges {
      var changes = now ? TaskChanges.runNow : TaskChanges()
      changes.priority = priority
      if let availableAt { changes.availableAt = availableAt }
      if !tags.isEmpty || clear.contains(.tags) { changes.tags = tags }
      if !metadata.isEmpty || clear.contains(.metadata) {
        changes.metadata = try Values.map(metadata, option: "--metadata")
      }
      let patch = TaskPatch(priority: priority, tags: changes.tags, metadata: changes.metadata)
      guard patch.problems.isEmpty else {
        throw CommandFailure(.usage, patch.problems.map { OptionNames.told($0) }.joined(separator: "; "))
      }
      return changes
    }
  }
}
