// `martlet types …`: who handles what, and what is set for it.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

struct TypesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "types", abstract: "Look at types of tasks, pause them and set their defaults.",
    subcommands: [List.self, Show.self, Pause.self, Resume.self, Set.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List types with their counts and workers.")

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        guard !output.json else { return Console.json(try await client.whole(.types).json) }
        let types = try await client.types()
        Console.out(types.isEmpty ? "no types" : TaskTable.types(types, for: .output))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show one type.")

    @OptionGroup var type: TypeArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in TypeOutput.show(try await client.type(type.name), output) }
    }
  }

  struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Give out nothing of a type, whatever the queue, until it is resumed.",
      discussion: "What runs goes on.")

    @OptionGroup var type: TypeArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await TypeOutput.change(type.name, server, output) { $0.paused = true }
    }
  }

  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Give out a paused type's tasks again.")

    @OptionGroup var type: TypeArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await TypeOutput.change(type.name, server, output) { $0.paused = false }
    }
  }

  struct Set: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Set what new tasks of a type have where their submission does not say.",
      discussion: """
        What is not given stays as it is. --clear takes one default away, --reset all of them first; neither resumes a paused type.
        """)

    @OptionGroup var type: TypeArgument

    @Option(help: "The queue.")
    var queue: String?

    @Option(help: ArgumentHelp("1…9, 9 is most urgent.", valueName: "1…9"))
    var priority: Int?

    @Option(help: ArgumentHelp("0…100 after the first attempt.", valueName: "n"))
    var retries: Int?

    @Option(help: ArgumentHelp("How long one attempt may take.", valueName: "time"), transform: Values.seconds)
    var timeout: Double?

    @Option(help: ArgumentHelp("How long a silent worker keeps a task.", valueName: "time"), transform: Values.seconds)
    var lease: Double?

    @Option(help: Values.backoffHelp, transform: Values.backoff)
    var backoff: NewTask.Backoff?

    @Option(
      help: ArgumentHelp(
        "Tell this URL or address how they ended; may be repeated. Takes the place of those that are set.",
        valueName: "receiver[,SUCCESS,DEAD,CANCELLED]"),
      transform: Values.receiver)
    var notify: [NoticeTarget] = []

    @Option(
      help: ArgumentHelp("Take this default away; may be repeated.", valueName: "default"))
    var clear: [Default] = []

    @Flag(help: "Begin with nothing set.")
    var reset = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    enum Default: String, CaseIterable, ExpressibleByArgument {
      case queue, priority, retries, backoff, timeout, lease, notify
    }

    func validate() throws {
      guard reset || !clear.isEmpty || !given.isEmpty else {
        throw ValidationError("nothing to set: give at least one default, --clear or --reset")
      }
      if let both = given.first(where: { clear.contains($0) }) {
        throw ValidationError("--\(both.rawValue) and --clear \(both.rawValue) cannot be given together")
      }
    }

    func run() async throws {
      try await TypeOutput.change(type.name, server, output, apply)
    }

    func apply(to rules: inout TypeRules) {
      for name in reset ? Default.allCases : clear { name.clear(in: &rules) }
      rules.queue = queue ?? rules.queue
      rules.priority = priority ?? rules.priority
      rules.retries = retries ?? rules.retries
      rules.backoff = backoff ?? rules.backoff
      rules.timeoutSeconds = timeout ?? rules.timeoutSeconds
      rules.leaseSeconds = lease ?? rules.leaseSeconds
      rules.notify = notify.isEmpty ? rules.notify : notify
    }

    private var given: [Default] {
      let all: [(Default, Bool)] = [
        (.queue, queue != nil), (.priority, priority != nil), (.retries, retries != nil), (.backoff, backoff != nil),
        (.timeout, timeout != nil), (.lease, lease != nil), (.notify, !notify.isEmpty),
      ]
      return all.filter(\.1).map(\.0)
    }
  }
}

extension TypesCommand.Set.Default {
  fileprivate func clear(in rules: inout TypeRules) {
    switch self {
    case .queue: rules.queue = nil
    case .priority: rules.priority = nil
    case .retries: rules.retries = nil
    case .backoff: rules.backoff = nil
    case .timeout: rules.timeoutSeconds = nil
    case .lease: rules.leaseSeconds = nil
    case .notify: rules.notify = nil
    }
  }
}

struct TypeArgument: ParsableArguments {
  @Argument(help: "The type's name.")
  var name: String

  func validate() throws {
    guard !name.isEmpty else { throw ValidationError("the type's name is empty") }
  }
}

private enum TypeOutput {
  static func show(_ type: TypeState, _ output: OutputOptions) {
    guard !output.json else { return Console.json(type.json) }
    Console.out(TaskTable.types([type], for: .output))
    Console.out("\nhandled by  \(type.workers.isEmpty ? "nobody" : type.workers.joined(separator: ", "))")
    let defaults = words(type.rules)
    Console.out("defaults    \(defaults.isEmpty ? "those of the installation" : defaults.joined(separator: ", "))")
  }

  private static func words(_ rules: TypeRules) -> [String] {
    var words: [String] = []
    if let queue = rules.queue { words.append("queue \(queue)") }
    if let priority = rules.priority { words.append("priority \(priority)") }
    if let retries = rules.retries { words.append("\(retries) retries") }
    if let timeout = rules.timeoutSeconds { words.append("timeout \(Format.seconds(timeout))") }
    if let lease = rules.leaseSeconds { words.append("lease \(Format.seconds(lease))") }
    if let backoff = rules.backoff { words.append("backoff \(Format.backoff(backoff))") }
    if let notify = rules.notify {
      words.append("notices to " + (notify.isEmpty ? "nobody" : notify.map(\.text).joined(separator: ", ")))
    }
    return words
  }

  /// A type that nobody has heard of yet may be given settings all the same.
  static func change(
    _ name: String, _ server: ServerOptions, _ output: OutputOptions, _ set: (inout TypeRules) -> Void
  ) async throws {
    try await server.withClient { client in
      var rules = try await client.types().first { $0.name == name }?.rules ?? TypeRules()
      set(&rules)
      show(try await client.put(type: name, rules), output)
    }
  }
}
