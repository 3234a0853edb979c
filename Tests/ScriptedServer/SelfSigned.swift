// A certificate made just now by openssl, for `localhost` and 127.0.0.1, with its key.

import ChildProcess
import Foundation

public struct SelfSigned: Sendable {
  /// PEM.
  public let certificate: String
  public let key: String

  /// - Parameters:
  ///   - days: it is good for; a negative number makes one that has ended.
  ///   - passphrase: nil leaves the key open.
  public init(days: Int = 2, passphrase: String? = nil) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-certificate-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (certificate, key) = (folder.appendingPathComponent("c.pem"), folder.appendingPathComponent("k.pem"))
    let options = [
      "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", String(days), "-subj", "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate.path, "-keyout", key.path,
    ]
    let secrecy = passphrase.map { ["-passout", "pass:\($0)"] } ?? ["-nodes"]
    let status = try await Child(["/usr/bin/openssl", "req", "-x509"] + options + secrecy).ended()
    guard status == 0 else { throw ChildFailed(description: "openssl made no certificate: \(status)") }
    self.certificate = try String(contentsOf: certificate, encoding: .utf8)
    self.key = try String(contentsOf: key, encoding: .utf8)
  }

  /// Where both stand in a folder.
  public func write(to folder: String) throws -> (certificate: String, key: String) {
    let (certificate, key) = (folder + "/certificate.pem", folder + "/key.pem")
    try Data(self.certificate.utf8).write(to: URL(fileURLWithPath: certificate), options: .atomic)
    try Data(self.key.utf8).write(to: URL(fileURLWithPath: key), options: .atomic)
    return (certificate, key)
  }
}
