// Starting a server from the command line, as far as it needs no client: roles, and what is refused.

internal import Foundation
internal import ScriptedServer
internal import Testing

@Suite("serve", .timeLimit(.minutes(10)))
struct ServeTests {
  @Test("a node without the role api needs no port, tells its roles, and drains at SIGTERM")
  func withoutAPI() async throws {
    try await ScriptedServer.serving({ _, _ in .json(200, "{}") }) { server in
      let port = try #require(server.address.split(separator: ":").last.map(String.init))
      let arguments = ["serve", "--database", "sqlite::memory:", "--port", port]
      let taken = try await Program.run(arguments, server: "")
      #expect(taken.status == 1)
      #expect(taken.errors.hasSuffix("address already in use\n"))
      let watched = try await Program.run(
        ["serve", "--database", "sqlite::memory:", "--port", "0"], server: "",
        environment: ["MARTLET_TELEMETRY_METRICS_PORT": port])
      #expect(watched.status == 1)
      #expect(watched.errors.hasSuffix("cannot listen on 127.0.0.1:\(port): address already in use\n"))
      let node = try await StartedProgram.start(arguments + ["--roles", "worker, scheduler"])
      #expect(node.banner.contains("  roles     scheduler, worker\n"))
      #expect(!node.banner.contains("address"))
      #expect(await node.stop() == 0)
    }
  }

  @Test("a node without the role api has health and metrics at telemetry.metricsPort, and says where")
  func watched() async throws {
    let node = try await StartedProgram.start(
      ["serve", "--database", "sqlite::memory:", "--roles", "worker,scheduler"],
      environment: ["MARTLET_TELEMETRY_METRICS_PORT": "0"])
    #expect(!node.banner.contains("address"))
    #expect(node.banner.contains("  metrics   http://127.0.0.1:"))
    #expect(await node.stop() == 0)
  }

  @Test("a node with all roles says where it listens, and nothing of roles")
  func withAPI() async throws {
    let node = try await StartedProgram.start(["serve", "--database", "sqlite::memory:", "--port", "0"])
    #expect(node.banner.contains("  address   http://127.0.0.1:"))
    #expect(!node.banner.contains("roles"))
    #expect(await node.stop() == 0)
  }

  @Test(
    "what cannot be is refused in one line with exit code 2, and without passwords",
    arguments: [
      (
        ["--roles", "api,boss"],
        "server.roles = \"api,boss\" (--roles): must name one or more of api, scheduler, worker, notifier"
      ),
      (
        ["--database", "postgress://app:hush@db/x"],
        "database.url = \"postgress://app:(hidden)@db/x\" (--database): must be sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE; did you mean postgres:?"
      ),
    ])
  func refused(arguments: [String], line: String) async throws {
    for command in [["serve"], ["config", "check"], ["migrate", "status"]] {
      let run = try await Program.run(command + arguments, server: "")
      #expect(run.status == 2)
      #expect(run.errors == "martlet: \(line)\n")
    }
  }

  @Test("config show hides a database's password")
  func hidden() async throws {
    for format in [[], ["--json"]] {
      let run = try await Program.run(
        ["config", "show"] + format, server: "", environment: ["MARTLET_DATABASE_URL": "postgres://app:hush@db/x"])
      #expect(run.status == 0)
      #expect(run.output.contains("postgres://app:(hidden)@db/x"))
      #expect(!run.output.contains("hush"))
    }
  }

  @Test("a PostgreSQL server that is not there is told in one line with exit code 1, without the password")
  func unreachable() async throws {
    for command in [["serve", "--port", "0"], ["migrate", "status"], ["migrate", "up"], ["serve", "--no-migrate"]] {
      let run = try await Program.run(command + ["--database", "postgres://app:hush@127.0.0.1:1/x"], server: "")
      #expect(run.status == 1)
      #expect(run.errorLines.count == 1)
      #expect(run.errors.hasPrefix("martlet: ") && run.errors.contains("127.0.0.1"))
      #expect(!run.errors.contains("hush") && run.output.isEmpty)
    }
  }
}

/// A server that is running.
private struct StartedProgram {
  let banner: String
  private let process: Process
  private let ended: AsyncStream<Int32>

  static func start(_ arguments: [String], environment: [String: String] = [:]) async throws -> StartedProgram {
    let process = Process()
    process.executableURL = try Program.executable()
    process.arguments = arguments
    process.environment = environment
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    let (ended, end) = AsyncStream<Int32>.makeStream()
    process.terminationHandler = {
      end.yield($0.terminationReason == .exit ? $0.terminationStatus : -$0.terminationStatus)
      end.finish()
    }
    let (chunks, chunk) = AsyncStream<Data>.makeStream()
    output.fileHandleForReading.readabilityHandler = { handle in
      let data = handle.availableData
      if data.isEmpty { chunk.finish() } else { chunk.yield(data) }
    }
    try process.run()
    var banner = ""
    for await data in chunks {
      banner += String(decoding: data, as: UTF8.self)
      if banner.hasSuffix("\n") { break }  // it comes in one piece
    }
    output.fileHandleForReading.readabilityHandler = nil
    return StartedProgram(banner: banner, process: process, ended: ended)
  }

  func stop() async -> Int32? {
    process.terminate()
    return await ended.first { _ in true }
  }
}
