// Carries out a task by a program: the payload on its standard input, what it says on its outputs, and its exit code as the
// attempt's end. `martlet work` registers it for its types.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import Subprocess
internal import Synchronization

#if canImport(System)
  internal import System
#else
  internal import SystemPackage
#endif

struct ProgramHandler: Sendable {
  let program: HandlerProgram
  /// Between SIGTERM and SIGKILL.
  let killAfter: Duration
  let running: RunningPrograms

  /// Exit code of a failure that no retry can mend: EX_DATAERR of sysexits(3).
  private static let permanent: Int32 = 65
  /// A lease that is lost may be somebody else's in a moment.
  private static let hurry = Duration.seconds(1)

  func run(_ payload: [UInt8], _ context: AttemptContext) async throws -> TaskResult {
    let result = Mutex(BoundedBytes(limit: Limits.resultBytes))
    let log = Mutex(LineSplitter())
    let process = ProgramRun(
      onOutput: { bytes in result.withLock { $0.append(bytes) } },
      onErrors: { bytes in
        for line in log.withLock({ $0.lines(in: bytes) }) { context.log(line) }
      })
    running.add(process)
    defer { running.remove(process) }
    let status = try await withTaskCancellationHandler {
      try await start(process, payload, context)
    } onCancel: {
      process.stop(killAfter: context.stop == .leaseLost ? min(killAfter, Self.hurry) : killAfter)
    }
    if let line = log.withLock({ $0.rest() }) { context.log(line) }
    switch status {
    case .exited(0):
      return .success(json: result.withLock(\.self).json)
    case .exited(let code):
      let message = message("the command exited with \(code)", log.withLock(\.last))
      guard code != Self.permanent else { throw TaskFailure.permanent(message, type: "EXIT_\(code)") }
      throw TaskFailure.retry(message, type: "EXIT_\(code)")
    case .signaled(let number):
      let message = message("the command was killed by \(Self.name(ofSignal: number))", log.withLock(\.last))
      throw TaskFailure.retry(message, type: "SIGNAL_\(number)")
    }
  }

  /// Shielded from cancellation: a process is stopped by signals, and its end is awaited in any case.
  private func start(
    _ process: ProgramRun, _ payload: [UInt8], _ context: AttemptContext
  ) async throws -> TerminationStatus {
    let environment = program.environment(for: context)
    let run = Task { [program] in try await process.run(program, environment: environment, input: payload) }
    do {
      return try await run.value
    } catch {
      throw TaskFailure.retry("the command cannot be started: \(Self.reason(error))", type: "SPAWN_FAILED")
    }
  }

  private func message(_ text: String, _ lastLine: String?) -> String {
    guard let lastLine, !lastLine.isEmpty else { return text }
    return "\(text): \(Plain.line(String(lastLine.prefix(500))))"
  }

  private static func reason(_ error: any Error) -> String {
    guard let error = error as? SubprocessError else { return String(describing: error) }
    return error.underlyingError.map(\.description) ?? error.description
  }

  private static func name(ofSignal number: Int32) -> String {
    let names: [Int32: String] = [
      SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGABRT: "SIGABRT", SIGFPE: "SIGFPE",
      SIGKILL: "SIGKILL", SIGSEGV: "SIGSEGV", SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM",
      SIGBUS: "SIGBUS", SIGUSR1: "SIGUSR1", SIGUSR2: "SIGUSR2", SIGXCPU: "SIGXCPU",
    ]
    return names[number] ?? "signal \(number)"
  }
}
