// `martlet work`: any program becomes the handler of task types, near the server or far from it.

internal import ArgumentParser
internal import Foundation
internal import Logging
internal import Martlet
internal import MartletClient
internal import MartletCore

struct WorkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "work", abstract: "Carry out tasks by running a command for each.",
    usage: "martlet work --type <type> ... [--queue <queue> ...] [--concurrency <n>] -- <command> ...",
    discussion: """
      The command gets the payload on its standard input and MARTLET_TASK_ID, MARTLET_TYPE, MARTLET_ATTEMPT, \
      MARTLET_MAX_ATTEMPTS, MARTLET_QUEUE and MARTLET_TRACEPARENT in its environment. What it writes to its standard output \
      is the result (JSON as it is, anything else as a text), lines on its standard error are kept with the attempt. Exit \
      code 0 is success; 65 a failure that no retry can mend; any other, or a death by a signal, is retried.

      At its timeout, when its task is cancelled or its lease cannot be kept, the command and all that it started get \
      SIGTERM, and after --kill-after SIGKILL. SIGTERM or Ctrl-C drains: no more tasks are taken, running commands get \
      --grace to end, the rest is given back. A second signal ends everything at once.
      """)

  @Option(name: .customLong("type"), help: ArgumentHelp("Take tasks of this type; may be repeated.", valueName: "type"))
  var types: [String] = []

  @Option(
    name: .customLong("queue"),
    help: ArgumentHelp("Take tasks of this queue only; may be repeated (default: all queues).", valueName: "queue"))
  var queues: [String] = []

  @Option(help: ArgumentHelp("Commands at once (default: one a core).", valueName: "n"))
  var concurrency = ProcessInfo.processInfo.activeProcessorCount

  @Option(
    help: ArgumentHelp("How long running commands may go on after SIGTERM (default: 25s).", valueName: "time"),
    transform: Values.seconds)
  var grace = 25.0

  @Option(
    help: ArgumentHelp("How long a command gets between SIGTERM and SIGKILL (default: 5s).", valueName: "time"),
    transform: Values.seconds)
  var killAfter = 5.0

  @Option(help: ArgumentHelp("The worker's name, unique among living ones.", valueName: "name"))
  var name: String?

  @OptionGroup var server: ServerOptions

  @Argument(parsing: .postTerminator, help: "What to run for each task, and its arguments.")
  var command: [String] = []

  func validate() throws {
    guard !types.isEmpty else { throw ValidationError("--type is missing: which tasks shall it take?") }
    for (option, names) in [("--type", types), ("--queue", queues)] {
      for name in names where !Limits.isName(name) {
        throw ValidationError("\(option) '\(name)' must be 1–128 characters of A-Z a-z 0-9 . _ : -")
      }
    }
    guard (1...1000).contains(concurrency) else { throw ValidationError("--concurrency must be from 1 to 1000") }
    guard (0...86_400).contains(grace), (0...86_400).contains(killAfter) else {
      throw ValidationError("--grace and --kill-after must be from 0 to 1d")
    }
  }

  func run() async throws {
    let environment = ProcessInfo.processInfo.environment
    let programs = RunningPrograms()
    let handler = ProgramHandler(
      program: try HandlerProgram(command, environment: environment), killAfter: .wire(seconds: killAfter),
      running: programs)
    let (address, credential) = server.resolved(environment)
    let logger = LineLogHandler.logger(Settings.Log())
    do {
      try await MartletClient.withClient(server: address, credential: credential) { client in
        let worker = try RemoteWorker(
          client, registry: HandlerRegistry(types: types) { try await handler.run($0, $1) }, options: options,
          logger: logger, observer: Self.observer(logger))
        logger.info(
          "working", metadata: ["worker": "\(worker.name)", "server": "\(client.server)", "types": "\(types)"])
        try await work(worker, programs, logger)
      }
    } catch let error as RemoteWorkerError {
      switch error {
      case .invalid(let reason): throw CommandFailure(.usage, reason)
      case .unreported: throw CommandFailure(.failed, error.description)
      }
    }
    logger.info("stopped")
  }

  private var options: RemoteWorker.Options {
    var options = RemoteWorker.Options()
    options.name = name
    options.queues = queues.isEmpty ? nil : queues
    options.concurrency = concurrency
    options.shutdownGrace = .wire(seconds: grace)
    return options
  }

  private func work(_ worker: RemoteWorker, _ programs: RunningPrograms, _ logger: Logger) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        await SignalWatch.run(
          onFirst: { worker.drain() },
          onSecond: {
            logger.warning("stopping at once; what runs here is rescued when its lease ends")
            programs.kill()
            Foundation.exit(ExitStatus.failed.rawValue)
          })
      }
      defer { group.cancelAll() }
      try await worker.work()
    }
  }

  /// Successes are told by the server; here only what somebody may have to look at.
  private static func observer(_ logger: Logger) -> WorkObserver {
    WorkObserver(
      reported: { task, outcome, _, verdict in
        var metadata: Logger.Metadata = ["task_id": "\(task.id)", "attempt": "\(task.attempt)"]
        if verdict == .lost {
          logger.warning("a report came too late: the lease was lost", metadata: metadata)
        } else if case .failed(let error, _) = outcome {
          metadata["error"] = "\(error.message)"
          logger.info("an attempt failed", metadata: metadata)
        }
      },
      lost: { task in
        logger.warning(
          "an attempt was given up: its lease could not be kept",
          metadata: ["task_id": "\(task.id)", "attempt": "\(task.attempt)"])
      })
  }
}
