// The ports of a node: one for the API, where it has that role, and one for health and metrics alone, where that is wanted.

internal import MartletHTTP
internal import Synchronization

/// Tells once where a node listens, when all of its listeners do.
final class Listeners: Sendable {
  private let wanted: Set<HTTPConfiguration.Purpose>
  private let addresses = Mutex<[HTTPConfiguration.Purpose: String]>([:])
  private let onListening: @Sendable ([HTTPConfiguration.Purpose: String]) -> Void

  init(_ settings: Settings, onListening: @escaping @Sendable ([HTTPConfiguration.Purpose: String]) -> Void) {
    wanted = Set(settings.listeners.map(\.purpose))
    self.onListening = onListening
    if wanted.isEmpty { onListening([:]) }
  }

  func listens(_ purpose: HTTPConfiguration.Purpose, at address: String) {
    let all = addresses.withLock { addresses in
      addresses[purpose] = address
      return addresses
    }
    if wanted == Set(all.keys) { onListening(all) }
  }
}

extension Settings {
  /// With the same address, the same encryption and the same credentials.
  var listeners: [(purpose: HTTPConfiguration.Purpose, port: Int)] {
    var listeners: [(HTTPConfiguration.Purpose, Int)] = []
    if server.roles.contains(.api) { listeners.append((.api, server.port)) }
    if let port = telemetry.metricsPort { listeners.append((.watching, port)) }
    return listeners
  }
}
