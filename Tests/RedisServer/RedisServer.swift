// A real Redis of the tests' own, as a process beside the test program: a free port of the loopback, a folder for its files. Most tests
// share one, each with an installation of its own; those that stop, pause, fill or empty one start another.

internal import ChildProcess
package import Foundation
internal import Synchronization

package final class RedisServer: Sendable {
  package let port: Int
  package let folder: URL
  /// Of the default user; nil for none.
  package let password: String?
  package let certificates: Certificates?

  private let undertaker: Undertaker
  private let process = Mutex<Child?>(nil)
  private var logFile: URL { folder.appendingPathComponent("redis.log") }
  private var configuration: URL { folder.appendingPathComponent("redis.conf") }

  private static let theShared = Task { try await start() }

  /// One for the whole test program, started at first use.
  package static var shared: RedisServer {
    get async throws { try await theShared.value }
  }

  /// A new one. It is removed when its last reference is gone, at the latest with the test program.
  /// - Parameters:
  ///   - password: of the default user.
  ///   - isTLS: with a certificate of a certificate authority made just now, and nothing but TLS.
  ///   - users: as in an ACL file: `reader on >secret ~* +get`.
  ///   - settings: lines of `redis.conf`.
  package static func start(
    password: String? = nil, isTLS: Bool = false, users: [String] = [], settings: [String] = []
  ) async throws -> RedisServer {
    let folder = URL(fileURLWithPath: NSTemporaryDirectory()).resolvingSymlinksInPath()
      .appendingPathComponent("martlet-redis-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let certificates = isTLS ? try await Certificates.make(in: folder) : nil
    let server = try RedisServer(folder, password: password, certificates: certificates)
    try server.configure(users: users, settings: settings)
    do {
      try await server.startAgain()
    } catch {
      await server.remove()
      throw error
    }
    return server
  }

  private init(_ folder: URL, password: String?, certificates: Certificates?) throws {
    self.folder = folder
    self.password = password
    self.certificates = certificates
    port = try freePort()
    undertaker = try Undertaker(Self.burial, [folder])
  }

  private static let burial = """
    if read -r id 2>/dev/null <"$1/redis.pid"; then
      kill -KILL "$id"
      tries=100
      while [ "$tries" -gt 0 ] && kill -0 "$id"; do tries=$((tries - 1)); sleep 0.1; done
    fi
    rm -rf "$1"
    """

  deinit { undertaker.dismiss() }

  private func configure(users: [String], settings: [String]) throws {
    var lines = [
      "bind 127.0.0.1", "daemonize no", "save \"\"", "dir \(folder.path)", "pidfile \(folder.path)/redis.pid",
    ]
    if let certificates {
      lines += [
        "port 0", "tls-port \(port)", "tls-auth-clients no", "tls-ca-cert-file \(certificates.ca.path)",
        "tls-cert-file \(certificates.certificate.path)", "tls-key-file \(certificates.key.path)",
      ]
    } else {
      lines.append("port \(port)")
    }
    if let password { lines.append("requirepass \"\(password)\"") }
    lines += users.map { "user \($0)" } + settings
    try lines.joined(separator: "\n").write(to: configuration, atomically: true, encoding: .utf8)
  }

  // MARK: Coming and going

  /// Starts it at the same port, and waits until it answers. Unless its settings say otherwise, it has forgotten everything.
  package func startAgain() async throws {
    let child = try Child([try program("redis-server"), configuration.path], output: logFile, errors: logFile)
    process.withLock { $0 = child }
    while true {
      let answer = try await command(["PING"])
      if answer.hasPrefix("PONG") || answer.hasPrefix("NOAUTH") { return }
      guard child.status == nil else { throw RedisFailed(what: "redis-server did not start", log: log) }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Ends it, and waits until it is gone.
  package func stop() async {
    await end(SIGTERM)
  }

  /// As a crash would.
  package func kill() async {
    await end(SIGKILL)
  }

  private func end(_ number: Int32) async {
    let child = process.withLock(\.self)
    child?.signal(SIGCONT)
    child?.signal(number)
    _ = await child?.ended()
    // Or the undertaker would take whoever has that number next for the server.
    try? FileManager.default.removeItem(at: folder.appendingPathComponent("redis.pid"))
  }

  /// It is there, and does nothing until it is resumed.
  package func pause() {
    process.withLock { $0?.signal(SIGSTOP) }
  }

  package func resume() {
    process.withLock { $0?.signal(SIGCONT) }
  }

  /// Ends it and removes its files, for good.
  package func remove() async {
    await kill()
    await undertaker.bury()
  }

  // MARK: What it holds

  package func flush() async throws {
    _ = try await command(["FLUSHALL"])
  }

  /// What `redis-cli` prints: the answer, one element a line, or the error.
  @discardableResult
  package func command(_ words: [String]) async throws -> String {
    let file = folder.appendingPathComponent("\(UUID()).out")
    defer { try? FileManager.default.removeItem(at: file) }
    var arguments = ["-h", "127.0.0.1", "-p", "\(port)"]
    if let password { arguments += ["--no-auth-warning", "-a", password] }
    if let certificates { arguments += ["--tls", "--cacert", certificates.ca.path] }
    let child = try Child([try program("redis-cli")] + arguments + words, output: file, errors: file)
    _ = await child.ended()
    let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
  }

  /// - Parameters:
  ///   - credentials: `user:password@`; nil for those of the default user.
  ///   - host: `localhost` and `127.0.0.1` stand in its certificate.
  package func url(credentials: String? = nil, host: String = "127.0.0.1", ca: String? = nil) -> String {
    let credentials = credentials ?? password.map { ":\($0)@" } ?? ""
    guard let certificates else { return "redis://\(credentials)\(host):\(port)" }
    return "rediss://\(credentials)\(host):\(port)?ca=\(ca ?? certificates.ca.path)"
  }

  private var log: String { (try? String(contentsOf: logFile, encoding: .utf8)) ?? "" }
}

package struct RedisFailed: Error, CustomStringConvertible {
  package let what: String
  package let log: String
  package var description: String { log.isEmpty ? what : "\(what); its log ends:\n\(log.suffix(2000))" }
}

/// Where a program is.
func program(_ name: String) throws -> String {
  let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
  let folders = path.split(separator: ":").map(String.init) + ["/usr/bin", "/usr/local/bin"]
  guard let found = folders.map({ "\($0)/\(name)" }).first(where: FileManager.default.isExecutableFile) else {
    throw RedisFailed(what: "\(name) is missing: scripts/setup --test installs it", log: "")
  }
  return found
}
