// A real PostgreSQL of the tests' own, as a process beside the test program: a cluster in a folder, a port on the
// loopback, no password. Tests of the store share one; those that stop, starve or break a database start another.

internal import ChildProcess
package import Foundation
internal import Synchronization

package final class PostgresServer: Sendable {
  /// How a server is told to stop.
  package enum StopMode: Sendable {
    /// Ends transactions and leaves (SIGINT).
    case fast
    /// Waits for clients to leave (SIGTERM).
    case smart
    /// Drops everything, as a crash would: the next start recovers (SIGQUIT).
    case immediate
  }

  package let port: Int
  package let dataFolder: URL
  package let logFile: URL

  /// The superuser; no password.
  package static let user = "app"

  private let binaries: Binaries
  private let folder: URL
  private let settings: [String: String]
  private let undertaker: Undertaker
  private let postmaster = Mutex<Child?>(nil)

  private static let theShared = Task {
    try await start(durable: false, settings: ["max_connections": "1500"])
  }

  /// One for the whole test program, started at first use. It does not wait for the disk.
  package static var shared: PostgresServer {
    get async throws { try await theShared.value }
  }

  /// A new cluster. It is removed when its last reference is gone, at the latest with the test program.
  /// - Parameters:
  ///   - durable: false where no test of durability is meant: nothing waits for the disk.
  ///   - folder: where its data goes; nil for a temporary folder.
  ///   - settings: as in `postgresql.conf`.
  ///   - through: a command that starts its programs, such as `nsenter` with its options.
  package static func start(
    durable: Bool = true, folder: URL? = nil, settings: [String: String] = [:], through: [String] = []
  ) async throws -> PostgresServer {
    var binaries = try Binaries.find()
    binaries.through = through
    let server = try PostgresServer(
      binaries: binaries, dataParent: folder,
      settings: [
        "fsync": durable ? "on" : "off", "max_connections": "200", "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "", "log_line_prefix": "%m [%p] %a ",
      ].merging(settings) { $1 })
    do {
      try await server.createCluster()
      try await server.startAgain()
    } catch {
      await server.remove()
      throw error
    }
    return server
  }

  /// A standby that streams from `primary` and is called `name` there, until it is promoted.
  package static func standby(of primary: PostgresServer, named name: String) async throws -> PostgresServer {
    let server = try PostgresServer(
      binaries: primary.binaries, dataParent: nil, settings: primary.settings.merging(["cluster_name": name]) { $1 })
    do {
      try await server.copyCluster(of: primary)
      try await server.startAgain()
    } catch {
      await server.remove()
      throw error
    }
    return server
  }

  private init(binaries: Binaries, dataParent: URL?, settings: [String: String]) throws {
    self.binaries = binaries
    self.settings = settings
    port = try freePort()
    folder = URL(fileURLWithPath: NSTemporaryDirectory()).resolvingSymlinksInPath()
      .appendingPathComponent("martlet-postgres-\(UUID())")
    logFile = folder.appendingPathComponent("postgres.log")
    dataFolder = (dataParent ?? folder).appendingPathComponent("data")
    for folder in [folder, dataFolder] {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }
    undertaker = try Undertaker(Self.burial, [dataFolder, folder, dataFolder])
    try binaries.giveToServer([folder, dataFolder])
  }

  /// The server's own file names its process; it is gone where the server has stopped.
  private static let burial = """
    if read -r id 2>/dev/null <"$1/postmaster.pid"; then
      kill -CONT "$id"; kill -QUIT "$id"
      tries=100
      while [ "$tries" -gt 0 ] && kill -0 "$id"; do tries=$((tries - 1)); sleep 0.1; done
    fi
    shift
    rm -rf "$@"
    """

  deinit { undertaker.dismiss() }

  private func createCluster() async throws {
    let child = try binaries.spawn(
      asServer: "initdb",
      ["-D", dataFolder.path, "-U", Self.user, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
      in: folder, output: logFile)
    guard await child.ended() == 0 else { throw PostgresFailed(what: "initdb failed", log: log) }
  }

  private func copyCluster(of primary: PostgresServer) async throws {
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: dataFolder.path)
    let child = try binaries.spawn(
      asServer: "pg_basebackup",
      [
        "-D", dataFolder.path, "-h", "127.0.0.1", "-p", "\(primary.port)", "-U", Self.user, "-X", "stream", "-c",
        "fast",
        "--write-recovery-conf", "--no-sync",
      ], in: folder, output: logFile)
    guard await child.ended() == 0 else { throw PostgresFailed(what: "pg_basebackup failed", log: log) }
  }

  private var log: String { (try? String(contentsOf: logFile, encoding: .utf8)) ?? "" }

  // MARK: Coming and going

  /// Starts it, with the same data and port as before, and waits until it answers.
  package func startAgain() async throws {
    let arguments = settings.merging(["port": "\(port)"]) { $1 }.sorted { $0.key < $1.key }
      .flatMap { ["-c", "\($0.key)=\($0.value)"] }
    let child = try binaries.spawn(
      asServer: "postgres", ["-D", dataFolder.path] + arguments, in: folder, output: logFile)
    postmaster.withLock { $0 = child }
    while try await run("pg_isready", ["-q", "-t", "1"]).status != 0 {
      guard child.status == nil else { throw PostgresFailed(what: "postgres did not start", log: log) }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// Stops it, and waits until it is gone.
  package func stop(_ mode: StopMode) async throws {
    switch mode {
    case .fast: signal(SIGINT)
    case .smart: signal(SIGTERM)
    case .immediate: signal(SIGQUIT)
    }
    await ended()
  }

  /// Waits until it is gone, by whatever cause.
  package func ended() async {
    _ = await postmaster.withLock(\.self)?.ended()
  }

  package var isRunning: Bool {
    postmaster.withLock { $0.map { $0.status == nil } ?? false }
  }

  /// To the postmaster; what halts and what resumes it goes to all its processes.
  package func signal(_ number: Int32) {
    postmaster.withLock { postmaster in
      guard let postmaster, postmaster.status == nil else { return }
      postmaster.signal(number)
      if number == SIGSTOP || number == SIGCONT { postmaster.signalChildren(number) }
    }
  }

  /// Stops it and removes its files, for good.
  package func remove() async {
    signal(SIGCONT)
    try? await stop(.immediate)
    await undertaker.bury()
  }

  // MARK: Its databases

  package func url(database: String = "postgres", user: String = PostgresServer.user) -> String {
    "postgres://\(user)@127.0.0.1:\(port)/\(database)"
  }

  /// An empty database of a name that no other has; its URL.
  package func createDatabase() async throws -> String {
    let name = "test_" + UUID().uuidString.lowercased().filter { $0 != "-" }
    _ = try await query("CREATE DATABASE \(name)")
    return url(database: name)
  }

  /// What `psql` reads: rows of columns, NULL as an empty one.
  package func query(
    _ sql: String, database: String = "postgres", user: String = PostgresServer.user
  ) async throws -> [[String]] {
    let (status, output, errors) = try await run(
      "psql",
      [
        "-X", "-q", "-A", "-t", "-F", "\u{1F}", "-R", "\u{1E}", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database,
        "-c", sql,
      ])
    guard status == 0 else { throw PostgresFailed(what: "psql: \(errors)", log: "") }
    let text = output.hasSuffix("\n") ? output.dropLast() : output[...]
    return text.isEmpty
      ? []
      : text.split(separator: "\u{1E}", omittingEmptySubsequences: false)
        .map { $0.split(separator: "\u{1F}", omittingEmptySubsequences: false).map(String.init) }
  }

  /// Runs one of PostgreSQL's programs against it.
  package func run(
    _ program: String, _ arguments: [String]
  ) async throws -> (status: Int32, output: String, errors: String) {
    let files = ["out", "err"].map { folder.appendingPathComponent("\(UUID()).\($0)") }
    defer { for file in files { try? FileManager.default.removeItem(at: file) } }
    let child = try binaries.spawn(
      program, ["-h", "127.0.0.1", "-p", "\(port)"] + arguments, output: files[0], errors: files[1])
    let status = await child.ended()
    let texts = try files.map { String(decoding: try Data(contentsOf: $0), as: UTF8.self) }
    return (status, texts[0], texts[1])
  }
}

package struct PostgresFailed: Error, CustomStringConvertible {
  package let what: String
  package let log: String
  package var description: String { log.isEmpty ? what : "\(what); its log ends:\n\(log.suffix(2000))" }
}
