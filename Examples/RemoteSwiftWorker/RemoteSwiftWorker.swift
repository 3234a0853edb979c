// A worker in Swift, far from its server: the same `TaskHandler` as in a server of one's own, run by `MartletClient`. Where the
// server is, it is told by MARTLET_SERVER and MARTLET_API_KEY:
//
//   swift run RemoteSwiftWorker
//   martlet submit measure --payload '{"text":"the bird that never lands"}' --wait

internal import Foundation
internal import MartletClient

struct Measure: TaskHandler {
  struct Payload: Codable, Sendable {
    var text: String
    /// To have something to wait for.
    var seconds: Double?
  }

  struct Measured: Codable, Sendable {
    var words: Int
    var letters: Int
  }

  static let type = "measure"

  /// Asked before it runs. Only a server with this handler inside could ask when the task is submitted.
  func problems(in payload: Payload) -> [ValidationProblem] {
    payload.text.isEmpty ? [ValidationProblem(pointer: "/text", detail: "must not be empty")] : []
  }

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    context.log("measuring \(payload.text.count) characters")
    context.progress(50, "half of it")
    // Throws when the task is cancelled, times out, or has to make way for a shutdown.
    if let seconds = payload.seconds { try await Task.sleep(for: .seconds(seconds)) }
    return try .success(
      Measured(words: payload.text.split(separator: " ").count, letters: payload.text.count(where: \.isLetter)))
  }
}

@main
struct RemoteSwiftWorker {
  static func main() async {
    let environment = ProcessInfo.processInfo.environment
    do {
      try await MartletClient.withClient(
        server: environment["MARTLET_SERVER"] ?? "http://127.0.0.1:8080",
        credential: environment["MARTLET_API_KEY"].map { .apiKey($0) } ?? .none
      ) { client in
        try await RemoteWorker(client, handlers: [Measure()]).run()
      }
    } catch {
      FileHandle.standardError.write(Data("remote-swift-worker: \(error)\n".utf8))
      exit(1)
    }
  }
}
