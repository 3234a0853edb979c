// A server with handlers that misbehave in ways that no built-in one does. The end-to-end tests start it as a process.

internal import Foundation
internal import Martlet

@main
struct TestServer {
  static func main() async {
    do {
      try await MartletServer(handlers: [WaitForFile(), Poison()]).run()
    } catch {
      FileHandle.standardError.write(Data("test-server: \(error)\n".utf8))
      exit(1)
    }
  }
}

/// Runs until the test has made a file; a test decides so what is running when, and in which life of the server.
struct WaitForFile: TaskHandler {
  struct Payload: Codable, Sendable {
    var path: String
    /// Blocks its thread and does not listen when it is told to stop.
    var isStubborn: Bool?
    /// A file that is told of the attempt first: a line with the task and its number.
    var effects: String?
  }

  static let type = "WAIT_FOR_FILE"

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    if let effects = payload.effects { try tell(effects, "\(context.taskID) \(context.attempt)\n") }
    while !FileManager.default.fileExists(atPath: payload.path) {
      if payload.isStubborn == true {
        usleep(20_000)
      } else {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    return .done
  }

  /// One write to the end of the file: lines of several processes do not mix.
  private func tell(_ path: String, _ line: String) throws {
    let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT, 0o644)
    guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
    defer { close(descriptor) }
    guard write(descriptor, line, line.utf8.count) == line.utf8.count else { throw CocoaError(.fileWriteUnknown) }
  }
}

/// Takes its process along, as a bug in a C library would.
struct Poison: TaskHandler {
  struct Payload: Codable, Sendable {}

  static let type = "POISON"

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    kill(getpid(), SIGKILL)
    return .done
  }
}
