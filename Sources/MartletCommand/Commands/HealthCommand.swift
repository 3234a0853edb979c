// `martlet health`: whether the node here can serve. Containers ask by it, which have no other program to ask with.

internal import ArgumentParser
internal import Foundation
internal import Martlet
internal import MartletClient

struct HealthCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health", abstract: "Say whether the node on this machine can serve; exit 0 only if it can.",
    discussion: """
      Reads the settings as `martlet serve` does and asks the node that they make, within five seconds, at the loopback address \
      where it listens everywhere. Needs no credential.
      """)

  @Flag(help: "Ask only whether the process answers, whatever its database does.")
  var live = false

  @Option(help: ArgumentHelp("Ask this server instead (or MARTLET_SERVER).", valueName: "url"))
  var server: String?

  @OptionGroup var settings: SettingsOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    var options = MartletClient.Options()
    options.retries = .none
    options.requestTimeout = .seconds(5)
    let named = server ?? ProcessInfo.processInfo.environment["MARTLET_SERVER"].flatMap { $0.isEmpty ? nil : $0 }
    let address: String
    if let named {
      address = named
    } else {
      address = try Self.address(of: await settings.load().settings)
      options.checksCertificate = false  // it is for the name that others use
    }
    let readiness = try await MartletClient.withClient(server: address, options: options) { client in
      live ? try await client.alive() : try await client.ready()
    }
    if output.json { Console.json(readiness.json) }
    guard readiness.canServe else {
      throw CommandFailure(.failed, output.json ? "" : Self.complaint(readiness))
    }
    if !output.json { Console.out(live ? "alive" : "ready") }
  }

  /// Where a node is reached from its own machine.
  static func address(of settings: Settings) throws(CommandFailure) -> String {
    let server = settings.server
    // A node without the API has no port but that of its metrics.
    guard let port = server.roles.contains(.api) ? server.port : settings.telemetry.metricsPort else {
      throw CommandFailure(.usage, "a node without the role api has no port to ask: set telemetry.metricsPort")
    }
    guard port != 0 else {
      throw CommandFailure(.usage, "the node's port is 0, so it is not known here: name the server with --server")
    }
    let host =
      switch server.host {
      case "0.0.0.0": "127.0.0.1"
      case "::": "[::1]"
      case let host where host.contains(":"): "[\(host)]"
      default: server.host
      }
    return "\(server.tls.certificate == nil ? "http" : "https")://\(host):\(port)"
  }

  /// What is wrong, in the server's words.
  private static func complaint(_ readiness: ServerReadiness) -> String {
    let answer = try? JSONDecoder().decode(ReadinessDocument.self, from: Data(readiness.json))
    let ill = (answer?.components ?? []).filter { $0.status != "ok" }
    let words = ill.map { component in
      component.name + (component.detail.map { ": \($0)" } ?? " is \(component.status)")
    }
    return (["not ready"] + words).joined(separator: "; ")
  }
}

/// As much of `GET /health/ready` as people are told.
private struct ReadinessDocument: Decodable {
  var components: [Component]

  struct Component: Decodable {
    var name: String
    var status: String
    var detail: String?
  }
}
