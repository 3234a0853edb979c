// What is made of a JSON Web Key Set.

internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct KeySetTests {
  @Test func `keys are found by their names, each with its own algorithm`() async throws {
    let keys = try await keySet(Mint.jwks(try Mint.rs256("r"), Mint.es256("e"), try Mint.eddsa("o")))
    #expect(keys.count == 3 && keys.leftOut.isEmpty)
    #expect(keys.key(named: "r")?.name == "RS256")
    #expect(keys.key(named: "e")?.name == "ES256")
    #expect(keys.key(named: "o")?.name == "EdDSA")
    #expect(keys.key(named: "x") == nil)
    #expect(keys.key(named: nil) == nil)
  }

  @Test func `a key that is alone serves tokens without a name, and no other name`() async throws {
    for kid in ["e", nil] {
      let keys = try await keySet(Mint.jwks(Mint.es256(kid)))
      #expect(keys.key(named: nil)?.name == "ES256")
      #expect(keys.key(named: "x") == nil)
      #expect((keys.key(named: "e") != nil) == (kid == "e"))
    }
  }

  @Test(arguments: [
    #"{"kty":"oct","kid":"x","k":"AAAA"}"#, #"{"kty":"EC","crv":"P-384","kid":"x","x":"AA","y":"AA"}"#,
    #"{"kty":"OKP","crv":"X25519","kid":"x","x":"AA"}"#, #"{"kty":"RSA","kid":"x"}"#,
    #"{"kty":"RSA","kid":"x","n":"AQAB","e":"AQAB"}"#, #"{"kty":"RSA","kid":"x","n":"!!","e":"AQAB"}"#,
    #"{"kty":"EC","crv":"P-256","kid":"x","x":"AA","y":"AA"}"#, #"{"kty":"EC","crv":"P-256","kid":"x"}"#,
    #"{"kty":"OKP","crv":"Ed25519","kid":"x","x":"AAAA"}"#, #"{"kty":7}"#, "{}", "[]", "null", "7",
  ])
  func `a key that is of no use is left out, and the others stay`(bad: String) async throws {
    let good = Mint.es256("e")
    let keys = try await keySet(#"{"keys":[\#(bad),\#(good.jwk ?? "")]}"#)
    #expect(keys.count == 1)
    #expect(keys.leftOut.count == 1 && keys.leftOut[0].hasPrefix("key 1: "))
    #expect(keys.key(named: "x") == nil && keys.key(named: "e") != nil)
  }

  @Test(arguments: [
    #""use":"enc""#, #""key_ops":["sign"]"#, #""key_ops":[]"#, #""alg":"ES384""#, #""alg":"RS256""#, #""alg":"none""#,
  ])
  func `a key that says it is for something else is left out`(member: String) async throws {
    let jwk = try #require(Mint.es256("e").jwk).dropLast() + "," + member + "}"
    await expectFault("no key for RS256") { try await keySet(#"{"keys":[\#(jwk)]}"#) }
  }

  @Test func `an RSA key of fewer than 2048 bits is left out`() async throws {
    let jwks = Mint.jwks(try Mint.rs256("r", bits: 1024))
    await expectFault("2048") { try await keySet(jwks) }
  }

  @Test func `of two keys of one name the first counts`() async throws {
    let keys = try await keySet(Mint.jwks(Mint.es256("k"), try Mint.eddsa("k")))
    #expect(keys.key(named: "k")?.name == "ES256")
    #expect(keys.leftOut == ["key 2: its kid is another key's as well"])
  }

  @Test func `of several keys those without a name are told as left out, and alone they are no set`() async throws {
    let keys = try await keySet(Mint.jwks(Mint.es256("k"), try Mint.eddsa(nil), Mint.es256(nil)))
    #expect(keys.key(named: "k")?.name == "ES256" && keys.key(named: nil) == nil && keys.count == 1)
    #expect(
      keys.leftOut == ["key 2: it has no kid, and there are others", "key 3: it has no kid, and there are others"])
    let nameless = Mint.jwks(Mint.es256(nil), try Mint.eddsa(nil))
    await expectFault("it has no kid") { try await keySet(nameless) }
  }

  @Test(arguments: ["", "{", "[]", "null", "{}", #"{"keys":{}}"#, #"{"keys":[]}"#, #"{"keys":[{}]}"#])
  func `what is no key set, or has no key, is refused`(text: String) async {
    await expectFault("") { try await keySet(text) }
  }

  @Test func `a set of more than a hundred keys is refused`() async {
    let keys = Array(repeating: "{}", count: 101).joined(separator: ",")
    await expectFault("100") { try await keySet(#"{"keys":[\#(keys)]}"#) }
  }

  @Test(arguments: ["", "A", "AA", "AAA", "AAAA", "_-8", "Zg", "Zm8", "Zm9v"])
  func `base64url is read as written`(text: String) {
    let expected = text.count == 1 ? nil : text.utf8.count * 3 / 4
    #expect(Base64URL.decoded(text.utf8)?.count == expected)
    if let bytes = Base64URL.decoded(text.utf8) { #expect(Mint.encode(bytes) == text) }
  }

  @Test(arguments: ["Zg==", "Zh", "Zm9", "+/", "A A", "AA\n", "ÄÄ", "A.", "AAAAA"])
  func `padding, foreign characters and spare bits are no base64url`(text: String) {
    #expect(Base64URL.decoded(text.utf8) == nil)
  }

  private func keySet(_ text: String) async throws(KeySetFault) -> KeySet {
    try await KeySet(jwks: Array(text.utf8))
  }

  private func expectFault(
    _ words: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> KeySet
  ) async {
    do {
      _ = try await body()
      Issue.record("it was taken", sourceLocation: sourceLocation)
    } catch {
      let text = "\(error)"
      #expect(
        error is KeySetFault && (words.isEmpty || text.contains(words)), "\(text)", sourceLocation: sourceLocation)
    }
  }
}
