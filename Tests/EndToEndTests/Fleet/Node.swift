// A node of a fleet: a server that is killed, frozen and started again, as whoever keeps servers running would do.

internal import Foundation
internal import Synchronization

final class Node: Sendable {
  let name: String
  private let executable: String
  private let environment: [String: String]
  private let place: Network.Place?
  private let scene: Scene
  /// Instead of the executable of this package.
  private let other = Mutex<URL?>(nil)
  private let lives = Mutex<[Life]>([])

  private struct Life {
    let program: Program
    var api: API?
  }

  /// - Parameters:
  ///   - roles: as in `--roles`.
  ///   - executable: `TestServer` also has handlers that misbehave.
  ///   - place: where in a network it is; nil for the machine itself.
  init(
    _ name: String, roles: String, database: String, executable: String, at place: Network.Place? = nil, in scene: Scene
  ) {
    self.name = name
    self.executable = executable
    self.place = place
    self.scene = scene
    let environment = [
      "MARTLET_SERVER_PORT": "0", "MARTLET_SERVER_ROLES": roles, "MARTLET_DATABASE_URL": database,
      "MARTLET_WORKERS_CONCURRENCY": "8",
      // Receivers of the tests are on this machine, and not every node is asked by it alone.
      "MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS": "true",
    ]
    self.environment = environment.merging(place?.settings ?? [:]) { $1 }
  }

  /// Until it serves. A database that cannot be reached ends it, and it is started again.
  func start(_ settings: [String: String] = [:]) async throws {
    try await eventually("\(name) serves") {
      let url = try other.withLock(\.self) ?? Tool.built(executable)
      let command = [url.path] + (executable == "martlet" ? ["serve"] : [])
      let program = try scene.start(command, at: place, environment: environment.merging(settings) { $1 })
      lives.withLock { $0.append(Life(program: program)) }
      let serves = try await eventually("\(name) serves, or ends") { () -> Bool? in
        if program.hasEnded != nil { return false }
        return program.bannerValue("database") == nil ? nil : true
      }
      if serves, let address = program.bannerValue("address") {
        lives.withLock { $0[$0.count - 1].api = API(address: address, key: place == nil ? nil : Network.key) }
      }
      return serves
    }
  }

  /// Has the next start take this program; nil for the one of this package.
  func takes(_ program: URL?) { other.withLock { $0 = program } }

  /// It has no handlers of tests.
  var isPlain: Bool { executable == "martlet" }

  private var program: Program? { lives.withLock(\.last?.program) }

  /// Of a node with the role `api`, once it has served; also while it is dead.
  var api: API? { lives.withLock(\.last?.api) }
  /// How often it was started.
  var lifeCount: Int { lives.withLock(\.count) }
  var isAlive: Bool { program.map { $0.hasEnded == nil } ?? false }
  /// Part of its worker's id.
  var processID: Int32 { program?.processID ?? 0 }

  func signal(_ number: Int32) { program?.signal(number) }

  func kill() async throws {
    signal(SIGKILL)
    _ = try await program?.ended()
  }

  /// SIGTERM, and drained.
  func stop() async throws -> Ending? {
    signal(SIGTERM)
    return try await program?.ended()
  }

  /// How many lines of its log have all these texts, in this life or in all.
  func lines(with texts: String..., inAllLives: Bool = false) -> Int {
    let programs = lives.withLock { $0.map(\.program) }
    return (inAllLives ? programs[...] : programs.suffix(1)).reduce(0) { sum, program in
      sum + program.errorLines.count { line in texts.allSatisfy { line.contains($0) } }
    }
  }
}
