// A port for a server. Below those that the system gives to clients: while the server is away, one of those could connect to itself
// there and keep the server from coming back.

internal import Foundation

public func freePort() throws -> Int {
  for _ in 0..<200 {
    let port = Int.random(in: 20_000..<32_000)
    if isFree(port) { return port }
  }
  throw ChildFailed(description: "no free port was found")
}

private func isFree(_ port: Int) -> Bool {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { return false }
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  return withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
    }
  }
}
