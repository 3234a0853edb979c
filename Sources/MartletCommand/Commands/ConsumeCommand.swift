// `martlet dead-letters consume`: reads dead letters where a broker keeps them, so that an alert or a processor of them is one line.

internal import ArgumentParser
internal import Foundation
internal import Logging
internal import Martlet
internal import MartletClient
internal import MartletCore
internal import MartletEvents
internal import Subprocess

struct ConsumeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "consume", abstract: "Read dead letters from Kafka or RabbitMQ: print each, or hand it to a command.",
    usage: "martlet dead-letters consume --from <broker> [--limit <n>] [--until-empty] [-- <command> ...]",
    discussion: """
      Where the broker is says the configuration (events.kafka.… or events.rabbitmq.…), as for the server. Each dead letter is a \
      CloudEvent in JSON, on one line, with the task's payload in `data`.

      With a command, the letter comes on its standard input, and MARTLET_TASK_ID and MARTLET_EVENT_ID are in its environment. \
      Exit code 0 takes the letter off; any other ends this program with 1, and the letter comes again next time. Without one a \
      letter is taken off when it is printed. Either way a letter may come twice, never not at all.
      """)

  enum Broker: String, CaseIterable, ExpressibleByArgument {
    case kafka, rabbitmq
  }

  @Option(help: ArgumentHelp("kafka or rabbitmq.", valueName: "broker"))
  var from: Broker

  @Option(help: ArgumentHelp("Kafka: the consumer group, which remembers how far it is.", valueName: "name"))
  var group = KafkaConsumer.defaultGroup

  @Option(help: ArgumentHelp("Stop after so many.", valueName: "n"))
  var limit: Int?

  @Flag(help: "Stop when there is nothing more, instead of waiting.")
  var untilEmpty = false

  @Option(
    help: ArgumentHelp("The configuration file (default: martlet.yaml here, if there is one).", valueName: "file"))
  var config: String?

  @Argument(parsing: .postTerminator, help: "What to run for each, and its arguments.")
  var command: [String] = []

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit must be 1 or more") }
    if group.isEmpty { throw ValidationError("--group is empty") }
  }

  func run() async throws {
    let settings = try await SettingsOptions.load(["config.file": config]).settings
    let environment = ProcessInfo.processInfo.environment
    let running = RunningPrograms()
    let program = command.isEmpty ? nil : try HandlerProgram(command, environment: environment)
    let reader = LetterReader(program: program, running: running)
    try await withThrowingTaskGroup(of: Void.self) { group in
      let over = AsyncStream<Void>.makeStream()
      group.addTask {
        await SignalWatch.run(
          onFirst: { over.continuation.finish() },
          onSecond: {
            running.kill()
            Foundation.exit(ExitStatus.failed.rawValue)
          })
      }
      group.addTask {
        defer { over.continuation.finish() }
        try await consume(settings, reader)
      }
      for await _ in over.stream {}
      group.cancelAll()  // asked to end: what is under way still ends in its own time
      try await group.waitForAll()
    }
  }

  private func consume(_ settings: Settings, _ reader: LetterReader) async throws {
    let logger = LineLogHandler.logger(Settings.Log())
    do {
      switch from {
      case .kafka:
        guard let kafka = settings.events.kafka.settings else { throw Self.missing("events.kafka.brokers") }
        try await KafkaConsumer(kafka, logger: logger).consume(group: group, limit: limit, untilEmpty: untilEmpty) {
          try await reader.take($0.message.value)
        }
      case .rabbitmq:
        guard let rabbitmq = try settings.events.rabbitmq.settings() else { throw Self.missing("events.rabbitmq.url") }
        try await RabbitConsumer(rabbitmq, report: { logger.warning("\($0)") }).consume(
          limit: limit, untilEmpty: untilEmpty
        ) { try await reader.take($0.body) }
      }
    } catch let failure as KafkaFailure {
      throw CommandFailure(.unreachable, failure.description)
    } catch let failure as RabbitFailure {
      throw CommandFailure(.unreachable, failure.description)
    }
  }

  private static func missing(_ key: String) -> CommandFailure {
    CommandFailure(.usage, "\(key) is not set: put it into martlet.yaml or into the environment")
  }
}

/// What is done with each letter.
private struct LetterReader: Sendable {
  let program: HandlerProgram?
  let running: RunningPrograms

  func take(_ letter: [UInt8]) async throws {
    // Line ends in JSON stand between values only.
    guard let program else { return Console.json(letter.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }) }
    let run = ProgramRun(
      onOutput: { FileHandle.standardOutput.write(Data($0)) }, onErrors: { FileHandle.standardError.write(Data($0)) })
    running.add(run)
    defer { running.remove(run) }
    let environment = program.environment(for: letter)
    // Shielded from cancellation: what was begun is ended, or the letter would come again although it was dealt with.
    let status = try await Task { try await run.run(program, environment: environment, input: letter) }.value
    guard status == .exited(0) else {
      throw CommandFailure(
        .failed, "the command ended with \(status) for \(environment["MARTLET_EVENT_ID"] ?? "a letter")")
    }
  }
}

extension HandlerProgram {
  fileprivate func environment(for letter: [UInt8]) -> [String: String] {
    var all = environment
    // What is no CloudEvent was put there by somebody else, and is the command's to judge.
    guard let event = try? JSONScanner.scan(letter), let members = event.members else { return all }
    for (name, value) in members {
      if name == "subject" { all["MARTLET_TASK_ID"] = value.string }
      if name == "id" { all["MARTLET_EVENT_ID"] = value.string }
    }
    return all
  }
}
