// One process with all that it starts: in a process group of its own, which is ended as a whole. Its pipes are this program's own
// and not the library's, so that what its children still say after its end is heard, and none of them can keep us waiting.

internal import Foundation
internal import NIOCore
internal import NIOPosix
internal import Subprocess
internal import Synchronization

#if canImport(System)
  internal import System
#else
  internal import SystemPackage
#endif

final class ProgramRun: Sendable {
  private let onOutput: @Sendable (ByteBufferView) -> Void
  private let onErrors: @Sendable (ByteBufferView) -> Void
  private let loop = MultiThreadedEventLoopGroup.singleton.next()
  private let state = Mutex(State())

  private struct State {
    /// From its start until its process is about to be forgotten by the system: only then the number is surely its own.
    var group: pid_t?
    var killAfter: Duration?
  }

  /// How long children that hold the pipes may go on speaking after the program's end.
  private let linger: Duration
  /// For those who have left the group and hold the pipes still.
  private static let farewell = Duration.milliseconds(200)

  /// - Parameters: `onOutput` and `onErrors` are called for each piece, in order, on an event loop.
  init(
    linger: Duration = .seconds(1), onOutput: @escaping @Sendable (ByteBufferView) -> Void,
    onErrors: @escaping @Sendable (ByteBufferView) -> Void
  ) {
    self.linger = linger
    self.onOutput = onOutput
    self.onErrors = onErrors
  }

  /// Runs the program to its end, and ends what it leaves behind in its group. Not to be cancelled: `stop` is the way.
  /// - Throws: it cannot be started.
  func run(
    _ program: HandlerProgram, environment: [String: String], input: [UInt8]
  ) async throws -> TerminationStatus {
    let pipes = try await Pipes.open(on: loop, input: input, onOutput: onOutput, onErrors: onErrors)
    var options = PlatformOptions()
    options.processGroupID = 0  // its own
    let keys = environment.map { (Environment.Key(rawValue: $0.key) ?? "", $0.value) }
    let configuration = Configuration(
      executable: .path(FilePath(program.path)),
      arguments: Arguments(executablePathOverride: program.name, remainingValues: program.arguments),
      environment: .custom(Dictionary(keys) { $1 }), platformOptions: options)
    do {
      let result = try await Subprocess.run(
        configuration, input: .fileDescriptor(.init(rawValue: pipes.inputEnd), closeAfterSpawningProcess: true),
        output: .fileDescriptor(.init(rawValue: pipes.outputEnd), closeAfterSpawningProcess: true),
        error: .fileDescriptor(.init(rawValue: pipes.errorsEnd), closeAfterSpawningProcess: true)
      ) { execution in
        began(execution.processIdentifier.value)
        await Self.end(of: execution.processIdentifier.value)
        await hearRest(of: pipes)
        over()
      }
      return result.terminationStatus
    } catch {
      pipes.close()
      throw error
    }
  }

  /// SIGTERM to the whole group, SIGKILL when the time is over.
  func stop(killAfter: Duration) {
    let isNew = state.withLock { state in
      defer { state.killAfter = state.killAfter ?? killAfter }
      return state.killAfter == nil
    }
    if isNew { beginStop(killAfter) }
  }

  /// SIGKILL to the whole group.
  func kill() {
    signal(SIGKILL)
  }

  private func beginStop(_ killAfter: Duration) {
    signal(SIGTERM)
    loop.scheduleTask(in: TimeAmount(killAfter)) { self.kill() }
  }

  private func began(_ process: pid_t) {
    let killAfter = state.withLock { state in
      state.group = process
      return state.killAfter
    }
    if let killAfter { beginStop(killAfter) }  // asked for while it was being started
  }

  /// After this nobody sends it anything: its number may be another's.
  private func over() {
    kill()
    state.withLock { $0.group = nil }
  }

  private func signal(_ number: Int32) {
    state.withLock { state in
      if let group = state.group { _ = Foundation.kill(-group, number) }
    }
  }

  /// Returns when the process has ended, and leaves it to be waited for. On a thread of its own: such a wait blocks.
  private static func end(of process: pid_t) async {
    await withCheckedContinuation { continuation in
      let thread = Thread {
        var info = siginfo_t()
        while waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        continuation.resume()
      }
      thread.stackSize = 64 * 1024
      thread.name = "martlet-wait"
      thread.start()
    }
  }

  /// Until both outputs are closed, by all who have them. Who holds them for too long is ended.
  private func hearRest(of pipes: Pipes) async {
    let stopTime = state.withLock(\.killAfter)
    let patience = stopTime.map { $0 + Self.farewell } ?? linger
    let kill = loop.scheduleTask(in: TimeAmount(patience)) { self.kill() }
    let close = loop.scheduleTask(in: TimeAmount(patience + Self.farewell)) { pipes.close() }
    await pipes.outputsAreClosed()
    kill.cancel()
    close.cancel()
    pipes.close()
  }
}

/// All programs under way, for whoever has to leave at once.
final class RunningPrograms: Sendable {
  private let runs = Mutex<[ObjectIdentifier: ProgramRun]>([:])

  func add(_ run: ProgramRun) { runs.withLock { $0[ObjectIdentifier(run)] = run } }
  func remove(_ run: ProgramRun) { runs.withLock { $0[ObjectIdentifier(run)] = nil } }

  func kill() {
    for run in runs.withLock({ Array($0.values) }) { run.kill() }
  }
}
