internal import Testing

@testable internal import MartletHTTP

@Suite struct AuthConfigurationTests {
  private static let secret = String(repeating: "s", count: 32)

  @Test(arguments: [
    AuthConfiguration(jwt: .init(secret: secret)), AuthConfiguration(jwt: .init(jwks: "keys.json")),
    AuthConfiguration(jwt: .init(jwks: "https://id.example/keys?tenant=1", issuer: "i", audience: "a")),
    AuthConfiguration(jwt: .init(jwks: "http://127.0.0.1:8081/keys")),
    AuthConfiguration(jwt: .init(jwks: "http://localhost/keys")), AuthConfiguration(apiKeys: true),
    AuthConfiguration(bootstrapKey: secret, rateLimit: RateLimit(perSecond: 0.5, burst: 1)),
    AuthConfiguration(jwt: .init(secret: String(repeating: "ß", count: 16)), apiKeys: true, bootstrapKey: secret),
  ])
  func `what is right has no mistakes`(configuration: AuthConfiguration) {
    #expect(configuration.mistakes.isEmpty)
  }

  @Test(arguments: [
    (AuthConfiguration(), "auth"), (AuthConfiguration(rateLimit: RateLimit(perSecond: 1, burst: 1)), "auth"),
    (AuthConfiguration(jwt: .init(secret: String(secret.dropLast()))), "auth.jwt.secret"),
    (AuthConfiguration(jwt: .init(secret: "")), "auth.jwt.secret"),
    (AuthConfiguration(jwt: .init(secret: secret, jwks: "keys.json")), "auth.jwt"),
    (AuthConfiguration(jwt: .init(jwks: "")), "auth.jwt.jwks"),
    (AuthConfiguration(jwt: .init(jwks: "http://id.example/keys")), "auth.jwt.jwks"),
    (AuthConfiguration(jwt: .init(jwks: "HTTP://id.example/keys")), "auth.jwt.jwks"),
    (AuthConfiguration(jwt: .init(jwks: "http://localhost.id.example/keys")), "auth.jwt.jwks"),
    (AuthConfiguration(jwt: .init(jwks: "https://user:password@id.example/keys")), "auth.jwt.jwks"),
    (AuthConfiguration(jwt: .init(jwks: "https://")), "auth.jwt.jwks"),
    (AuthConfiguration(jwt: .init(jwks: "https:///keys")), "auth.jwt.jwks"),
    (AuthConfiguration(jwt: .init(secret: secret, issuer: "")), "auth.jwt.issuer"),
    (AuthConfiguration(jwt: .init(secret: secret, audience: "")), "auth.jwt.audience"),
    (AuthConfiguration(jwt: .init(issuer: "i"), apiKeys: true), "auth.jwt.issuer"),
    (AuthConfiguration(jwt: .init(audience: "a"), apiKeys: true), "auth.jwt.audience"),
    (AuthConfiguration(bootstrapKey: ""), "auth.bootstrapKey"),
    (AuthConfiguration(bootstrapKey: String(secret.dropLast())), "auth.bootstrapKey"),
    (AuthConfiguration(bootstrapKey: secret + " x"), "auth.bootstrapKey"),
    (AuthConfiguration(bootstrapKey: secret + "ä"), "auth.bootstrapKey"),
    (AuthConfiguration(bootstrapKey: String(repeating: "x", count: 513)), "auth.bootstrapKey"),
    (AuthConfiguration(apiKeys: true, rateLimit: RateLimit(perSecond: 0, burst: 1)), "rateLimit.perSecond"),
    (AuthConfiguration(apiKeys: true, rateLimit: RateLimit(perSecond: .nan, burst: 1)), "rateLimit.perSecond"),
    (AuthConfiguration(apiKeys: true, rateLimit: RateLimit(perSecond: .infinity, burst: 1)), "rateLimit.perSecond"),
    (AuthConfiguration(apiKeys: true, rateLimit: RateLimit(perSecond: 1, burst: 0)), "rateLimit.burst"),
    (AuthConfiguration(apiKeys: true, failedAttempts: RateLimit(perSecond: 1, burst: -1)), "auth.failedAttempts.burst"),
  ])
  func `each mistake is one line that names its setting and no secret`(configuration: AuthConfiguration, key: String) {
    let mistakes = configuration.mistakes
    #expect(mistakes.map(\.key) == [key])
    for text in mistakes.map(\.description) {
      #expect(text.hasPrefix("\(key) ") && !text.contains("\n"))
      #expect(!text.contains(Self.secret.dropLast()) && !text.contains("password@"))
    }
  }

  @Test func `all mistakes are told at once`() async throws {
    let configuration = AuthConfiguration(
      jwt: .init(secret: "short", jwks: "http://id.example"), bootstrapKey: "short",
      rateLimit: RateLimit(perSecond: -1, burst: 0))
    #expect(
      configuration.mistakes.map(\.key) == [
        "auth.jwt", "auth.jwt.secret", "auth.jwt.jwks", "auth.bootstrapKey", "rateLimit.perSecond", "rateLimit.burst",
      ])
    let failure = await #expect(throws: AuthFailure.self) { _ = try await GateHarness(configuration) }
    #expect(try #require(failure).description.split(separator: "\n").count == 6)
  }

  @Test(arguments: [
    RateLimit(perSecond: 0, burst: 1), RateLimit(perSecond: .nan, burst: 1), RateLimit(perSecond: -.infinity, burst: 1),
    RateLimit(perSecond: 1e-300, burst: 1), RateLimit(perSecond: 1, burst: .max), RateLimit(perSecond: 1, burst: .min),
  ])
  func `a limit that cannot be counted is refused, not tried`(limit: RateLimit) async {
    for configuration in [
      AuthConfiguration(bootstrapKey: Self.secret, rateLimit: limit),
      AuthConfiguration(bootstrapKey: Self.secret, failedAttempts: limit),
    ] {
      await #expect(throws: AuthFailure.self) { _ = try await GateHarness(configuration) }
    }
  }

  @Test func `no text of a configuration has a secret in it`() {
    let configuration = AuthConfiguration(jwt: .init(secret: Self.secret), bootstrapKey: Self.secret + "x")
    for text in ["\(configuration)", "\(configuration.jwt)", String(reflecting: configuration)] {
      #expect(!text.contains(Self.secret))
    }
  }

  @Test func `a server with a mistake does not listen`() async throws {
    await #expect(throws: AuthFailure.self) {
      try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration() }) { _ in
        Issue.record("it listens")
      }
    }
  }
}
