// `martlet schedules …`: recurring tasks.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

struct SchedulesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schedules", abstract: "Look at recurring tasks and steer them.",
    subcommands: [
      List.self, Show.self, Create.self, Update.self, Delete.self, Pause.self, Resume.self, Trigger.self,
    ])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List schedules with when they run next.")

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let schedules = try await client.schedules()
        guard !output.json else {
          var writer = JSONWriter()
          writer.object { writer in
            writer.name("data")
            writer.array(of: schedules) { $0.raw($1.json) }
            writer.field("nextCursor", String?.none)
          }
          return Console.json(writer.bytes)
        }
        Console.out(schedules.isEmpty ? "no schedules" : ScheduleSheet.table(schedules, for: .output))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show one schedule with its next runs, by the clocks of its zone and in UTC.")

    @OptionGroup var schedule: ScheduleArgument

    @Option(help: ArgumentHelp("How many of its next runs.", valueName: "0…100"))
    var next = 10

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func validate() throws {
      guard (0...100).contains(next) else { throw ValidationError("--next must be from 0 to 100") }
    }

    func run() async throws {
      try await server.withClient { client in
        let found = try await client.schedule(schedule.name, nextRuns: next)
        Written.show(found, output)
      }
    }
  }

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Create a schedule.",
      discussion: "martlet schedules create nightly report --cron '30 2 * * *' --time-zone Europe/Berlin")

    @OptionGroup var schedule: ScheduleArgument

    @Argument(help: "The type of its tasks: who handles them.")
    var type: String

    @OptionGroup var when: ScheduleOptions
    @OptionGroup var what: TemplateOptions

    @Flag(help: "Make no tasks until it is resumed.")
    var paused = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func validate() throws {
      guard when.recurrence != nil else { throw ValidationError("--cron or --every is required") }
    }

    func run() async throws {
      let definition = try definition()
      try await server.withClient { client in
        let created = try await OptionNames.telling(of: .schedule) { try await client.createSchedule(definition) }
        Written.show(created, output)
      }
    }

    func definition() throws -> ScheduleDefinition {
      guard let recurrence = when.recurrence else { throw ValidationError("--cron or --every is required") }
      var definition = ScheduleDefinition(name: schedule.name, recurrence, task: try what.task(type: type))
      definition.misfire = when.misfire
      definition.overlap = when.overlap
      definition.paused = paused
      return definition
    }
  }

  struct Update: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Change what is given of a schedule, and leave the rest as it is.",
      discussion: "Another --cron or --every begins now. --tag, --metadata and --backoff replace all there is.")

    @OptionGroup var schedule: ScheduleArgument

    @Option(help: "The type of its tasks.")
    var type: String?

    @OptionGroup var when: ScheduleOptions
    @OptionGroup var what: TemplateOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let changed = try await OptionNames.telling(of: .schedule) {
          try await client.changeSchedule(schedule.name) { try change(&$0) }
        }
        Written.show(changed, output)
      }
    }

    func change(_ body: inout ScheduleBody) throws {
      if let type { body.setTask("type") { $0.string(type) } }
      when.change(&body)
      try what.change(&body)
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Delete a schedule; its tasks stay.")

    @OptionGroup var schedule: ScheduleArgument
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        try await client.deleteSchedule(schedule.name)
        Console.out("\(schedule.name) deleted")
      }
    }
  }

  struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Let a schedule make no tasks until it is resumed.")

    @OptionGroup var schedule: ScheduleArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let paused = try await client.pauseSchedule(schedule.name)
        if output.json { Console.json(paused.json) } else { Console.out("\(Plain.line(paused.name)) paused") }
      }
    }
  }

  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Let a paused schedule go on from now.", discussion: "The ticks of the pause are not made up for.")

    @OptionGroup var schedule: ScheduleArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let resumed = try await client.resumeSchedule(schedule.name)
        guard !output.json else { return Console.json(resumed.json) }
        let next = resumed.nextRunAt.map { ", next run \($0)" } ?? ""
        Console.out("\(Plain.line(resumed.name)) resumed\(next)")
      }
    }
  }

  struct Trigger: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a task of a schedule now and print its id.",
      discussion: "Paused or not, and whatever --overlap says; its ticks stay where they are.")

    @OptionGroup var schedule: ScheduleArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      try await server.withClient { client in
        let task = try await client.triggerSchedule(schedule.name)
        if output.json { Console.json(task.json) } else { Console.out(task.id.description) }
      }
    }
  }

  private enum Written {
    static func show(_ schedule: RemoteSchedule, _ output: OutputOptions) {
      if output.json {
        Console.json(schedule.json)
      } else {
        Console.out(ScheduleSheet.rendered(schedule, zones: .system, for: .output))
      }
    }
  }
}

struct ScheduleArgument: ParsableArguments {
  @Argument(help: "The schedule's name.")
  var name: String

  func validate() throws {
    guard Limits.isName(name) else {
      throw ValidationError("a schedule's name is 1–128 characters of A-Z a-z 0-9 . _ : -")
    }
  }
}
