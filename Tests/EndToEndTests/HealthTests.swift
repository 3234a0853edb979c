// `martlet health` beside real nodes: as a container's health check runs it.

internal import Foundation
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Health", .timeLimit(.minutes(10)))
  struct HealthTests {
    @Test func `a node is asked by the settings that started it, over TLS with any certificate`() async throws {
      try await Scene.play { scene in
        let (certificate, key) = try await SelfSigned().write(to: scene.folder.path)
        var environment = [
          "MARTLET_AUTH_BOOTSTRAP_KEY": "the-first-key-of-this-installation", "MARTLET_SERVER_HOST": "0.0.0.0",
          "MARTLET_SERVER_TLS_CERTIFICATE": certificate, "MARTLET_SERVER_TLS_KEY": key,
        ]
        let server = try await scene.serve([], environment: environment)
        environment["MARTLET_SERVER_PORT"] = server.api.address.split(separator: ":").last.map(String.init)
        for (arguments, word) in [(["health"], "ready\n"), (["health", "--live"], "alive\n")] {
          // The store has a second to answer, and the server five; a loaded machine may need more.
          try await eventually("the node answers \(arguments)") {
            let (ending, program) = try await scene.martlet(arguments, environment: environment)
            guard ending == .exited(0) else { return false }
            #expect(program.output == word)
            return true
          }
        }
        // Somebody else's server has to prove who it is.
        environment["MARTLET_SERVER"] = "https://127.0.0.1:\(environment["MARTLET_SERVER_PORT"] ?? "")"
        try await scene.refuses(["health"], "certificate is not trusted", status: 3, environment: environment)
        environment["MARTLET_SERVER"] = nil
        #expect(try await server.stop() == .exited(0))
        #expect(try await scene.martlet(["health"], environment: environment).ending == .exited(3))
      }
    }
  }
}
