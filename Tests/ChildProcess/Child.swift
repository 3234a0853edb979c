// A child process in a process group of its own, so that Ctrl-C at the terminal ends the tests and not, too early,
// what they stand on. Foundation's cannot be started where more than 1,024 files are open, as they are with so many tests at once.

public import Foundation
internal import Synchronization

public struct ChildFailed: Error, CustomStringConvertible {
  public let description: String

  public init(description: String) {
    self.description = description
  }
}

public final class Child: Sendable {
  private let id: pid_t
  private let reaped = Mutex<Int32?>(nil)

  /// - Parameters:
  ///   - command: a path and its arguments.
  ///   - input: a descriptor to read from; nil for nothing.
  ///   - output: a file that it is appended to; nil forgets it.
  ///   - errors: as output, and may be the same file.
  /// - Throws: `ChildFailed` where it cannot be started.
  public init(_ command: [String], input: Int32? = nil, output: URL? = nil, errors: URL? = nil) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let input {
      posix_spawn_file_actions_adddup2(&actions, input, 0)
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    let flags = O_WRONLY | O_CREAT | O_APPEND
    posix_spawn_file_actions_addopen(&actions, 1, output?.path ?? "/dev/null", flags, 0o644)
    if errors == output {
      posix_spawn_file_actions_adddup2(&actions, 1, 2)
    } else {
      posix_spawn_file_actions_addopen(&actions, 2, errors?.path ?? "/dev/null", flags, 0o644)
    }

    #if os(Linux)
      Self.inheritNothing(&actions)
    #endif

    // A test program may ignore or block signals; its children shall not inherit that.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGCHLD] { sigaddset(&signals, number) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let environment = ["PATH", "HOME", "TMPDIR"].compactMap { name in
      ProcessInfo.processInfo.environment[name].map { "\(name)=\($0)" }
    }
    let arguments = command.map { strdup($0) } + [nil]
    let variables = (environment + ["LC_ALL=C.UTF-8"]).map { strdup($0) } + [nil]
    defer { for text in arguments + variables { free(text) } }
    var id = pid_t()
    let status = posix_spawn(&id, command[0], &actions, &attributes, arguments, variables)
    guard status == 0 else {
      throw ChildFailed(description: "cannot run \(command[0]): \(String(cString: strerror(status)))")
    }
    self.id = id
  }

  #if os(Linux)
    /// What else the test program has open is not the child's business. PostgreSQL counts it as its own; and Foundation takes a
    /// program for alive as long as anybody has a certain pipe of it open. It must be the child that closes: others may open
    /// files at this very moment. The header hides the function (glibc 2.34) from Swift.
    private static func inheritNothing(_ actions: inout posix_spawn_file_actions_t) {
      typealias CloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
      guard let function = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else { return }
      _ = unsafeBitCast(function, to: CloseFrom.self)(&actions, 3)
    }
  #endif

  /// Its exit status, or 128 and the signal that ended it; nil while it runs.
  public var status: Int32? {
    reaped.withLock { reaped in
      if let reaped { return reaped }
      var status: Int32 = 0
      guard waitpid(id, &status, WNOHANG) == id else { return nil }
      let signal = status & 0x7F
      reaped = signal == 0 ? (status >> 8) & 0xFF : 128 + signal
      return reaped
    }
  }

  public func ended() async -> Int32 {
    var pause = Duration.milliseconds(1)
    while true {
      if let status { return status }
      // Waits on even where the test was cancelled: what is told to end does.
      await withUnsafeContinuation { done in
        DispatchQueue.global().asyncAfter(deadline: .now() + .microseconds(Int(pause / .microseconds(1)))) {
          done.resume()
        }
      }
      pause = min(pause * 2, .milliseconds(20))
    }
  }

  public func signal(_ number: Int32) {
    reaped.withLock { reaped in
      if reaped == nil { kill(id, number) }
    }
  }

  /// To the processes that it started itself.
  public func signalChildren(_ number: Int32) {
    let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    for process in processes.compactMap(pid_t.init) {
      // The name stands in parentheses and may hold anything; after it come the state and the parent.
      let stat = FileManager.default.contents(atPath: "/proc/\(process)/stat").map {
        String(decoding: $0, as: UTF8.self)
      }
      let fields = stat?.split(separator: ")").last?.split(separator: " ")
      if let fields, fields.count > 1, fields[1] == "\(id)" { kill(process, number) }
    }
  }
}
