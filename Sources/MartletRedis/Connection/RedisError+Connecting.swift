// What NIO's errors mean, in words for people.

internal import Foundation
internal import MartletCore
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

extension RedisError {
  init(connecting error: any Error) {
    self = .unavailable(Self.reason(error))
  }

  private static func reason(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
      error.connectionErrors.first.map { reason($0.error) } ?? "the host name cannot be resolved"
    case let error as IOError: String(cString: strerror(error.errnoCode)).lowercased()
    case ChannelError.connectTimeout: "connecting took too long"
    case let error as NIOSSLError: reason(error)
    case is NIOSSLExtraError: "its certificate is for another name"
    case is BoringSSLError: "the TLS connection broke"
    default: String(describing: error)
    }
  }

  private static func reason(_ error: NIOSSLError) -> String {
    guard case .handshakeFailed(let cause) = error else { return "the TLS connection broke" }
    let words = String(describing: cause)
    if words.contains("CERTIFICATE_VERIFY_FAILED") { return "its certificate is not trusted here" }
    return words.contains("WRONG_VERSION_NUMBER") ? "it does not speak TLS there" : "the TLS handshake failed"
  }
}

extension Duration {
  var formatted: String { "\(wholeMilliseconds) ms" }
}
