// `martlet version`: this program's version, and the server's where one answers.

internal import ArgumentParser
internal import Martlet
internal import MartletClient
internal import MartletCore

struct VersionCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Print the version of this program, and of the server if one answers.",
    discussion: "A server that does not answer is no failure here.")

  @OptionGroup var output: OutputOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    let (found, address) = try await server.withClient { client in
      (try await ask(client), client.server)
    }
    if output.json {
      var writer = JSONWriter()
      writer.object { writer in
        writer.field("client", Version.current)
        writer.name("server")
        if let found { writer.raw(found.json) } else { writer.null() }
      }
      Console.json(writer.bytes)
    } else {
      Console.out("martlet \(Version.current)")
      let answer = found.map { "version \(Plain.line($0.version))" } ?? "no answer"
      Console.out("server  \(answer) (\(Plain.line(address)))")
    }
  }

  private func ask(_ client: MartletClient) async throws -> ServerVersion? {
    do {
      return try await client.version()
    } catch is MartletClientError {
      return nil
    }
  }
}
