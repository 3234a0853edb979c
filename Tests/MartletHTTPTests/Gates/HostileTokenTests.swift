// Tokens by people who want in: none of them gets in, none of them breaks anything.

internal import Foundation
internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct HostileTokenTests {
  @Test(arguments: [
    "x", ".", "..", "...", "a.b.c", "a.b", "a.b.c.d", "a.b.c.d.e", "eyJ.eyJ.", "=.=.=", "mk.x.y", "Bearer",
    String(repeating: ".", count: 8192), String(repeating: "A", count: 8192), "e30.e30.e30", "e30.e30.",
    "W10.W10.W10", "bnVsbA.bnVsbA.bnVsbA", "eyJhbGciOiJIUzI1NiJ9..", "eyJhbGciOiJIUzI1NiJ9.e30.", "~/+.~/+.~/+",
  ])
  func `garbage is 401`(token: String) async throws {
    let harness = try await GateHarness.secret()
    await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
  }

  @Test(arguments: ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "HS256 "])
  func `with a secret only HS256 is taken`(algorithm: String) async throws {
    let harness = try await GateHarness.secret()
    let header = Mint.hs256.header(algorithm: algorithm)
    let signed = try Mint.hs256.token(header: header)
    let unsigned = Mint.encode(header) + "." + Mint.encode(Mint.claims()) + "."
    for token in [signed, unsigned] {
      await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
    }
  }

  @Test func `HS256 with a public key for a secret is refused`() async throws {
    let mint = try Mint.rs256("r")
    let keys = Mint.jwks(mint)
    try await TemporaryFile.with(keys) { file in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      for secret in [keys, mint.jwk ?? "", "key", ""] {
        let forger = Mint.hs256(secret, kid: "r")
        let token = try forger.token()
        await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
        let renamed = try forger.token(header: mint.header())
        await expectRefusal(.unauthenticated, "signature") { () async throws(Problem) in
          try await harness.admit(token: renamed)
        }
      }
    }
  }

  @Test func `symmetric keys in a key set are no keys`() async throws {
    let oct = #"{"kty":"oct","kid":"o","alg":"HS256","k":"\#(Mint.encode(Mint.secret))"}"#
    let mint = Mint.es256("e")
    try await TemporaryFile.with(#"{"keys":[\#(oct),\#(mint.jwk ?? "")]}"#) { file in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      for forger in [Mint.hs256(Mint.secret, kid: "o"), Mint.hs256(Mint.secret)] {
        let token = try forger.token()
        await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
      }
      _ = try await harness.admit(token: try mint.token())
    }
  }

  @Test(arguments: [
    "../../../../dev/null", "../../etc/passwd", "e' OR '1'='1", "http://evil.example/keys", "E", "e ", "\\u0000",
    "e\\u0000",
    "", "\\n", String(repeating: "k", count: 5000),
  ])
  func `a kid is looked up among the keys and nowhere else`(kid: String) async throws {
    let mint = Mint.es256("e")
    try await TemporaryFile.with(Mint.jwks(mint, try Mint.eddsa("o"))) { file in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      let token = try mint.token(header: #"{"alg":"ES256","kid":"\#(kid)"}"#)
      await expectRefusal(.unauthenticated, "no key that is known") { () async throws(Problem) in
        try await harness.admit(token: token)
      }
    }
  }

  @Test func `a token that brings its own key is not believed`() async throws {
    let mint = Mint.es256("e")
    let forger = Mint.es256("e")
    try await TemporaryFile.with(Mint.jwks(mint)) { file in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      for more in [
        #""jwk":\#(forger.jwk ?? "")"#, #""jku":"https://evil.example/keys""#, #""x5u":"https://evil.example/c""#,
      ] {
        let token = try forger.token(header: #"{"alg":"ES256","kid":"e",\#(more)}"#)
        await expectRefusal(.unauthenticated, "signature") { () async throws(Problem) in
          try await harness.admit(token: token)
        }
      }
    }
  }

  @Test func `a header with critical extensions, a kid that is no text or two of a name is refused`() async throws {
    let harness = try await GateHarness.secret()
    for header in [
      #"{"alg":"HS256","crit":["exp"],"exp":1}"#, #"{"alg":"HS256","crit":[]}"#,
      #"{"alg":"HS256","kid":7}"#, #"{"alg":"HS256","kid":{}}"#, #"{"alg":"HS256","alg":"HS256"}"#,
      #"{"alg":["HS256"]}"#, #"{"alg":null}"#, #"{"kid":"x"}"#, #"["HS256"]"#, #""HS256""#, "{", "",
      #"{"alg":"HS256","x":\#(String(repeating: "[", count: 600))}"#,
      #"{"alg":"HS256","x":\#(String(repeating: "[", count: 600))\#(String(repeating: "]", count: 600))}"#,
      "{\"alg\":\"HS256\",\"x\":\"\u{0}\"}",
    ] {
      let token = try Mint.hs256.token(header: header)
      await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
    }
  }

  @Test(arguments: [
    "{}", "[]", "null", "7", #""x""#, "", "{", #"{"exp":}"#,
    Mint.claims(exp: nil), Mint.claims(exp: nil, more: #""exp":null"#), Mint.claims(exp: nil, more: #""exp":"later""#),
    Mint.claims(exp: nil, more: #""exp":"\#(Mint.time(60))""#), Mint.claims(exp: nil, more: #""exp":1e300"#),
    Mint.claims(exp: nil, more: #""exp":-1"#), Mint.claims(exp: nil, more: #""exp":[\#(Mint.time(60))]"#),
    Mint.claims(exp: nil, more: #""exp":99999999999999999999999999"#), Mint.claims(exp: nil, more: #""exp":1e999"#),
    Mint.claims(exp: -1), Mint.claims(exp: 0), Mint.claims(exp: -0.001), Mint.claims(more: #""exp":\#(Mint.time(90))"#),
    Mint.claims(more: #""nbf":\#(Mint.time(3600))"#), Mint.claims(more: #""nbf":"soon""#),
    Mint.claims(more: #""nbf":1e300"#),
    Mint.claims(roles: "7"), Mint.claims(roles: "{}"), Mint.claims(roles: #"["viewer",7]"#),
    Mint.claims(roles: #"[["viewer"]]"#), Mint.claims(roles: "true"),
    Mint.claims(more: #""roles":["admin"]"#), Mint.claims(more: #""queues":7"#), Mint.claims(more: #""queues":{}"#),
    Mint.claims(more: #""queues":["mail",null]"#), Mint.claims(more: #""queues":["a b"]"#),
    Mint.claims(more: #""queues":["mail?"]"#), Mint.claims(more: #""queues":[""]"#),
    Mint.claims(more: #""queues":[\#(Array(repeating: #""q""#, count: 101).joined(separator: ","))]"#),
    Mint.claims(sub: ""), Mint.claims(sub: #"a\nb"#), Mint.claims(sub: #"a\u0000"#), Mint.claims(sub: "a\u{202E}b"),
    Mint.claims(sub: #"\ud800"#.appending("\u{200B}")), Mint.claims(sub: String(repeating: "x", count: 256)),
    Mint.claims(sub: nil, more: #""sub":7"#), Mint.claims(sub: "a\u{7F}"),
    Mint.claims(more: #""x":\#(String(repeating: "[", count: 500))\#(String(repeating: "]", count: 500))"#),
  ])
  func `claims that are missing, past, of a wrong kind or given twice are 401`(claims: String) async throws {
    let harness = try await GateHarness.secret()
    let token = try Mint.hs256.token(claims)
    await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
  }

  @Test func `claims that are not UTF-8 are 401`() async throws {
    let harness = try await GateHarness.secret()
    let bytes: [UInt8] = Array(#"{"sub":""#.utf8) + [0xFF, 0xFE] + Array(#"","exp":9999999999}"#.utf8)
    let token = try Mint.hs256.sign(Mint.encode(Mint.hs256.header()) + "." + Mint.encode(bytes))
    await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
  }

  @Test func `a token changed in any one character is 401`() async throws {
    let mint = Mint.es256("e")
    try await TemporaryFile.with(Mint.jwks(mint)) { file in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      let good = Array(try mint.token().utf8)
      _ = try await harness.admit(token: String(decoding: good, as: UTF8.self))
      for index in good.indices {
        var changed = good
        changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
        let token = String(decoding: changed, as: UTF8.self)
        await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
      }
    }
  }

  @Test func `signatures of a wrong length are 401 with every algorithm`() async throws {
    for mint in [try Mint.rs256("k"), Mint.es256("k"), try Mint.eddsa("k")] {
      try await TemporaryFile.with(Mint.jwks(mint)) { file in
        let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
        let unsigned = Mint.encode(mint.header()) + "." + Mint.encode(Mint.claims()) + "."
        for length in [0, 1, 32, 63, 64, 65, 96, 128, 256, 257, 1024] {
          for byte: UInt8 in [0, 0xFF] {
            let token = unsigned + Mint.encode([UInt8](repeating: byte, count: length))
            await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
          }
        }
      }
    }
  }

  @Test func `there is one text for a token: padding and spare bits are refused`() async throws {
    let harness = try await GateHarness.secret()
    let token = try Mint.hs256.token()
    _ = try await harness.admit(token: token)
    await expectRefusal { () async throws(Problem) in try await harness.admit(token: token + "=") }
    // The last of 43 characters carries two bits that mean nothing.
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    let last = try #require(token.last.flatMap { alphabet.firstIndex(of: $0) })
    let twin = token.dropLast() + String(alphabet[last | 1])
    await expectRefusal { () async throws(Problem) in try await harness.admit(token: String(twin)) }
  }

  @Test func `a credential over 8 KiB is refused unread, one below is judged`() async throws {
    let harness = try await GateHarness.secret()
    let padding = String(repeating: "x", count: 5000)
    _ = try await harness.admit(token: try Mint.hs256.token(Mint.claims(more: #""x":"\#(padding)""#)))
    let long = try Mint.hs256.token(Mint.claims(more: #""x":"\#(padding)\#(padding)""#))
    #expect(long.utf8.count > Presented.lengthLimit)
    await expectRefusal(.unauthenticated, "8192") { () async throws(Problem) in try await harness.admit(token: long) }
  }

  @Test func `no refusal repeats anything of the token`() async throws {
    let harness = try await GateHarness.secret(issuer: "us")
    for claims in [
      Mint.claims(sub: "SECRET", exp: -1), Mint.claims(more: #""iss":"SECRET""#), Mint.claims(more: #""aud":"SECRET""#),
      Mint.claims(roles: #"{"SECRET":1}"#),
    ] {
      let token = try Mint.hs256.token(claims, header: #"{"alg":"HS256","kid":"SECRET"}"#)
      do throws(Problem) {
        _ = try await harness.admit(token: token)
        Issue.record("it was let in")
      } catch {
        let text = String(decoding: error.document(requestID: "r"), as: UTF8.self) + "\(error.fields)"
        #expect(!text.contains("SECRET") && !text.contains(token.suffix(20)))
      }
    }
    #expect(harness.log.lines.allSatisfy { !$0.contains("SECRET") })
  }
}
