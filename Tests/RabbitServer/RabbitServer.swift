// A real RabbitMQ of the tests' own, as a process beside the test program: a node in a folder, free ports on the loopback, an epmd
// (the name service of Erlang's nodes) that nobody else uses. Tests of what does no harm share one; those that stop or starve a
// broker start another.

internal import ChildProcess
package import Foundation
internal import Synchronization

package final class RabbitServer: Sendable {
  package let port: Int
  /// Where it speaks TLS, if it was started so.
  package let securePort: Int
  package let logFile: URL

  /// May do everything.
  package static let user = "app"
  /// Has what must be encoded in a URL.
  package static let password = "s/cr@t:?"
  package static let encodedPassword = "s%2Fcr%40t%3A%3F"

  private let node: RabbitNode
  private let undertaker: Undertaker
  private let processes = Mutex<(broker: Child?, epmd: Child?)>((nil, nil))

  private static let theShared = Task { try await start() }

  /// One for the whole test program, started at first use.
  package static var shared: RabbitServer {
    get async throws { try await theShared.value }
  }

  /// PEM files, for a broker that speaks TLS.
  package struct Identity: Sendable {
    let authority: URL
    let certificate: URL
    let key: URL

    package init(authority: URL, certificate: URL, key: URL) {
      self.authority = authority
      self.certificate = certificate
      self.key = key
    }
  }

  /// A new broker without queues. It is removed when its last reference is gone, at the latest with the test program.
  package static func start(_ identity: Identity? = nil) async throws -> RabbitServer {
    let server = try RabbitServer(identity)
    do {
      try await server.startAgain()
    } catch {
      await server.remove()
      throw error
    }
    return server
  }

  private init(_ identity: Identity?) throws {
    node = try RabbitNode()
    (port, securePort, logFile) = (node.ports.plain, node.ports.secure, node.logFile)
    undertaker = try Undertaker(RabbitNode.burial, [node.folder] + node.processFiles)
    try node.writeFiles(identity)
  }

  deinit { undertaker.dismiss() }

  // MARK: Coming and going

  /// Starts it, with the same queues and port as before, and waits until it answers.
  package func startAgain() async throws {
    let broker = try processes.withLock { processes in
      if processes.epmd == nil { processes.epmd = try node.startEpmd() }
      let broker = try node.startBroker()
      processes.broker = broker
      return broker
    }
    while !node.isListening {
      guard broker.status == nil else { throw RabbitFailed(what: "rabbitmq-server did not start", log: node.log) }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  /// Stops it as an administrator would, and waits until it is gone.
  package func stop() async {
    signal(SIGTERM)
    await ended()
  }

  /// Ends it as a crash would.
  package func kill() async {
    signal(SIGKILL)
    await ended()
  }

  private func ended() async {
    let broker = processes.withLock(\.broker)
    _ = await broker?.ended()
  }

  /// To the broker's process.
  package func signal(_ number: Int32) {
    processes.withLock { $0.broker?.signal(number) }
  }

  /// Ends it and removes its files, for good.
  package func remove() async {
    signal(SIGKILL)
    await ended()
    processes.withLock { $0.epmd?.signal(SIGTERM) }
    let epmd = processes.withLock(\.epmd)
    _ = await epmd?.ended()
    await undertaker.bury()
  }

  // MARK: What is in it

  package func url(
    user: String = RabbitServer.user, password: String = RabbitServer.encodedPassword, vhost: String = "%2F"
  ) -> String {
    "amqp://\(user):\(password)@localhost:\(port)/\(vhost)"
  }

  /// - Parameter certificates: a file of trusted ones.
  package func secureURL(host: String = "localhost", certificates: String) -> String {
    "amqps://\(Self.user):\(Self.encodedPassword)@\(host):\(securePort)/%2F?ca=\(certificates)"
  }

  /// Runs `rabbitmqctl`; what it prints.
  @discardableResult
  package func control(_ arguments: String...) async throws -> String {
    try await node.control(arguments)
  }

  /// Makes a virtual host of a name that no other has, for all users; its name.
  package func makeVirtualHost() async throws -> String {
    let name = "test-\(UUID().uuidString.prefix(8).lowercased())"
    try await control("add_vhost", name)
    try await control("set_permissions", "-p", name, Self.user, ".*", ".*", ".*")
    return name
  }

  /// While it is on the broker takes no messages.
  package func setMemoryAlarm(_ isOn: Bool) async throws {
    try await control("set_vm_memory_high_watermark", isOn ? "0" : "0.9")
  }
}

package struct RabbitFailed: Error, CustomStringConvertible {
  package let what: String
  package let log: String
  package var description: String { log.isEmpty ? what : "\(what); its log ends:\n\(log.suffix(2000))" }
}
