// The keys by which tokens are checked, each with the one algorithm that it is for. Made of a configured secret, or of a JSON
// Web Key Set (RFC 7517); jwt-kit does the arithmetic. Read by `TokenVerifier`, kept fresh by `KeySetKeeper`.

internal import Crypto
internal import Foundation
internal import JWTKit
internal import MartletCore

struct VerificationKey: Sendable {
  /// As in a token's `alg`. Whatever a token says, a key is used for no other.
  let name: String
  private let algorithm: any JWTAlgorithm

  init(_ algorithm: any JWTAlgorithm) {
    self.algorithm = algorithm
    name = algorithm.name
  }

  /// A signature of a wrong form is a wrong one.
  func isSignature(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
    (try? algorithm.verify(signature, signs: bytes)) ?? false
  }
}

struct KeySet: Sendable {
  private let byID: [String: VerificationKey]
  /// For tokens that name none: where there is one key, there is nothing to choose.
  private let only: VerificationKey?
  /// A secret has no name, so that it does not matter what a token calls it.
  private let ignoresNames: Bool
  /// Of those that were left out, why.
  let leftOut: [String]
  /// Equal for equal sets.
  let fingerprint: [UInt8]

  var count: Int { only == nil ? byID.count : 1 }

  /// Nil where the set has no key of this name, or several and the token names none.
  func key(named name: String?) -> VerificationKey? {
    guard let name, !ignoresNames else { return only }
    return byID[name]
  }

  /// HS256.
  /// - Parameter secret: at least 32 bytes, as `AuthConfiguration` sees to.
  init(secret: String) async throws {
    let keys = JWTKeyCollection()
    await keys.add(hmac: HMACKey(from: Array(secret.utf8)), digestAlgorithm: .sha256)
    only = VerificationKey(try await keys.getKey())
    byID = [:]
    ignoresNames = true
    leftOut = []
    fingerprint = []
  }

  /// RS256, ES256 and EdDSA (Ed25519); keys for anything else are left out, and so are private and symmetric ones' secrets.
  init(jwks bytes: [UInt8]) async throws(KeySetFault) {
    var usable: [(place: Int, name: String?, key: VerificationKey)] = []
    var leftOut: [String] = []
    for (index, members) in try Self.entries(bytes).enumerated() {
      let name = members["kid"]?.string
      do throws(KeySetFault) {
        guard name == nil || !usable.contains(where: { $0.name == name }) else {
          throw KeySetFault("its kid is another key's as well")
        }
        usable.append((index + 1, name, try await VerificationKey(jwk: members)))
      } catch {
        leftOut.append("key \(index + 1): \(error.description)")
      }
    }
    if usable.count > 1 {
      // No token could choose them.
      leftOut += usable.filter { $0.name == nil }.map { "key \($0.place): it has no kid, and there are others" }
    }
    guard usable.count == 1 || usable.contains(where: { $0.name != nil }) else {
      throw KeySetFault("there is no key for RS256, ES256 or EdDSA in it\(leftOut.first.map { " (\($0))" } ?? "")")
    }
    only = usable.count == 1 ? usable[0].key : nil
    byID = Dictionary(uniqueKeysWithValues: usable.compactMap { entry in entry.name.map { ($0, entry.key) } })
    ignoresNames = false
    self.leftOut = leftOut
    fingerprint = Array(SHA256.hash(data: bytes))
  }

  private static let limit = 100

  /// The set's keys, each by its members.
  private static func entries(_ bytes: [UInt8]) throws(KeySetFault) -> [[String: JSONSlice]] {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes, maxDepth: 16) } catch {
      throw KeySetFault("it is not JSON")
    }
    guard let keys = root["keys"]?.elements, keys.count <= limit else {
      throw KeySetFault("it is not a JSON Web Key Set of at most \(limit) keys")
    }
    return keys.map { key in Dictionary(key.members ?? []) { first, _ in first } }
  }
}

/// What is wrong with a set or with one of its keys, as the rest of a line.
struct KeySetFault: Error, Sendable, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }
}

extension VerificationKey {
  /// Takes the public parts, whatever else there is.
  fileprivate init(jwk members: [String: JSONSlice]) async throws(KeySetFault) {
    func text(_ name: String) -> String? { members[name]?.string }
    guard text("use") ?? "sig" == "sig" else { throw KeySetFault("it is not for signatures") }
    if let uses = members["key_ops"]?.elements, !uses.contains(where: { $0.string == "verify" }) {
      throw KeySetFault("it is not for checking signatures")
    }
    let jwk: JWK
    let algorithm: String
    switch (text("kty"), text("crv")) {
    case ("RSA", _):
      algorithm = "RS256"
      jwk = .rsa(.rs256, identifier: "key", modulus: text("n"), exponent: text("e"))
    case ("EC", "P-256"):
      algorithm = "ES256"
      jwk = .ecdsa(.es256, identifier: "key", x: text("x"), y: text("y"), curve: .p256)
    case ("OKP", "Ed25519"):
      algorithm = "EdDSA"
      jwk = .octetKeyPair(.eddsa, identifier: "key", x: text("x"), y: nil, curve: .ed25519)
    case (let type, _):
      throw KeySetFault(
        "its kind (\(type.map { String($0.prefix(16)) } ?? "none")) is not RSA, EC P-256 or OKP Ed25519")
    }
    guard text("alg") ?? algorithm == algorithm else { throw KeySetFault("its alg is not \(algorithm)") }
    do {
      let keys = JWTKeyCollection()
      try await keys.add(jwk: jwk)
      self.init(try await keys.getKey(for: "key", alg: algorithm))
    } catch {
      throw KeySetFault("its values make no key of 2048 bits or more, or no point of the curve")
    }
  }
}
