// A certificate authority that nobody knows, and a certificate of it for this machine. Made with openssl for servers that speak TLS.

internal import ChildProcess
package import Foundation

package struct Certificates: Sendable {
  /// Of the authority; whoever trusts it trusts the server.
  package let ca: URL
  package let certificate: URL
  package let key: URL

  static func make(in folder: URL) async throws -> Certificates {
    func file(_ name: String) -> String { folder.appendingPathComponent(name).path }
    let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    try await openssl(
      ["req", "-x509"] + newKey + [
        "-days", "2", "-subj", "/CN=Tests", "-out", file("ca.crt"), "-keyout", file("ca.key"),
      ], in: folder)
    try await openssl(
      ["req", "-new"] + newKey + ["-subj", "/CN=localhost", "-out", file("redis.csr"), "-keyout", file("redis.key")],
      in: folder)
    try "subjectAltName=DNS:localhost,IP:127.0.0.1\n".write(toFile: file("names"), atomically: true, encoding: .utf8)
    try await openssl(
      [
        "x509", "-req", "-in", file("redis.csr"), "-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-CAcreateserial",
        "-days", "2", "-extfile", file("names"), "-out", file("redis.crt"),
      ], in: folder)
    return Certificates(
      ca: folder.appendingPathComponent("ca.crt"), certificate: folder.appendingPathComponent("redis.crt"),
      key: folder.appendingPathComponent("redis.key"))
  }

  private static func openssl(_ arguments: [String], in folder: URL) async throws {
    let output = folder.appendingPathComponent("openssl.log")
    let child = try Child([try program("openssl")] + arguments, output: output, errors: output)
    guard await child.ended() == 0 else {
      throw RedisFailed(what: "openssl failed", log: String(decoding: try Data(contentsOf: output), as: UTF8.self))
    }
  }
}
