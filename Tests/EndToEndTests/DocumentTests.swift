// The API's document against the server, by tools that know nothing of Martlet: is it OpenAPI, and does the server keep to it
// whatever it is sent?

internal import Foundation
internal import Testing

extension EndToEnd {
  @Suite("The API's document")
  struct DocumentTests {
    private static let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let tools = root.appendingPathComponent(".build/schemathesis/bin")
    private static let folder = root.appendingPathComponent("Tests/Schemathesis")

    private static func tool(_ name: String) throws -> URL {
      let url = tools.appendingPathComponent(name)
      guard FileManager.default.isExecutableFile(atPath: url.path) else {
        throw Tool.Missing(what: "\(name) (scripts/setup --test installs it)")
      }
      return url
    }

    @Test func `it is OpenAPI 3.1, as it is written and as it is served`() async throws {
      try await Scene.play { scene in
        let validator = try Self.tool("openapi-spec-validator")
        let server = try await scene.serve()
        let served = scene.file("openapi.json")
        try Data(try await server.api.get("/openapi.json").body).write(to: served)
        for document in [served, Self.root.appendingPathComponent("docs/api/openapi.yaml")] {
          let (ending, program) = try await scene.run(validator, ["--schema", "3.1", document.path])
          #expect(ending == .exited(0), "\(program.output) \(program.errors)")
        }
      }
    }

    @Test func `whatever is sent, the server answers as the document says, and never with 5xx`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        // Nobody has to sign in there. MARTLET_HOSTILE=1 takes a longer look.
        let isLong = ProcessInfo.processInfo.environment["MARTLET_HOSTILE"] == "1"
        try await examine(
          scene, server, ["--exclude-checks", "ignored_auth", "--max-examples", isLong ? "400" : "60"])
        let answers = try await Self.answers(of: server)
        let count = answers.values.reduce(0, +)
        print("schemathesis: \(count) requests, \(answers.sorted { $0.key < $1.key })")
        #expect(count > (isLong ? 20_000 : 2000))
        #expect(answers.allSatisfy { !$0.key.hasPrefix("5") }, "\(answers)")
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `with authentication nothing is open that the document does not call open`() async throws {
      let key = String(repeating: "k", count: 40)
      // Whoever fails to get in too often has to wait: each part of the routes is tried on a server of its own.
      let parts = [
        "^/(tasks|leases|graphs)", "^/(dead-letters|bulk|api-keys|audit|settings)", "^/(schedules|queues)",
        "^/(types|workers|stats|health|version|metrics|openapi|docs|$)",
      ]
      for part in parts {
        try await Scene.play { scene in
          let server = try await scene.serve(environment: ["MARTLET_AUTH_BOOTSTRAP_KEY": key])
          try await examine(
            scene, server,
            [
              "--header", "Authorization: Bearer \(key)", "--max-examples", "5", "--phases",
              "examples,coverage,fuzzing",
            ]
              + ["--include-path-regex", part])
          #expect(try await server.stop() == .exited(0))
        }
      }
    }

    /// How often the server has answered with which status, as it counts itself.
    private static func answers(of server: Server) async throws -> [String: Int] {
      var answers: [String: Int] = [:]
      for line in try await server.api.get("/metrics").text.split(separator: "\n")
      where line.hasPrefix("martlet_http_requests_total{") {
        let status = try #require(line.firstMatch(of: /status="([0-9]+)"/)).1
        answers[String(status), default: 0] += try #require(line.split(separator: " ").last.flatMap { Int($0) })
      }
      return answers
    }

    /// Runs all checks over all routes, the same each time.
    private func examine(_ scene: Scene, _ server: Server, _ arguments: [String]) async throws {
      let configuration = Self.folder.appendingPathComponent("schemathesis.toml").path
      let all =
        ["--config-file", configuration, "run", server.api.address + "/openapi.json", "--checks", "all"]
        + ["--seed", "1", "--no-color", "--warnings", "off"] + arguments
      let (ending, program) = try await scene.run(
        Self.tool("schemathesis"), all,
        environment: ["PYTHONPATH": Self.folder.path, "PYTHONDONTWRITEBYTECODE": "1"], within: .seconds(7200))
      #expect(ending == .exited(0), "\(program.output.suffix(12_000)) \(program.errors.suffix(2000))")
    }
  }
}
