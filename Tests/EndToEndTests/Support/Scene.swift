// What a test plays in: a folder of its own, the programs that it starts there and the file systems that it mounts.
// All are gone at the end, however it comes; where the test failed, what the servers said is printed first.

internal import Foundation
internal import PostgresServer
internal import Synchronization
internal import Testing

struct Scene: Sendable {
  let folder: URL
  private let cast = Cast()

  /// Started servers and mounts, to be cleared away.
  private final class Cast: Sendable {
    let programs = Mutex<[Program]>([])
    let databases = Mutex<[PostgresServer]>([])
    let mounts = Mutex<[URL]>([])
    let networks = Mutex<[Network]>([])
  }

  static func play(_ body: (Scene) async throws -> Void) async throws {
    let folder = URL(fileURLWithPath: NSTemporaryDirectory()).resolvingSymlinksInPath()
      .appendingPathComponent("martlet-\(UUID())")
    for name in [".", "output"] {
      try FileManager.default.createDirectory(
        at: folder.appendingPathComponent(name), withIntermediateDirectories: true)
    }
    let scene = Scene(folder: folder)
    do {
      try await body(scene)
    } catch {
      scene.tellWhatServersSaid()
      await scene.clear()
      throw error
    }
    await scene.clear()
  }

  private init(folder: URL) {
    self.folder = folder
  }

  /// A file of the scene.
  func file(_ name: String) -> URL { folder.appendingPathComponent(name) }

  // MARK: Programs

  /// Runs a program to its end.
  func run(
    _ executable: URL, _ arguments: [String], environment: [String: String] = [:],
    within limit: Duration = .seconds(300)
  ) async throws -> (ending: Ending, program: Program) {
    let program = try start(executable, arguments, environment: environment)
    return (try await program.ended(within: limit), program)
  }

  /// Runs a command of `martlet` to its end.
  func martlet(
    _ arguments: [String], environment: [String: String] = [:]
  ) async throws -> (ending: Ending, program: Program) {
    try await run(Tool.built("martlet"), arguments, environment: environment)
  }

  func start(_ executable: URL, _ arguments: [String], environment: [String: String] = [:]) throws -> Program {
    let program = try Program(
      executable, arguments, environment: environment, folder: folder, files: file("output"))
    cast.programs.withLock { $0.append(program) }
    return program
  }

  // MARK: Servers

  /// Starts `martlet serve` on a free port and waits until it serves.
  /// - Parameter files: how many it may have open; nil leaves it at what this process may.
  func serve(
    _ arguments: [String] = [], environment: [String: String] = [:], files: Int? = nil
  ) async throws -> Server {
    let (program, all) = (try Tool.built("martlet"), ["serve", "--port", "0"] + arguments)
    guard let files else { return try await server(program, all, environment: environment) }
    return try await server(
      Tool.installed("prlimit"), ["--nofile=\(files):\(files)", program.path] + all, environment: environment)
  }

  /// The same with another program that is a server, set by its environment.
  func serve(
    by program: String, _ arguments: [String] = [], environment: [String: String] = [:]
  ) async throws -> Server {
    let port = ["MARTLET_SERVER_PORT": "0"]
    return try await server(Tool.built(program), arguments, environment: port.merging(environment) { $1 })
  }

  private func server(
    _ executable: URL, _ arguments: [String], environment: [String: String]
  ) async throws -> Server {
    let program = try start(executable, arguments, environment: environment)
    let address = try await eventually("\(program.name) serves") {
      if let ending = program.hasEnded { throw Server.DidNotStart(ending: ending, errors: program.errors) }
      return program.bannerValue("address")
    }
    return Server(program: program, api: API(address: address))
  }

  /// Starts a PostgreSQL of the scene's own.
  func postgres(
    durable: Bool = true, folder: URL? = nil, settings: [String: String] = [:], through: [String] = []
  ) async throws -> PostgresServer {
    let postgres = try await PostgresServer.start(
      durable: durable, folder: folder, settings: settings, through: through)
    cast.databases.withLock { $0.append(postgres) }
    return postgres
  }

  /// Starts one that follows another, until it is promoted.
  func standby(of primary: PostgresServer, named name: String) async throws -> PostgresServer {
    let standby = try await PostgresServer.standby(of: primary, named: name)
    cast.databases.withLock { $0.append(standby) }
    return standby
  }

  // MARK: Networks

  /// Places with an address each, between which packets can be lost. Only root can make them.
  func network(_ places: [String]) async throws -> Network {
    let network = try Network(places, in: self)
    cast.networks.withLock { $0.append(network) }
    try await network.build()
    return network
  }

