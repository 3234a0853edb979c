// Which tokens are good, what they say, and how long they are remembered.

internal import Foundation
internal import HTTPTypes
internal import JWTKit
internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct TokenTests {
  @Test func `a token of the secret gives its bearer's name, roles and queues`() async throws {
    let harness = try await GateHarness.secret()
    let token = try Mint.hs256.token(
      Mint.claims(sub: "ann", roles: #"["producer","worker","offline_access"]"#, more: #""queues":["mail*","web"]"#))
    let credential = try await harness.admit(token: token)
    #expect(credential.actor == "token:ann")
    #expect(credential.roles == [.producer, .worker])
    #expect(credential.queues?.map(\.description) == ["mail*", "web"])
    #expect(credential.keyID == nil)
  }

  @Test func `roles and queues may be one text with spaces`() async throws {
    let harness = try await GateHarness.secret()
    let claims = Mint.claims(roles: #""viewer  operator other""#, more: #""queues":"mail* web""#)
    let credential = try await harness.admit(token: try Mint.hs256.token(claims))
    #expect(credential.roles == [.viewer, .operator])
    #expect(credential.queues?.map(\.description) == ["mail*", "web"])
  }

  @Test func `a token without sub, roles and queues is somebody who may do nothing`() async throws {
    let harness = try await GateHarness.secret()
    for claims in [
      Mint.claims(sub: nil, roles: nil), Mint.claims(sub: nil, roles: "null", more: #""sub":null"#),
    ] {
      let token = try Mint.hs256.token(claims)
      await expectRefusal(.forbidden) { () async throws(Problem) in try await harness.admit(token: token) }
      let credential = try await harness.admit(token: token, to: .open)
      #expect(credential == .nobody)
    }
  }

  @Test(arguments: ["null", "7", "{}", "true", #"["a",null]"#, #"[["a"]]"#, #"["a b"]"#])
  func `queues that cannot be read are refused, and do not mean all of them`(queues: String) async throws {
    let harness = try await GateHarness.secret()
    let token = try Mint.hs256.token(Mint.claims(more: #""queues":\#(queues)"#))
    await expectRefusal(.unauthenticated, "queues") { () async throws(Problem) in try await harness.admit(token: token)
    }
  }

  @Test func `RS256, ES256 and EdDSA are taken with a key set`() async throws {
    let mints = [try Mint.rs256("r"), Mint.es256("e"), try Mint.eddsa("o")]
    try await TemporaryFile.with(Mint.jwks(mints[0], mints[1], mints[2])) { file in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      for mint in mints {
        #expect(try await harness.admit(token: try mint.token()).actor == "token:ann")
        // Each key is good for its own tokens only.
        for other in mints where other.kid != mint.kid {
          let forged = try other.token(header: mint.header())
          await expectRefusal { () async throws(Problem) in try await harness.admit(token: forged) }
        }
      }
    }
  }

  @Test func `tokens made by jwt-kit itself are taken`() async throws {
    struct Claims: JWTPayload {
      var sub = SubjectClaim(value: "kit")
      var exp: ExpirationClaim
      var roles = ["viewer"]
      func verify(using algorithm: some JWTAlgorithm) {}
    }
    let harness = try await GateHarness.secret()
    let keys = JWTKeyCollection()
    await keys.add(hmac: HMACKey(from: Mint.secret), digestAlgorithm: .sha256)
    let end = Double(ManualTime.start.milliseconds) / 1000 + 60
    let token = try await keys.sign(Claims(exp: .init(value: .init(timeIntervalSince1970: end))), kid: "any")
    #expect(try await harness.admit(token: token).actor == "token:kit")
  }

  @Test func `a token is good up to the moment of its exp and not at it, remembered or not`() async throws {
    let harness = try await GateHarness.secret()
    let token = try Mint.hs256.token(Mint.claims(exp: 60))
    let other = try Mint.hs256.token(Mint.claims(sub: "bob", exp: 60))
    harness.time.advance(by: .milliseconds(59_999))
    _ = try await harness.admit(token: token)
    harness.time.advance(by: .milliseconds(1))
    for token in [token, other] {
      await expectRefusal(.unauthenticated, "expired") { () async throws(Problem) in
        try await harness.admit(token: token)
      }
    }
  }

  @Test func `nbf may be ahead by the leeway and no more`() async throws {
    let harness = try await GateHarness.secret()
    _ = try await harness.admit(token: try Mint.hs256.token(Mint.claims(more: #""nbf":\#(Mint.time(10))"#)))
    let early = try Mint.hs256.token(Mint.claims(more: #""nbf":\#(Mint.time(11))"#))
    await expectRefusal(.unauthenticated, "not valid yet") { () async throws(Problem) in
      try await harness.admit(token: early)
    }
    harness.time.advance(by: .seconds(1))
    _ = try await harness.admit(token: early)
  }

  @Test(arguments: [
    (#""iss":"us","aud":"martlet""#, true), (#""iss":"us","aud":["other","martlet"]"#, true),
    (#""iss":"them","aud":"martlet""#, false), (#""aud":"martlet""#, false), (#""iss":"us""#, false),
    (#""iss":"us","aud":"other""#, false), (#""iss":"us","aud":[]"#, false), (#""iss":["us"],"aud":"martlet""#, false),
    (#""iss":"us","aud":{"martlet":1}"#, false), (#""iss":"us","aud":"martlet2""#, false),
    (#""iss":null,"aud":"martlet""#, false), (#""iss":"us","aud":[["martlet"]]"#, false),
  ])
  func `issuer and audience have to be those expected`(claims: String, isGood: Bool) async throws {
    let harness = try await GateHarness.secret(issuer: "us", audience: "martlet")
    let token = try Mint.hs256.token(Mint.claims(more: claims))
    if isGood {
      _ = try await harness.admit(token: token)
    } else {
      await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
    }
  }

  @Test func `a token for somebody's audience is not for a server without one`() async throws {
    let harness = try await GateHarness.secret()
    let token = try Mint.hs256.token(Mint.claims(more: #""iss":"anybody","aud":"billing""#))
    await expectRefusal(.unauthenticated, "audience") { () async throws(Problem) in
      try await harness.admit(token: token)
    }
  }

  @Test func `the scheme may be in any case and have more spaces behind it`() async throws {
    let harness = try await GateHarness.secret()
    let token = try Mint.hs256.token()
    for scheme in ["Bearer ", "bearer ", "BEARER   "] {
      _ = try await harness.admit([.authorization: scheme + token])
    }
  }
}
