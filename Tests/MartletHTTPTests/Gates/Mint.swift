// Makes tokens of every kind, good and bad, by swift-crypto alone: jwt-kit shall not be its own judge.

internal import Crypto
internal import CryptoExtras
internal import Foundation
internal import MartletCore
internal import MartletTestKit

struct Mint: Sendable {
  let algorithm: String
  let kid: String?
  /// The public half, as a JSON Web Key; nil for a secret.
  let jwk: String?
  private let signature: @Sendable (_ bytes: [UInt8]) throws -> [UInt8]

  static let secret = "a secret of thirty-two bytes or a few more"
  static let hs256 = Mint.hs256(secret)

  static func hs256(_ secret: String, kid: String? = nil) -> Mint {
    Mint(algorithm: "HS256", kid: kid, jwk: nil) {
      Array(HMAC<SHA256>.authenticationCode(for: $0, using: SymmetricKey(data: Array(secret.utf8))))
    }
  }

  static func es256(_ kid: String?) -> Mint {
    let key = P256.Signing.PrivateKey()
    let raw = Array(key.publicKey.rawRepresentation)
    let jwk = #""kty":"EC","crv":"P-256","x":"\#(encode(raw[..<32]))","y":"\#(encode(raw[32...]))""#
    return Mint(algorithm: "ES256", kid: kid, jwk: named(kid, jwk)) {
      Array(try key.signature(for: $0).rawRepresentation)
    }
  }

  static func eddsa(_ kid: String?) throws -> Mint {
    let key = Curve25519.Signing.PrivateKey()
    let jwk = #""kty":"OKP","crv":"Ed25519","x":"\#(encode(Array(key.publicKey.rawRepresentation)))""#
    return Mint(algorithm: "EdDSA", kid: kid, jwk: named(kid, jwk)) { Array(try key.signature(for: $0)) }
  }

  static func rs256(_ kid: String?, bits: Int = 2048) throws -> Mint {
    let key = try _RSA.Signing.PrivateKey(unsafeKeySize: .init(bitCount: bits))
    let numbers = try key.publicKey.getKeyPrimitives()
    let jwk =
      #""kty":"RSA","alg":"RS256","use":"sig","n":"\#(encode(Array(numbers.modulus)))","e":"\#(encode(Array(numbers.publicExponent)))""#
    return Mint(algorithm: "RS256", kid: kid, jwk: named(kid, jwk)) {
      Array(try key.signature(for: $0, padding: .insecurePKCS1v1_5).rawRepresentation)
    }
  }

  // MARK: Tokens

  /// - Parameters: JSON, sent as it is.
  func token(_ claims: String = Mint.claims(), header: String? = nil) throws -> String {
    try sign(Mint.encode(header ?? self.header()) + "." + Mint.encode(claims))
  }

  func header(algorithm: String? = nil) -> String {
    let name = kid.map { #","kid":"\#($0)""# } ?? ""
    return #"{"alg":"\#(algorithm ?? self.algorithm)","typ":"JWT"\#(name)}"#
  }

  /// Of two parts that are encoded already, if they are.
  func sign(_ text: String) throws -> String {
    text + "." + Mint.encode(try signature(Array(text.utf8)))
  }

  /// Times are seconds from `ManualTime.start`; nil leaves a claim out.
  static func claims(
    sub: String? = "ann", roles: String? = #"["producer"]"#, exp: Double? = 60, more: String = ""
  ) -> String {
    let claims = [
      sub.map { #""sub":"\#($0)""# }, roles.map { #""roles":\#($0)"# }, exp.map { #""exp":\#(time($0))"# },
      more.isEmpty ? nil : more,
    ]
    return "{" + claims.compactMap(\.self).joined(separator: ",") + "}"
  }

  static func time(_ seconds: Double) -> String {
    String(Double(ManualTime.start.milliseconds) / 1000 + seconds)
  }

  static func jwks(_ mints: Mint...) -> String {
    #"{"keys":[\#(mints.compactMap(\.jwk).joined(separator: ","))]}"#
  }

  static func encode(_ text: String) -> String {
    encode(Array(text.utf8))
  }

  static func encode(_ bytes: some Collection<UInt8>) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }

  private static func named(_ kid: String?, _ jwk: String) -> String {
    "{" + (kid.map { #""kid":"\#($0)","# } ?? "") + jwk + "}"
  }
}
