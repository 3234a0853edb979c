// Other programs that the tests need beside a database.

internal import ChildProcess
internal import Foundation
internal import PostgresServer

/// Runs a program to its end.
func runProgram(_ path: String, _ arguments: [String]) async throws {
  let status = try await Child([path] + arguments).ended()
  guard status == 0 else { throw ChildFailed(description: "\(path) ended with \(status)") }
}

/// A PgBouncer in transaction mode before a server.
final class PgBouncer {
  let port: Int
  private let folder: URL
  private let lifeline = Pipe()

  /// Ends what it was given once its input does, which is also when the test program is killed. It has the test program's
  /// blocked signals: only KILL is sure to arrive, and no child's end is heard of.
  private static let keeper = """
    folder=$1; shift
    "$@" >"$folder/log" 2>&1 &
    read -r _
    kill -KILL $!; rm -rf "$folder"
    """

  /// - Parameter sessions: so many of the server's sessions are shared by all clients.
  init(before server: PostgresServer, sessions: Int) throws {
    port = try freePort()
    folder = FileManager.default.temporaryDirectory.resolvingSymlinksInPath()
      .appendingPathComponent("martlet-pgbouncer-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try "\"\(PostgresServer.user)\" \"\"\n"
      .write(to: folder.appendingPathComponent("users"), atomically: true, encoding: .utf8)
    try """
    [databases]
    * = host=127.0.0.1 port=\(server.port)
    [pgbouncer]
    listen_addr = 127.0.0.1
    listen_port = \(port)
    unix_socket_dir =
    auth_type = trust
    auth_file = \(folder.path)/users
    pool_mode = transaction
    default_pool_size = \(sessions)
    """.write(to: folder.appendingPathComponent("ini"), atomically: true, encoding: .utf8)
    var command = ["/usr/sbin/pgbouncer", folder.appendingPathComponent("ini").path]
    if geteuid() == 0 {  // it refuses to run as root
      command = ["/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] + command
    }
    _ = fcntl(lifeline.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
    _ = try Child(
      ["/bin/sh", "-c", Self.keeper, "sh", folder.path] + command, input: lifeline.fileHandleForReading.fileDescriptor)
  }

  func url(_ database: String, parameters: String = "") -> String {
    "postgres://\(PostgresServer.user)@127.0.0.1:\(port)/\(database)\(parameters)"
  }

  deinit {
    try? lifeline.fileHandleForWriting.close()
  }
}
