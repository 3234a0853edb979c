// The settings of who may call: what is right, what is refused and in which words, and what is never shown.

import Foundation
import MartletHTTP
import ScriptedServer
import Testing

@testable import Martlet

@Suite("Settings of access")
struct AccessSettingsTests {
  private static let secret = "a-secret-of-thirty-two-bytes-or-more"

  private func load(
    _ environment: [String: String], files: [String: String] = [:], flags: [String: String] = [:]
  ) throws -> LoadedSettings {
    try withDirectory(files) { directory in
      var environment = environment
      for (name, value) in environment { environment[name] = value.replacing("DIR", with: directory) }
      return try Settings.load(flags: flags, environment: environment, workingDirectory: directory)
    }
  }

  private func problems(
    _ environment: [String: String], files: [String: String] = [:], flags: [String: String] = [:]
  ) throws -> [SettingsProblem] {
    do {
      _ = try load(environment, files: files, flags: flags)
      return []
    } catch let error as SettingsError {
      return error.problems
    }
  }

  @Test("each of them comes from its variable")
  func variables() throws {
    let settings = try load([
      "MARTLET_AUTH_JWT_SECRET": Self.secret, "MARTLET_AUTH_JWT_ISSUER": "https://id.example",
      "MARTLET_AUTH_JWT_AUDIENCE": "martlet", "MARTLET_AUTH_API_KEYS": "yes",
      "MARTLET_AUTH_BOOTSTRAP_KEY": Self.secret, "MARTLET_RATE_LIMIT_PER_SECOND": "2.5",
      "MARTLET_RATE_LIMIT_BURST": "7", "MARTLET_TELEMETRY_METRICS_OPEN": "true",
    ]).settings
    #expect(
      settings.auth
        == .init(
          jwt: .init(secret: Self.secret, issuer: "https://id.example", audience: "martlet"), apiKeys: true,
          bootstrapKey: Self.secret))
    let auth = try #require(settings.authConfiguration)
    #expect(auth.jwt.secret == Self.secret && auth.jwt.issuer == "https://id.example" && auth.jwt.audience == "martlet")
    #expect(auth.apiKeys && auth.bootstrapKey == Self.secret && auth.metricsOpen)
    #expect(auth.rateLimit == MartletHTTP.RateLimit(perSecond: 2.5, burst: 7))
  }

  @Test("without any there is no authentication, and a limit says that it does nothing")
  func none() throws {
    #expect(try load([:]).settings.authConfiguration == nil)
    let loaded = try load(["MARTLET_RATE_LIMIT_PER_SECOND": "1", "MARTLET_AUTH_API_KEYS": "false"])
    #expect(loaded.settings.authConfiguration == nil)
    #expect(
      loaded.warnings.count == 1 && loaded.warnings[0].hasPrefix("rateLimit.perSecond has no effect without auth"))
  }

  @Test("a key set that takes everybody's tokens is cautioned against")
  func keySetForEverybody() throws {
    let keys = ["MARTLET_AUTH_JWT_JWKS": "https://id.example/keys"]
    func cautions(_ more: [String: String]) throws -> Int {
      try load(keys.merging(more) { $1 }).warnings.count { $0.hasPrefix("auth.jwt.jwks without") }
    }
    #expect(try cautions([:]) == 1)
    #expect(try cautions(["MARTLET_AUTH_JWT_ISSUER": "https://id.example"]) == 0)
    #expect(try cautions(["MARTLET_AUTH_JWT_AUDIENCE": "martlet"]) == 0)
  }

  @Test("a bootstrap key alone lets API keys be taken, unless told otherwise")
  func bootstrap() throws {
    let settings = try load(["MARTLET_AUTH_BOOTSTRAP_KEY": Self.secret]).settings
    #expect(settings.authConfiguration?.apiKeys == true)
    let without = try load(["MARTLET_AUTH_BOOTSTRAP_KEY": Self.secret, "MARTLET_AUTH_API_KEYS": "no"]).settings
    #expect(without.authConfiguration?.apiKeys == false)
    #expect(try load(["MARTLET_AUTH_JWT_SECRET": Self.secret]).settings.authConfiguration?.apiKeys == false)
  }

  @Test("a burst that is not given is one second's worth", arguments: [("0.5", 1), ("1", 1), ("2.5", 3), ("100", 100)])
  func burst(perSecond: String, burst: Int) throws {
    let settings = try load(["MARTLET_AUTH_API_KEYS": "true", "MARTLET_RATE_LIMIT_PER_SECOND": perSecond]).settings
    #expect(settings.authConfiguration?.rateLimit?.burst == burst)
  }

  @Test("with auth the server may listen anywhere, and says where credentials go unprotected")
  func listening() throws {
    for means in [
      ["MARTLET_AUTH_API_KEYS": "true"], ["MARTLET_AUTH_JWT_SECRET": Self.secret],
      ["MARTLET_AUTH_BOOTSTRAP_KEY": Self.secret], ["MARTLET_AUTH_JWT_JWKS": "https://id.example/keys"],
    ] {
      let loaded = try load(means, flags: ["server.host": "0.0.0.0"])
      #expect(loaded.settings.server.host == "0.0.0.0")
      let others = loaded.warnings.filter { !$0.hasPrefix("auth.jwt.jwks without") }
      #expect(others.count == 1 && others[0].hasPrefix("without server.tls"))
      #expect(!loaded.settings.privateTargetsAreAllowed)
    }
    #expect(try load(["MARTLET_AUTH_API_KEYS": "true"]).warnings.isEmpty)
    #expect(try load(["MARTLET_AUTH_API_KEYS": "true"]).settings.privateTargetsAreAllowed == false)
    let empty = try problems(["MARTLET_AUTH_API_KEYS": "true"], flags: ["server.host": ""])
    #expect(empty.map(\.description) == ["server.host = \"\" (--host): must not be empty"])
  }

  @Test("a node that does not take tasks itself lets them call no private addresses, unless it is told to")
  func privateTargetsOfWorkers() throws {
    for roles in ["worker", "notifier", "scheduler,worker,notifier"] {
      let loaded = try load([
        "MARTLET_SERVER_ROLES": roles, "MARTLET_DATABASE_URL": "postgres://martlet@db/work",
      ])
      #expect(loaded.settings.server.isOnLoopback && !loaded.settings.privateTargetsAreAllowed, "\(roles)")
    }
    #expect(try load(["MARTLET_SERVER_ROLES": "api,worker"]).settings.privateTargetsAreAllowed)
    let told = ["MARTLET_SERVER_ROLES": "worker", "MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS": "true"]
    #expect(try load(told).settings.privateTargetsAreAllowed)
  }

  @Test("open a port for health and metrics where it is asked for, whatever the roles")
  func listeners() throws {
    func ports(_ environment: [String: String]) throws -> [[String: Int]] {
      try load(environment).settings.listeners.map { ["\($0.purpose)": $0.port] }
    }
    #expect(try ports([:]) == [["api": 8080]])
    #expect(try ports(["MARTLET_SERVER_ROLES": "worker"]) == [])
    let port = ["MARTLET_TELEMETRY_METRICS_PORT": "9464"]
    #expect(try ports(port) == [["api": 8080], ["watching": 9464]])
    #expect(try ports(port.merging(["MARTLET_SERVER_ROLES": "worker"]) { $1 }) == [["watching": 9464]])
    let same = ["MARTLET_TELEMETRY_METRICS_PORT": "8080", "MARTLET_SERVER_ROLES": "worker"]
    #expect(try ports(same) == [["watching": 8080]], "the API does not need it")
    #expect(
      try ports(["MARTLET_TELEMETRY_METRICS_PORT": "0", "MARTLET_SERVER_PORT": "0"]) == [["api": 0], ["watching": 0]])
  }

  @Test(
    "what cannot be right is one line with its setting",
    arguments: [
      (["MARTLET_AUTH_JWT_SECRET": "short"], "auth.jwt.secret", "32 bytes"),
      (["MARTLET_AUTH_JWT_JWKS": "http://id.example/keys"], "auth.jwt.jwks", "must be https"),
      (["MARTLET_AUTH_JWT_JWKS": "DIR/none.json"], "auth.jwt.jwks", "cannot be read: no such file or directory"),
      (["MARTLET_AUTH_JWT_JWKS": "DIR"], "auth.jwt.jwks", "cannot be read: it is not a regular file"),
      (["MARTLET_AUTH_JWT_SECRET": secret, "MARTLET_AUTH_JWT_JWKS": "https://a/b"], "auth.jwt.jwks", "beside"),
      (["MARTLET_AUTH_JWT_ISSUER": "x"], "auth.jwt.issuer", "needs auth.jwt.secret or auth.jwt.jwks"),
      (["MARTLET_AUTH_BOOTSTRAP_KEY": "short"], "auth.bootstrapKey", "32 to 512"),
      (["MARTLET_AUTH_API_KEYS": "maybe"], "auth.apiKeys", "must be true or false"),
      (["MARTLET_RATE_LIMIT_PER_SECOND": "0"], "rateLimit.perSecond", "must be a number from 0.001 to 1000000"),
      (["MARTLET_RATE_LIMIT_PER_SECOND": "nan"], "rateLimit.perSecond", "must be a number"),
      (["MARTLET_RATE_LIMIT_BURST": "5"], "rateLimit.burst", "needs rateLimit.perSecond"),
      (
        ["MARTLET_AUTH_API_KEYS": "1", "MARTLET_RATE_LIMIT_PER_SECOND": "1", "MARTLET_RATE_LIMIT_BURST": "0"],
        "rateLimit.burst", "must be a whole number from 1 to 1000000"
      ),
      (["MARTLET_TELEMETRY_METRICS_OPEN": "x"], "telemetry.metricsOpen", "must be true or false"),
      (
        ["MARTLET_TELEMETRY_METRICS_PORT": "99999"], "telemetry.metricsPort", "must be a whole number from 0 to 65535"
      ),
      (["MARTLET_TELEMETRY_METRICS_PORT": "8080"], "telemetry.metricsPort", "is server.port"),
      (["MARTLET_SERVER_TLS_CERTIFICATE": "DIR/c.pem"], "server.tls.key", "is missing"),
      (["MARTLET_SERVER_TLS_KEY": "DIR/k.pem"], "server.tls.certificate", "is missing"),
    ])
  func refused(environment: [String: String], key: String, words: String) throws {
    let problems = try problems(environment)
    #expect(problems.map(\.key) == [key], "\(problems)")
    let text = problems.map(\.description).joined(separator: "\n")
    #expect(text.contains(words) && !text.contains("\n") && !text.contains(Self.secret) && !text.contains("short"))
  }

  @Test("secrets are hidden wherever settings are shown")
  func hidden() throws {
    let environment = ["MARTLET_AUTH_JWT_SECRET": Self.secret, "MARTLET_AUTH_BOOTSTRAP_KEY": Self.secret + "x"]
    let rows = try load(environment).describe()
    #expect(
      rows.filter { ["auth.jwt.secret", "auth.bootstrapKey"].contains($0.key) }.map(\.value) == [
        "(hidden)", "(hidden)",
      ])
    #expect(!rows.contains { $0.value.contains("a-secret") })
    #expect(rows.first { $0.key == "auth.apiKeys" }?.value == "true")
    for problem in try problems(environment.merging(["MARTLET_SERVER_PORT": "x"]) { $1 }) {
      #expect(!problem.description.contains("a-secret"))
    }
  }

  // MARK: Certificates

  @Test("a certificate with its key is taken, and two that do not belong together are told so")
  func certificates() async throws {
    let (one, other) = (try await SelfSigned(), try await SelfSigned())
    let names = ["MARTLET_SERVER_TLS_CERTIFICATE": "DIR/c.pem", "MARTLET_SERVER_TLS_KEY": "DIR/k.pem"]
    let locked = try await SelfSigned(passphrase: "secret")
    let good = ["c.pem": one.certificate, "k.pem": one.key]
    #expect(try load(names, files: good).settings.tlsFiles != nil)
    func told(_ files: [String: String]) throws -> [String] {
      try problems(names, files: good.merging(files) { $1 }).map { "\($0.key ?? ""): \($0.detail)" }
    }
    #expect(try told(["k.pem": other.key]) == ["server.tls.key: is not the key of the certificate"])
    #expect(
      try told(["k.pem": one.certificate])
        == ["server.tls.key: has no private key in PEM in it, or one with a passphrase"])
    #expect(
      try told(["k.pem": locked.key])
        == ["server.tls.key: has no private key in PEM in it, or one with a passphrase"])
    #expect(try told(["c.pem": ""]) == ["server.tls.certificate: has no certificates in PEM in it"])
    #expect(try told(["c.pem": one.key]) == ["server.tls.certificate: has no certificates in PEM in it"])
    let missing = try problems(names, files: ["c.pem": one.certificate])
    #expect(missing.map(\.detail) == ["cannot be read: no such file or directory"])
  }
}
