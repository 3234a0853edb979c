// The walk through the contract (Tests/Contract/walk.py), as a new user would take it, on both stores.

internal import Foundation
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Contract")
  struct ContractTests {
    private static let walk = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Contract/walk.py")

    @Test func `every line of the contract holds on SQLite`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        try await walk([server], scene)
      }
    }

    @Test func `every line of the contract holds on two nodes over PostgreSQL`() async throws {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        let options = ["--database", database.url, "--durability", "relaxed"]
        let servers = [try await scene.serve(options), try await scene.serve(options)]
        try await walk(servers, scene)
      }
    }

    private func walk(_ servers: [Server], _ scene: Scene) async throws {
      let (ending, program) = try await scene.run(
        Tool.installed("python3"),
        [Self.walk.path, "--martlet", Tool.built("martlet").path] + servers.map(\.api.address),
        within: .seconds(1200))
      #expect(ending == .exited(0), "\(program.output)\(program.errors)")
    }
  }
}
