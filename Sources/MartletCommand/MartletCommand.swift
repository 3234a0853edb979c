// Where the program `martlet` begins: the list of its subcommands, and the one place where a failure becomes a line on
// stderr and an exit code.

internal import ArgumentParser
internal import Foundation
internal import Martlet

@main
struct MartletCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martlet",
    abstract: "A durable task server, and the hand that steers it.",
    discussion: """
      Commands that talk to a server find it by --server or MARTLET_SERVER (default \
      \(ServerOptions.defaultServer)) and sign in with --api-key, MARTLET_API_KEY or else MARTLET_TOKEN.

      Exit codes: 0 done, 1 failed, 2 wrong usage or a value that the server refused, 3 the server cannot be reached, \
      4 not found, 5 not allowed.
      """,
    version: Version.current,
    subcommands: [
      ServeCommand.self,
      SubmitCommand.self,
      WorkCommand.self,
      TasksCommand.self,
      DeadLettersCommand.self,
      BulkCommand.self,
      QueuesCommand.self,
      TypesCommand.self,
      GraphCommand.self,
      SchedulesCommand.self,
      WorkersCommand.self,
      StatsCommand.self,
      NotificationsCommand.self,
      AuditCommand.self,
      SettingsCommand.self,
      KeysCommand.self,
      TokenCommand.self,
      HealthCommand.self,
      DemoCommand.self,
      ConfigCommand.self,
      MigrateCommand.self,
      PruneCommand.self,
      ExportCommand.self,
      TransferCommand.self,
      BenchCommand.self,
      CompletionCommand.self,
      VersionCommand.self,
    ])

  static func main() async {
    MemoryArenas.limit()
    signal(SIGPIPE, SIG_IGN)  // `Console` sees a closed pipe as an error of its own
    Foundation.exit(await status(of: Array(CommandLine.arguments.dropFirst())))
  }

  private static func status(of arguments: [String]) async -> Int32 {
    do {
      var command = try await asyncParseAsRoot(arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      return ExitStatus.done.rawValue
    } catch {
      return report(error)
    }
  }

  private static func report(_ error: any Error) -> Int32 {
    if let failure = CommandFailure(telling: error) {
      Console.error(failure.text)
      return failure.status.rawValue
    }
    let code = exitCode(for: error)
    if code == .validationFailure {
      Console.error("martlet: \(usage(error))")
      return ExitStatus.usage.rawValue
    }
    let text = fullMessage(for: error)
    if !text.isEmpty {
      if code.isSuccess { Console.out(text) } else { Console.error("martlet: \(Plain.line(message(for: error)))") }
    }
    return code.rawValue
  }

  /// What is wrong and where to read on, on one line. ArgumentParser's own form takes three.
  private static func usage(_ error: any Error) -> String {
    let message = message(for: error).split(separator: "\n").joined(separator: " ")
    let help = fullMessage(for: error).split(separator: "\n").last { $0.hasPrefix("  See '") }
    let hint = help.map { line in
      " (" + line.dropFirst(2).replacing("See", with: "see").replacing(" for more information.", with: ")")
    }
    return Plain.line(message + (hint ?? ""))
  }
}
