// `martlet health`: which node it asks, and what its exit code says.

internal import Foundation
internal import Martlet
internal import ScriptedServer
internal import Testing

@testable internal import MartletCommand

@Suite("health")
struct HealthTests {
  private static let ill = """
    {"status":"unavailable","components":[{"name":"store","status":"failing","detail":"the disk is full"},\
    {"name":"notices","status":"ok","detail":null},{"name":"redis","status":"down","detail":null}]}
    """

  @Test("a node that can serve is exit code 0, and no credential is sent")
  func ready() async throws {
    let (run, requests) = try await Program.run(["health"], environment: ["MARTLET_API_KEY": "mk_1"]) { _, _ in
      .json(200, #"{"status":"ready","components":[]}"#)
    }
    #expect(run.status == 0)
    #expect((run.output, run.errors) == ("ready\n", ""))
    #expect(requests.map(\.target) == ["/health/ready"])
    #expect(requests.first?.headers["x-api-key"] == nil)
  }

  @Test("a node that cannot is exit code 1 and one line that says what is wrong")
  func notReady() async throws {
    let (run, _) = try await Program.run(["health"]) { _, _ in .json(503, Self.ill) }
    #expect(run.status == 1)
    #expect((run.output, run.errors) == ("", "martlet: not ready; store: the disk is full; redis is down\n"))
    let (json, _) = try await Program.run(["health", "--json"]) { _, _ in .json(503, Self.ill) }
    #expect(json.status == 1)
    #expect((json.output, json.errors) == (Self.ill + "\n", ""))
  }

  @Test("--live asks only whether the process answers")
  func live() async throws {
    let (run, requests) = try await Program.run(["health", "--live"]) { _, _ in .json(200, #"{"status":"ok"}"#) }
    #expect(run.status == 0)
    #expect((run.output, run.errors) == ("alive\n", ""))
    #expect(requests.map(\.target) == ["/health/live"])
  }

  @Test("a node that is not there is exit code 3, asked once")
  func unreachable() async throws {
    let run = try await Program.run(["health"], server: "http://127.0.0.1:1")
    #expect(run.status == 3)
    #expect(run.errors == "martlet: cannot reach the server at http://127.0.0.1:1: connection refused\n")
  }

  @Test("without a server's name it is the node that the settings here make")
  func settings() async throws {
    try await ScriptedServer.serving({ _, _ in .json(200, #"{"status":"ready","components":[]}"#) }) { server in
      let port = try #require(server.address.split(separator: ":").last.map(String.init))
      let environment = [
        "MARTLET_SERVER_PORT": port, "MARTLET_SERVER_HOST": "0.0.0.0", "MARTLET_AUTH_API_KEYS": "true",
      ]
      let run = try await Program.run(["health"], server: "", environment: environment)
      #expect(run.status == 0, "\(run.errors)")
      #expect(server.requests.map(\.target) == ["/health/ready"])
    }
    let unknown = try await Program.run(["health", "--port", "0"], server: "")
    #expect(unknown.status == 2)
    #expect(unknown.errorLines.count == 1)
    let silent = try await Program.run(["health", "--roles", "worker"], server: "")
    #expect(silent.status == 2)
    #expect(silent.errorLines.count == 1)
    let invalid = try await Program.run(["health"], server: "", environment: ["MARTLET_SERVER_PORT": "eighty"])
    #expect(invalid.status == 2)
  }

  @Test(
    "a node that listens everywhere is asked at the loopback address",
    arguments: [
      ("0.0.0.0", "http://127.0.0.1:8080"), ("::", "http://[::1]:8080"), ("::1", "http://[::1]:8080"),
      ("localhost", "http://localhost:8080"), ("192.0.2.1", "http://192.0.2.1:8080"),
    ])
  func address(host: String, address: String) throws {
    #expect(try HealthCommand.address(of: Settings(server: Settings.Server(host: host))) == address)
  }
}
