// A small broker of its own making (https://pypi.org/project/noida-db/): a process beside the test program that knows nothing of
// librdkafka, keeps what it is sent in a folder and comes back with it.

internal import ChildProcess
internal import Foundation
internal import Synchronization

package final class SmallKafka: Sendable {
  package let port: Int
  package var brokers: [String] { ["127.0.0.1:\(port)"] }
  private let folder: URL
  private let logFile: URL
  private let running = Mutex<Running?>(nil)

  /// The shell that started the broker, and our end of the socket that it reads from.
  private struct Running {
    let shell: Child
    let end: Int32
  }

  /// Lives as long as somebody holds the other end of its input: when the test program is gone, so are the broker and its files.
  private static let script = """
    trap '' HUP INT TERM
    folder=$1; shift
    "$@" </dev/null &
    id=$!
    order=remove
    read -r order
    kill "$id"; wait "$id"
    if [ "$order" != keep ]; then rm -rf "$folder"; fi
    """

  package static func start() async throws -> SmallKafka {
    let broker = try SmallKafka()
    do {
      try await broker.startAgain()
    } catch {
      await broker.end(keeping: false)
      throw error
    }
    return broker
  }

  private init() throws {
    port = try freePort()
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-kafka-\(UUID())")
    logFile = folder.appendingPathComponent("broker.log")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit {
    running.withLock { running in
      if let running { close(running.end) }
    }
  }

  /// With the port and the messages of before; returns when it takes connections.
  package func startAgain() async throws {
    let program = try Self.program()
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)  // no other child may hold our end
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw KafkaBrokerFailed(what: "no socket pair", log: "") }
    defer { close(ends[0]) }
    let command = [
      program, "start", "--only", "kafka", "--kafka-port", "\(port)",
      "--data-dir", folder.appendingPathComponent("data").path,
    ]
    let shell = try Child(
      ["/bin/sh", "-c", Self.script, "sh", folder.path] + command, input: ends[0], output: logFile, errors: logFile)
    running.withLock { [end = ends[1]] in $0 = Running(shell: shell, end: end) }
    let deadline = ContinuousClock.now + .seconds(300)
    while !Self.takesConnections(at: port) {
      guard ContinuousClock.now < deadline else { throw KafkaBrokerFailed(what: "the broker did not start", log: log) }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// Its messages stay.
  package func stop() async {
    await end(keeping: true)
  }

  /// For good.
  package func remove() async {
    await end(keeping: false)
  }

  private func end(keeping: Bool) async {
    let last = running.withLock { running in
      defer { running = nil }
      return running
    }
    guard let last else { return }
    if keeping { _ = "keep\n".withCString { write(last.end, $0, 5) } }
    close(last.end)
    _ = await last.shell.ended()
  }

  private var log: String { (try? String(contentsOf: logFile, encoding: .utf8)) ?? "" }

  // MARK: - Where it is

  /// In the virtual environment that `scripts/setup --test` makes.
  private static func program() throws -> String {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let libraries = root.appendingPathComponent(".build/noida-db/lib")
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: libraries.path)) ?? []
    for version in versions {
      let program = libraries.appendingPathComponent("\(version)/site-packages/noida_db/noida-db").path
      guard FileManager.default.fileExists(atPath: program) else { continue }
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
      return program
    }
    throw KafkaBrokerFailed(what: "noida-db is missing in \(libraries.path): scripts/setup --test installs it", log: "")
  }

  private static func takesConnections(at port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}
