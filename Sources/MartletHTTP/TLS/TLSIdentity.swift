// What the server shows of itself over TLS: a chain of certificates and the key of the first one, read from two PEM files.
// Read by `TLSKeeper` and by whoever checks a configuration.

internal import Crypto
internal import Foundation
internal import NIOCore
internal import NIOSSL

/// Where the two files are.
package struct TLSFiles: Hashable, Sendable {
  /// PEM: the server's own certificate first, then those between it and the root.
  package var certificate: String
  /// PEM, without a passphrase.
  package var key: String

  package init(certificate: String, key: String) {
    self.certificate = certificate
    self.key = key
  }

  /// Nil for files that a server can begin with.
  package var fault: TLSFault? {
    do throws(TLSFault) {
      _ = try TLSIdentity(TLSFiles.Contents(of: self))
      return nil
    } catch {
      return error
    }
  }
}

/// What is wrong with one of the files; holds nothing of what is in them.
package struct TLSFault: Error, Hashable, Sendable, CustomStringConvertible {
  /// `server.tls.certificate` or `server.tls.key`.
  package let key: String
  /// The rest of the sentence.
  package let detail: String

  package var description: String { "\(key) \(detail)" }

  static func certificate(_ detail: String) -> TLSFault { TLSFault(key: "server.tls.certificate", detail: detail) }
  static func key(_ detail: String) -> TLSFault { TLSFault(key: "server.tls.key", detail: detail) }
}

extension TLSFiles {
  /// The bytes of both, so that a change is seen whatever its times say.
  struct Contents: Hashable, Sendable {
    let certificate: [UInt8]
    let key: [UInt8]

    private static let sizeLimit = 1024 * 1024

    init(of files: TLSFiles) throws(TLSFault) {
      do throws(FileFault) {
        certificate = try BoundedFile.contents(of: files.certificate, upTo: Self.sizeLimit)
      } catch {
        throw .certificate("cannot be read: \(error)")
      }
      do throws(FileFault) {
        key = try BoundedFile.contents(of: files.key, upTo: Self.sizeLimit)
      } catch {
        throw .key("cannot be read: \(error)")
      }
    }
  }
}

struct TLSIdentity: Sendable {
  let context: NIOSSLContext
  /// Seconds since 1970: the earliest end in the chain.
  let expiresAt: Int

  /// How long a client may take to say goodbye before the socket is closed.
  private static let shutdownTime = TimeAmount.seconds(1)

  init(_ contents: TLSFiles.Contents) throws(TLSFault) {
    let chain: [NIOSSLCertificate]
    do {
      chain = try NIOSSLCertificate.fromPEMBytes(contents.certificate)
    } catch {
      throw .certificate("has no certificates in PEM in it")
    }
    guard !chain.isEmpty else { throw .certificate("has no certificates in PEM in it") }
    let key: NIOSSLPrivateKey
    do {
      // Without this somebody would be asked for a passphrase on the server's terminal.
      key = try NIOSSLPrivateKey(bytes: contents.key, format: .pem) { (give: ([UInt8]) -> Void) in give([]) }
    } catch {
      throw .key("has no private key in PEM in it, or one with a passphrase")
    }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = ["http/1.1"]
    configuration.shutdownTimeout = Self.shutdownTime
    do {
      context = try NIOSSLContext(configuration: configuration)
    } catch {
      throw .key("is not the key of the certificate")
    }
    expiresAt = chain.map(\.notValidAfter).min() ?? 0
  }
}
