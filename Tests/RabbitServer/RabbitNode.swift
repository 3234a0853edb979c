// One node's folder, ports and files, and how RabbitMQ's programs are run for it: as the account that owns the folder. For
// `RabbitServer`.

internal import ChildProcess
internal import Foundation

struct RabbitNode: Sendable {
  let folder: URL
  let ports: (plain: Int, secure: Int, nodes: Int, epmd: Int)
  var logFile: URL { folder.appendingPathComponent("rabbitmq.log") }
  /// Each holds the number of a process.
  var processFiles: [URL] { ["broker", "epmd"].map { folder.appendingPathComponent("\($0).pid") } }
  var log: String {
    FileManager.default.contents(atPath: logFile.path).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// A number is believed only as long as the process still has something to do with the folder: its files may outlive it.
  static let burial = """
    folder=$1; shift
    for file in "$@"; do
      if read -r id 2>/dev/null <"$file" && [ "$(readlink "/proc/$id/cwd")" = "$folder" ]; then
        kill -KILL "$id"
        tries=100
        while [ "$tries" -gt 0 ] && kill -0 "$id"; do tries=$((tries - 1)); sleep 0.1; done
      fi
    done
    rm -rf "$folder"
    """

  private static let programs = "/usr/lib/rabbitmq/bin"
  /// Who runs the broker where root runs the tests.
  private static let account = "rabbitmq"
  private static var isRoot: Bool { geteuid() == 0 }

  init() throws {
    guard FileManager.default.isExecutableFile(atPath: "\(Self.programs)/rabbitmq-server") else {
      throw RabbitFailed(what: "RabbitMQ is missing: scripts/setup --test installs it", log: "")
    }
    ports = try (freePort(), freePort(), freePort(), freePort())
    folder = URL(fileURLWithPath: NSTemporaryDirectory()).resolvingSymlinksInPath()
      .appendingPathComponent("martlet-rabbitmq-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  func writeFiles(_ identity: RabbitServer.Identity?) throws {
    var lines = [
      "listeners.tcp.1 = 127.0.0.1:\(ports.plain)", "default_user = \(RabbitServer.user)",
      "default_pass = \(RabbitServer.password)", "loopback_users = none", "disk_free_limit.absolute = 1MB",
      "vm_memory_high_watermark.relative = 0.9", "log.console = true", "log.console.level = info",
    ]
    if let identity {
      lines.append("listeners.ssl.1 = 127.0.0.1:\(ports.secure)")
      for (name, file) in [
        ("cacertfile", identity.authority), ("certfile", identity.certificate), ("keyfile", identity.key),
      ] {
        let copy = folder.appendingPathComponent(name)
        try FileManager.default.copyItem(at: file, to: copy)
        try give(copy)
        lines.append("ssl_options.\(name) = \(copy.path)")
      }
    }
    let files = [
      "rabbitmq.conf": lines.joined(separator: "\n") + "\n", "plugins": "[].\n", "epmd.log": "", "rabbitmq.log": "",
    ]
    for (name, text) in files {
      let file = folder.appendingPathComponent(name)
      try Data(text.utf8).write(to: file)
      try give(file)
    }
    try give(folder)
  }

  private func give(_ place: URL) throws {
    guard Self.isRoot else { return }
    guard let account = getpwnam(Self.account)?.pointee else {
      throw RabbitFailed(what: "the account \(Self.account) is missing: scripts/setup --test makes it", log: "")
    }
    guard chown(place.path, account.pw_uid, account.pw_gid) == 0 else {
      throw RabbitFailed(
        what: "cannot give \(place.path) to \(Self.account): \(String(cString: strerror(errno)))", log: "")
    }
  }

  // MARK: Its programs

  func startEpmd() throws -> Child {
    try spawn(["/usr/bin/epmd", "-port", "\(ports.epmd)", "-address", "127.0.0.1"], namedBy: processFiles[1])
  }

  func startBroker() throws -> Child {
    try spawn(["\(Self.programs)/rabbitmq-server"], namedBy: processFiles[0])
  }

  func control(_ arguments: [String]) async throws -> String {
    let output = folder.appendingPathComponent("control-\(UUID())")
    defer { unlink(output.path) }
    let child = try Child(
      prefix + ["\(Self.programs)/rabbitmqctl", "--quiet"] + arguments, output: output, errors: output)
    let status = await child.ended()
    let text = String(decoding: try Data(contentsOf: output), as: UTF8.self)
    guard status == 0 else { throw RabbitFailed(what: "rabbitmqctl \(arguments.joined(separator: " "))", log: text) }
    return text
  }

  /// Each program becomes the next: the process is the broker's own in the end, and the file has its number.
  private func spawn(_ command: [String], namedBy file: URL) throws -> Child {
    try Child(
      prefix + ["/bin/sh", "-c", "echo $$ >\"$0\"; exec \"$@\"", file.path] + command, output: logFile, errors: logFile)
  }

  private var prefix: [String] {
    let account = ["/usr/bin/setpriv", "--reuid=\(Self.account)", "--regid=\(Self.account)", "--init-groups"]
    let variables = [
      "HOME": folder.path,  // the cookie by which Erlang's nodes know each other
      "RABBITMQ_NODENAME": "martlet@localhost",
      "RABBITMQ_MNESIA_BASE": folder.path + "/data",
      "RABBITMQ_LOG_BASE": folder.path + "/log",
      "RABBITMQ_LOGS": "-",
      "RABBITMQ_CONFIG_FILE": folder.path + "/rabbitmq.conf",
      "RABBITMQ_CONF_ENV_FILE": folder.path + "/none",
      "RABBITMQ_ENABLED_PLUGINS_FILE": folder.path + "/plugins",
      "RABBITMQ_DIST_PORT": "\(ports.nodes)",
      "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
      "ERL_EPMD_PORT": "\(ports.epmd)",
      "ERL_EPMD_ADDRESS": "127.0.0.1",
      "RUNNING_UNDER_SYSTEMD": "1",  // no shell stands between us and the broker
    ]
    return ["/usr/bin/env", "-C", folder.path] + variables.map { "\($0.key)=\($0.value)" }
      + (Self.isRoot ? account : [])
  }

  // MARK: Ports

  /// Whether somebody takes connections at the port for clients.
  var isListening: Bool {
    Self.withAddress(ports.plain) { descriptor, address, length in connect(descriptor, address, length) == 0 }
  }

  private static func withAddress(
    _ port: Int, _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool
  ) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }
}
