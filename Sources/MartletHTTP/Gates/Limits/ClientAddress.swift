// Whom a failed attempt is counted against. Made by `Responder` of the connection's other end.

internal import Foundation
internal import NIOCore

/// An IPv4 address, or the first 64 bits of an IPv6 address: one customer of a provider has all that begin so.
struct ClientAddress: Hashable, Sendable {
  private let prefix: UInt64
  private let isVersion4: Bool

  /// Nil where there is no network between: a Unix socket.
  init?(_ address: SocketAddress?) {
    switch address {
    case .v4(let address):
      self.init(prefix: UInt64(address.address.sin_addr.s_addr), isVersion4: true)
    case .v6(let address):
      let bytes = withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
      // ::ffff:a.b.c.d, as a socket for both versions sees IPv4.
      let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
      let prefix = bytes.withUnsafeBytes { bytes in
        isMapped
          ? UInt64(bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)) : bytes.loadUnaligned(as: UInt64.self)
      }
      self.init(prefix: prefix, isVersion4: isMapped)
    default:
      return nil
    }
  }

  private init(prefix: UInt64, isVersion4: Bool) {
    self.prefix = prefix
    self.isVersion4 = isVersion4
  }
}
