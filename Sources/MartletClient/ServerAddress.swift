// Checks the address that a client is made with, once, so that requests need only append to it.

internal import Foundation

enum ServerAddress {
  /// The address without a slash at its end.
  static func normalized(_ text: String) throws(MartletClientError) -> String {
    func refused(_ why: String) -> MartletClientError { .invalidRequest("'\(text)' is no server address: \(why)") }
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), let parts = URLComponents(string: text) else {
      throw refused("it is not a URL")
    }
    guard let scheme = parts.scheme?.lowercased(), scheme == "http" || scheme == "https" else {
      throw refused("it must begin with http:// or https://")
    }
    guard let host = parts.host, !host.isEmpty else { throw refused("it names no host") }
    guard parts.user == nil, parts.password == nil else {
      throw refused("credentials do not belong into it")
    }
    guard parts.query == nil, parts.fragment == nil else { throw refused("it must not have a query or fragment") }
    if let port = parts.port, !(1...65_535).contains(port) { throw refused("the port must be 1 to 65535") }
    var address = text
    while address.hasSuffix("/") { address.removeLast() }
    return address
  }
}
