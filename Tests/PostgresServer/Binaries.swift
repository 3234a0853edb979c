// Where PostgreSQL's programs are, and how they are run: the server not as root, since it refuses that.

internal import ChildProcess
internal import Foundation

struct Binaries: Sendable {
  let folder: URL
  /// A command that starts each of them, such as `nsenter` with its options; empty for none.
  var through: [String] = []

  private static let oldest = 14
  /// Who runs the server where root runs the tests.
  private static let account = "postgres"
  private static var isRoot: Bool { geteuid() == 0 }

  /// Debian keeps the versions side by side and out of the PATH.
  static func find() throws -> Binaries {
    let versions = URL(fileURLWithPath: "/usr/lib/postgresql")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: versions.path)) ?? []
    var folders = names.compactMap(Int.init).filter { $0 >= oldest }.sorted(by: >)
      .map { versions.appendingPathComponent("\($0)/bin") }
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    folders += path.split(separator: ":").map { URL(fileURLWithPath: String($0)) }
    let found = folders.first { folder in
      ["initdb", "postgres", "psql"].allSatisfy { hasProgram($0, in: folder) }
    }
    guard let found else {
      throw PostgresFailed(what: "PostgreSQL \(oldest) or newer is missing: scripts/setup --test installs it", log: "")
    }
    return Binaries(folder: found)
  }

  private static func hasProgram(_ name: String, in folder: URL) -> Bool {
    FileManager.default.isExecutableFile(atPath: folder.appendingPathComponent(name).path)
  }

  /// Makes folders the server's own.
  func giveToServer(_ folders: [URL]) throws {
    guard Self.isRoot else { return }
    guard let account = getpwnam(Self.account)?.pointee else {
      throw PostgresFailed(what: "the account \(Self.account) is missing: scripts/setup --test makes it", log: "")
    }
    for folder in folders where chown(folder.path, account.pw_uid, account.pw_gid) != 0 {
      throw PostgresFailed(
        what: "cannot give \(folder.path) to \(Self.account): \(String(cString: strerror(errno)))", log: "")
    }
  }

  func spawn(_ program: String, _ arguments: [String], output: URL, errors: URL) throws -> Child {
    try Child(through + [folder.appendingPathComponent(program).path] + arguments, output: output, errors: errors)
  }

  /// As the account that owns the data, in a folder that this account may enter; both outputs go to one file.
  func spawn(asServer program: String, _ arguments: [String], in place: URL, output: URL) throws -> Child {
    let account = ["setpriv", "--reuid=\(Self.account)", "--regid=\(Self.account)", "--init-groups"]
    // Each becomes the next: the process is PostgreSQL's own in the end.
    let command = through + ["/usr/bin/env", "-C", place.path] + (Self.isRoot ? account : [])
    return try Child(
      command + [folder.appendingPathComponent(program).path] + arguments, output: output, errors: output)
  }
}
