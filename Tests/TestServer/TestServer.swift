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
  }

  static let type = "WAIT_FOR_FILE"

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    while !FileManager.default.fileExists(atPath: payload.path) {
      if payload.isStubborn == true {
        usleep(20_000)
      } else {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    return .done
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