  // MARK: File systems

  /// A small file system in memory. Only root can mount.
  func mount(megabytes: Int) async throws -> URL {
    let point = file("mount-\(UUID())")
    try FileManager.default.createDirectory(at: point, withIntermediateDirectories: true)
    try await system("mount", ["-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", point.path])
    cast.mounts.withLock { $0.append(point) }
    return point
  }

  /// A disk of its own, whose power can be cut.
  func disk(megabytes: Int) async throws -> Disk {
    let disk = Disk(image: file("disk-\(UUID())"), point: file("mount-\(UUID())"))
    try FileManager.default.createDirectory(at: disk.point, withIntermediateDirectories: true)
    try Data().write(to: disk.image)
    try await system("truncate", ["-s", "\(megabytes)M", disk.image.path])
    try await system("mkfs.ext4", ["-q", "-F", disk.image.path])
    try await mount(disk)
    return disk
  }

  func mount(_ disk: Disk) async throws {
    try await system("mount", ["-o", "loop", disk.image.path, disk.point.path])
    cast.mounts.withLock { $0.append(disk.point) }
  }

  func unmount(_ disk: Disk) async throws {
    try await system("umount", [disk.point.path])
    cast.mounts.withLock { $0.removeAll { $0 == disk.point } }
  }

  /// Runs a tool of the system that has to succeed; its output.
  @discardableResult
  func system(_ name: String, _ arguments: [String]) async throws -> String {
    let (ending, program) = try await run(Tool.installed(name), arguments)
    guard ending == .exited(0) else {
      throw ToolFailed(command: ([name] + arguments).joined(separator: " "), errors: program.errors)
    }
    return program.output
  }

  struct ToolFailed: Error, CustomStringConvertible {
    let command: String
    let errors: String
    var description: String { "`\(command)` failed (some tests must be root): \(errors)" }
  }

  // MARK: Refusals

  /// Runs a command of `martlet` that has to fail: nothing on stdout, one line on stderr, and the exit code.
  func refuses(
    _ arguments: [String], _ message: String, status: Int32 = 1, environment: [String: String] = [:],
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    let (ending, program) = try await martlet(arguments, environment: environment)
    let lines = program.errorLines
    #expect(ending == .exited(status), "\(arguments)", sourceLocation: sourceLocation)
    #expect(program.output == "", "\(arguments)", sourceLocation: sourceLocation)
    #expect(
      lines.count == 1 && lines[0].hasPrefix("martlet: ") && lines[0].lowercased().contains(message.lowercased()),
      "\(arguments): \(lines)", sourceLocation: sourceLocation)
  }

  // MARK: The end

  private func tellWhatServersSaid() {
    for program in cast.programs.withLock(\.self) where !program.errors.isEmpty {
      print("\(program.name) said:\n\(program.errors.suffix(4000))")
    }
  }

  private func clear() async {
    let programs = cast.programs.withLock(\.self)
    for program in programs { program.signal(SIGKILL) }
    for program in programs { await expectNoError { _ = try await program.ended() } }
    for database in cast.databases.withLock(\.self) { await database.remove() }
    for network in cast.networks.withLock(\.self) { await network.remove() }
    for mount in cast.mounts.withLock(\.self) { await expectNoError { try await system("umount", [mount.path]) } }
    await expectNoError { try FileManager.default.removeItem(at: folder) }
  }

  private func expectNoError(_ body: () async throws -> Void) async {
    do { try await body() } catch { Issue.record(error, "could not clear the scene away") }
  }
}

/// A program that serves the API.
struct Server: Sendable {
  let program: Program
  let api: API

  /// The database, as the banner names it.
  var database: String? { program.bannerValue("database") }

  /// SIGSTOP: it does nothing more.
  func freeze() { program.signal(SIGSTOP) }

  /// SIGKILL, and gone.
  func kill() async throws {
    program.signal(SIGKILL)
    _ = try await program.ended()
  }

  /// SIGTERM, and drained.
  func stop() async throws -> Ending {
    program.signal(SIGTERM)
    return try await program.ended()
  }

  struct DidNotStart: Error, CustomStringConvertible {
    let ending: Ending
    let errors: String
    var description: String { "the server did not start (\(ending)): \(errors)" }
  }
}

extension Program {
  /// What the banner says after a name.
  func bannerValue(_ name: String) -> String? {
    output.split(separator: "\n").lazy
      .map { $0.split(separator: " ", maxSplits: 1) }
      .first { $0.count == 2 && $0[0] == name }
      .map { $0[1].trimmingCharacters(in: .whitespaces) }
  }
}
