// Where the server is and who asks: shared by every command that is a client.

internal import ArgumentParser
internal import Foundation
internal import MartletClient

struct ServerOptions: ParsableArguments {
  static let defaultServer = "http://127.0.0.1:8080"

  @Option(help: ArgumentHelp("Address of the server (or MARTLET_SERVER).", valueName: "url"))
  var server: String?

  @Option(
    help: ArgumentHelp(
      "An API key (or MARTLET_API_KEY, which others on this machine do not see).", valueName: "key"))
  var apiKey: String?

  /// Runs `body` with a client. A server that does not answer is told at once: whoever typed the command is waiting.
  /// - Parameter patience: for commands that take long, and would have to begin anew.
  func withClient<Result>(
    patience: Duration = .zero, _ body: (MartletClient) async throws -> Result
  ) async throws -> Result {
    let (server, credential) = resolved(ProcessInfo.processInfo.environment)
    var options = MartletClient.Options()
    options.retries.whileUnreachable = patience
    options.retries.whenAsked = max(options.retries.whenAsked, patience)
    return try await MartletClient.withClient(server: server, credential: credential, options: options, body)
  }

  /// An option wins over the environment, a key over a token; empty variables count as absent.
  func resolved(_ environment: [String: String]) -> (server: String, credential: MartletClient.Credential) {
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    let server = server ?? variable("MARTLET_SERVER") ?? Self.defaultServer
    let credential =
      (apiKey ?? variable("MARTLET_API_KEY")).map(MartletClient.Credential.apiKey)
      ?? variable("MARTLET_TOKEN").map(MartletClient.Credential.token) ?? .none
    return (server, credential)
  }
}

struct OutputOptions: ParsableArguments {
  @Flag(help: "Print JSON, one document: the server's own where it comes from a server.")
  var json = false
}
