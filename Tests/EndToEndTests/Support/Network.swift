// A network of a scene's own, of namespaces of the kernel: places with an address each, on one switch that also reaches the test
// program. Packets from one place to another can be made to vanish without a word, as when something in the middle of a network
// breaks: connections hang, and nobody is told anything. Only root can make it.

internal import ChildProcess
internal import Foundation
internal import PostgresServer
internal import Synchronization

final class Network: Sendable {
  struct Place: Sendable, Hashable {
    let namespace: String
    let address: String

    /// What starts a program there, as the process that it becomes.
    func entrance() throws -> [String] {
      [try Tool.installed("nsenter").path, "--net=/run/netns/\(namespace)"]
    }

    /// Of a server there: it is no loopback, so it asks who one is.
    var settings: [String: String] {
      ["MARTLET_SERVER_HOST": address, "MARTLET_AUTH_BOOTSTRAP_KEY": Network.key]
    }
  }

  /// Of the servers in all places.
  static let key = "the-key-of-all-servers-in-a-network-of-tests"

  private let scene: Scene
  private let name: String
  private let subnet: String
  private let places: [String: Place]
  private let losses = Mutex<Set<Loss>>([])
  private let undertaker: Undertaker

  private struct Loss: Hashable {
    let sender: Place
    let receiver: Place
  }

  /// No card has it, so what is sent to it arrives nowhere.
  private static let nobody = "02:00:00:00:00:00"

  private static let burial = """
    PATH=$PATH:/usr/sbin:/sbin
    for place in "$@"; do
      for process in $(ip netns pids "${place##*/}"); do kill -9 "$process"; done
      ip netns del "${place##*/}"
    done
    """

  init(_ names: [String], in scene: Scene) throws {
    self.scene = scene
    let name = "mt" + String(UInt32.random(in: 0 ... .max), radix: 16)
    // Of the addresses that are meant for tests of networks, and used by nobody.
    let subnet = "198.\(Int.random(in: 18...19)).\(Int.random(in: 0...255))"
    places = Dictionary(
      uniqueKeysWithValues: names.enumerated().map { number, place in
        (place, Place(namespace: "\(name)-\(place)", address: "\(subnet).\(number + 2)"))
      })
    self.name = name
    self.subnet = subnet
    let namespaces = places.values.map(\.namespace) + ["\(name)-switch"]
    undertaker = try Undertaker(Self.burial, namespaces.map { URL(fileURLWithPath: "/run/netns/\($0)") })
  }

  func build() async throws {
    let heart = "\(name)-switch"
    try await ip("netns", "add", heart)
    try await ip("-n", heart, "link", "add", "switch", "type", "bridge")
    try await ip("-n", heart, "link", "set", "switch", "up")
    // Deleted together with the switch, whose end it is.
    try await ip("link", "add", name, "type", "veth", "peer", "name", "outside", "netns", heart)
    try await ip("addr", "add", "\(subnet).1/24", "dev", name)
    try await ip("link", "set", name, "up")
    try await ip("-n", heart, "link", "set", "outside", "master", "switch", "up")
    for (number, place) in places.values.enumerated() {
      let there = place.namespace
      try await ip("netns", "add", there)
      try await ip("-n", heart, "link", "add", "port\(number)", "type", "veth", "peer", "name", "card", "netns", there)
      try await ip("-n", heart, "link", "set", "port\(number)", "master", "switch", "up")
      try await ip("-n", there, "addr", "add", "\(place.address)/24", "dev", "card")
      try await ip("-n", there, "link", "set", "card", "up")
      try await ip("-n", there, "link", "set", "lo", "up")
    }
  }

  func remove() async { await undertaker.bury() }

  subscript(name: String) -> Place { places[name]! }

  // MARK: Faults

  /// Nothing that `sender` sends reaches `receiver` any more; the other way goes on.
  func lose(from sender: Place, to receiver: Place) async throws {
    losses.withLock { _ = $0.insert(Loss(sender: sender, receiver: receiver)) }
    try await ip(
      "-n", sender.namespace, "neigh", "replace", receiver.address, "lladdr", Self.nobody, "nud", "permanent", "dev",
      "card")
  }

  func cut(_ one: Place, _ other: Place) async throws {
    try await lose(from: one, to: other)
    try await lose(from: other, to: one)
  }

  /// Everybody reaches everybody again.
  func heal() async throws {
    let lost = losses.withLock { losses in
      defer { losses = [] }
      return losses
    }
    for loss in lost {
      try await ip("-n", loss.sender.namespace, "neigh", "del", loss.receiver.address, "dev", "card")
    }
  }

  private func ip(_ arguments: String...) async throws {
    try await scene.system("ip", arguments)
  }
}

extension Scene {
  /// Starts a program in a place of a network, or where that is nil on the machine itself.
  func start(_ command: [String], at place: Network.Place?, environment: [String: String] = [:]) throws -> Program {
    let command = try (place?.entrance() ?? []) + command
    return try start(URL(fileURLWithPath: command[0]), Array(command.dropFirst()), environment: environment)
  }

  /// A PostgreSQL in a place, which lets everybody in.
  func postgres(at place: Network.Place, settings: [String: String] = [:]) async throws -> PostgresServer {
    let there = ["listen_addresses": "*"].merging(settings) { $1 }
    let postgres = try await postgres(settings: there, through: place.entrance())
    let rules = postgres.dataFolder.appendingPathComponent("pg_hba.conf")
    let rest = try String(contentsOf: rules, encoding: .utf8)
    try Data(("host all all all trust\n" + rest).utf8).write(to: rules)
    _ = try await postgres.query("SELECT pg_reload_conf()")
    return postgres
  }
}
