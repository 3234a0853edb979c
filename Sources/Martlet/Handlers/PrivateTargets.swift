// Which addresses outgoing calls may reach. A task's URL comes from whoever may submit tasks; without this check they could make
// the server talk to what only the server can reach: itself, its neighbours, its cloud's metadata service. Names are resolved
// here, once, and the call goes to an address that was looked at, so a name that changes its mind gains nothing.

internal import MartletEngine

struct PrivateTargets: Sendable {
  let areAllowed: Bool
  /// Why an address is refused; nil lets it pass.
  let refusal: @Sendable (IPAddress) -> String?
  let resolve: @Sendable (String) async throws -> [IPAddress]

  init(
    areAllowed: Bool, refusal: @escaping @Sendable (IPAddress) -> String? = { $0.refusalAsTarget },
    resolve: @escaping @Sendable (String) async throws -> [IPAddress] = SystemResolver.shared.addresses(of:)
  ) {
    self.areAllowed = areAllowed
    self.refusal = refusal
    self.resolve = resolve
  }

  /// The addresses of a host that may be called, in the resolver's order; never empty. Nil leaves the choice to the connection:
  /// everything is allowed.
  /// - Throws: `TARGET_REFUSED`, which no retry mends, when none may be called; `DNS_FAILED` when there are none.
  func vetted(_ host: String) async throws -> [IPAddress]? {
    guard !areAllowed else { return nil }
    // The resolver reads every spelling of an address that the C library knows (127.1, 0x7f.1, 2130706433), so all of them are
    // judged by what they mean.
    let addresses =
      if let address = IPAddress(host) { [address] } else { try await resolve(host) }
    let vetted = addresses.filter { refusal($0) == nil }
    if !vetted.isEmpty { return vetted }
    guard let first = addresses.first, let reason = refusal(first) else {
      throw TaskFailure.retry("\(host) has no address", type: "DNS_FAILED")
    }
    let meaning = first.description == host ? host : "\(host) is \(first)"
    throw TaskFailure.permanent(
      "\(meaning), \(reason); network.allowPrivateTargets does not allow calls there", type: "TARGET_REFUSED")
  }
}

extension IPAddress {
  /// Why an address is no place to call; nil for those of the public Internet. After IANA's registries of special-purpose
  /// addresses; addresses that carry an IPv4 address inside are judged by that.
  var refusalAsTarget: String? {
    if isVersion4 { return Self.refused4.first { $0.range.contains(self) }?.reason }
    if let inner = embedded { return inner.refusalAsTarget }
    if let refused = Self.refused6.first(where: { $0.range.contains(self) }) { return refused.reason }
    return bytes[0] & 0xE0 == 0x20 ? nil : "an address outside the public Internet"
  }

  /// The IPv4 address that a translator or tunnel would send to.
  private var embedded: IPAddress? {
    for (range, offset) in Self.carriers where range.contains(self) {
      return IPAddress(bytes: Array(bytes[offset..<offset + 4]))
    }
    // ISATAP (RFC 5214): …:0000:5efe:a.b.c.d under any prefix.
    let isISATAP = bytes[8] & 0xFC == 0 && bytes[9] == 0 && bytes[10] == 0x5E && bytes[11] == 0xFE
    return isISATAP ? IPAddress(bytes: Array(bytes[12..<16])) : nil
  }

  private static let carriers: [(AddressRange, offset: Int)] = [
    (AddressRange("::ffff:0:0", 96), 12),  // IPv4-mapped
    (AddressRange("::ffff:0:0:0", 96), 12),  // IPv4-translated (RFC 2765)
    (AddressRange("64:ff9b::", 96), 12),  // NAT64
    (AddressRange("2002::", 16), 2),  // 6to4
  ]

  private static let refused4: [(range: AddressRange, reason: String)] = [
    (AddressRange("127.0.0.0", 8), "a loopback address"),
    (AddressRange("10.0.0.0", 8), "a private address"),
    (AddressRange("172.16.0.0", 12), "a private address"),
    (AddressRange("192.168.0.0", 16), "a private address"),
    (AddressRange("169.254.0.0", 16), "a link-local or metadata address"),
    (AddressRange("168.63.129.16", 32), "a metadata address"),  // Azure; public by its number alone
    (AddressRange("100.64.0.0", 10), "a shared address behind a carrier's NAT"),
    (AddressRange("0.0.0.0", 8), "an unspecified address"),
    (AddressRange("192.0.0.0", 24), "a reserved address"),
    (AddressRange("192.0.2.0", 24), "an address for documentation"),
    (AddressRange("198.51.100.0", 24), "an address for documentation"),
    (AddressRange("203.0.113.0", 24), "an address for documentation"),
    (AddressRange("192.88.99.0", 24), "a reserved address"),
    (AddressRange("198.18.0.0", 15), "an address for benchmarks"),
    (AddressRange("224.0.0.0", 4), "a multicast address"),
    (AddressRange("240.0.0.0", 4), "a reserved or broadcast address"),
  ]

  private static let refused6: [(range: AddressRange, reason: String)] = [
    (AddressRange("::1", 128), "a loopback address"),
    (AddressRange("::", 128), "an unspecified address"),
    (AddressRange("fe80::", 10), "a link-local address"),
    (AddressRange("fc00::", 7), "a private address"),
    (AddressRange("fec0::", 10), "a private address"),
    (AddressRange("ff00::", 8), "a multicast address"),
    (AddressRange("2001::", 23), "a reserved address"),  // Teredo among them
    (AddressRange("2001:db8::", 32), "an address for documentation"),
    (AddressRange("3fff::", 20), "an address for documentation"),
  ]
}

/// The addresses that share their first bits.
private struct AddressRange: Sendable {
  private let bytes: [UInt8]
  private let bits: Int

  init(_ text: String, _ bits: Int) {
    guard let address = IPAddress(text) else { preconditionFailure("not an address: \(text)") }
    bytes = address.bytes
    self.bits = bits
  }

  func contains(_ address: IPAddress) -> Bool {
    guard address.bytes.count == bytes.count else { return false }
    let whole = bits / 8
    guard address.bytes[..<whole] == bytes[..<whole] else { return false }
    let mask = UInt8(truncatingIfNeeded: 0xFF00 >> (bits % 8))
    return bits % 8 == 0 || (address.bytes[whole] ^ bytes[whole]) & mask == 0
  }
}
