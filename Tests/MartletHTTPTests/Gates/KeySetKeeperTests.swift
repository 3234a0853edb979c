// Where keys come from, when they are read again, and what happens when they cannot be.

internal import MartletCore
internal import MartletTestKit
internal import ScriptedServer
internal import Synchronization
internal import Testing

@testable internal import MartletHTTP

// A waiter that nobody wakes would wait for ever.
@Suite(.timeLimit(.minutes(10))) struct KeySetKeeperTests {
  @Test func `keys are fetched from a URL before the first token is judged`() async throws {
    let mint = Mint.es256("e")
    try await serving({ _ in .json(200, Mint.jwks(mint)) }) { server, harness in
      let credential = try await harness.admit(token: try mint.token())
      #expect(credential.actor == "token:ann")
      #expect(server.requests.map(\.target) == ["/keys"])
      #expect(harness.log.lines.contains("info: keys for tokens"))
    }
  }

  @Test func `a key that is not known makes the keys be fetched again, at most every thirty seconds`() async throws {
    let old = Mint.es256("old")
    let new = Mint.es256("new")
    let published = Mutex([old])
    try await serving({ _ in .json(200, Self.jwks(published.withLock(\.self))) }) { server, harness in
      _ = try await harness.admit(token: try old.token())
      published.withLock { $0 = [old, new] }
      let early = try new.token()
      await expectRefusal { () async throws(Problem) in try await harness.admit(token: early) }
      #expect(server.requests.count == 1)

      harness.clock.advance(by: .seconds(30))
      _ = try await harness.admit(token: try new.token())
      #expect(server.requests.count == 2)

      for number in 0..<10 {
        let token = try Mint.es256("made up \(number)").token()
        await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
      }
      #expect(server.requests.count == 2)
    }
  }

  @Test func `a token without a kid never makes the keys be fetched`() async throws {
    try await serving({ _ in .json(200, Mint.jwks(Mint.es256("a"), Mint.es256("b"))) }) { server, harness in
      let forged = try Mint.es256("a").token()
      await expectRefusal { () async throws(Problem) in try await harness.admit(token: forged) }
      harness.clock.advance(by: .seconds(60))
      let token = try Mint.es256(nil).token()
      await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
      #expect(server.requests.count == 1)
    }
  }

  @Test func `keys are fetched again every five minutes, and who was withdrawn is out`() async throws {
    let old = Mint.es256("old")
    let new = Mint.es256("new")
    let published = Mutex([old])
    try await serving({ _ in .json(200, Self.jwks(published.withLock(\.self))) }) { server, harness in
      let token = try old.token(Mint.claims(exp: 3600))
      _ = try await harness.admit(token: token)
      await harness.clock.nap(of: .seconds(300))
      published.withLock { $0 = [new] }
      _ = try await harness.admit(token: token)
      harness.clock.advance(by: .seconds(300))
      await harness.clock.nap(of: .seconds(300))
      #expect(server.requests.count == 2)
      await expectRefusal { () async throws(Problem) in try await harness.admit(token: token) }
      _ = try await harness.admit(token: try new.token())
    }
  }

  @Test(arguments: Trouble.allCases)
  func `the last good keys stay while new ones cannot be had, which is told once`(trouble: Trouble) async throws {
    let mint = Mint.es256("e")
    // Connecting has ten seconds: where a loaded machine needs more for the first keys, it is begun anew.
    var hasKeys = false
    for _ in 0..<10 where !hasKeys {
      let isDown = Mutex(false)
      try await serving({ _ in
        isDown.withLock(\.self) ? trouble.answer : .json(200, Mint.jwks(mint))
      }) { _, harness in
        let token = try mint.token()
        hasKeys = try await isAdmitted(token, by: harness)
        guard hasKeys else { return }
        await harness.clock.nap(of: .seconds(300))
        isDown.withLock { $0 = true }
        harness.clock.advance(by: .seconds(300))
        for _ in 0..<3 {
          await harness.clock.nap(of: .seconds(30))
          harness.clock.advance(by: .seconds(30))
        }
        await harness.clock.nap(of: .seconds(30))
        let fresh = try mint.token(Mint.claims(sub: "bob"))
        #expect(try await harness.admit(token: fresh).actor == "token:bob")
        #expect(harness.log.lines.count { $0.hasPrefix("warning: the keys for tokens cannot be read") } == 1)
        #expect(harness.log.lines.contains { $0.contains("the last good ones stay in force") })

        isDown.withLock { $0 = false }
        harness.clock.advance(by: .seconds(30))
        await harness.clock.nap(of: .seconds(300))
        #expect(harness.log.lines.last == "info: the keys for tokens can be read again")
      }
    }
    #expect(hasKeys, "the keys could not be read")
  }

  /// False where there are no keys yet.
  private func isAdmitted(_ token: String, by harness: GateHarness) async throws(Problem) -> Bool {
    do throws(Problem) {
      _ = try await harness.admit(token: token)
      return true
    } catch {
      guard error.code == .authUnavailable else { throw error }
      return false
    }
  }

  enum Trouble: CaseIterable, Sendable {
    case status, hangUp, nonsense, noKeys, tooLarge, elsewhere, endless

    var answer: ScriptedAnswer {
      switch self {
      case .status: .json(500, "{}")
      case .hangUp: .hangUp
      case .nonsense: .json(200, "<html>")
      case .noKeys: .json(200, #"{"keys":[]}"#)
      case .tooLarge: .json(200, String(repeating: " ", count: KeySource.sizeLimit + 1))
      case .elsewhere: .json(302, "{}", headers: ["location": "http://keys.example/keys"])
      case .endless: .json(302, "{}", headers: ["location": "/keys"])
      }
    }
  }

  @Test func `without any keys yet tokens are 503, and the fetch is tried again soon`() async throws {
    let mint = Mint.es256("e")
    try await serving({ $0 == 0 ? .hangUp : .json(200, Mint.jwks(mint)) }) { _, harness in
      let token = try mint.token()
      await expectRefusal(.authUnavailable) { () async throws(Problem) in try await harness.admit(token: token) }
      #expect(harness.log.lines.contains { $0.contains("no token can be checked") })
      await harness.clock.nap(of: .seconds(2))
      harness.clock.advance(by: .seconds(2))
      await harness.clock.nap(of: .seconds(300))
      _ = try await harness.admit(token: token)
    }
  }

  @Test func `a server of keys that does not answer is waited for five seconds`() async throws {
    let mint = Mint.es256("e")
    try await serving({ $0 == 0 ? .silence : .json(200, Mint.jwks(mint)) }) { _, harness in
      let token = try mint.token()
      async let refused: Void = expectRefusal(.authUnavailable) { () async throws(Problem) in
        try await harness.admit(token: token)
      }
      await harness.clock.nap(of: KeySource.timeLimit)
      harness.clock.advance(by: KeySource.timeLimit)
      await refused
    }
  }

  @Test func `a redirect within the same server is followed, to another port it is not`() async throws {
    let mint = Mint.es256("e")
    try await serving({ $0 == 0 ? .json(307, "", headers: ["location": "/more"]) : .json(200, Mint.jwks(mint)) }) {
      server, harness in
      _ = try await harness.admit(token: try mint.token())
      #expect(server.requests.map(\.target) == ["/keys", "/more"])
    }
    try await ScriptedServer.serving({ _, _ in .json(200, Mint.jwks(mint)) }) { other in
      try await serving({ _ in .json(307, "", headers: ["location": "\(other.address)/keys"]) }) { _, harness in
        let token = try mint.token()
        await expectRefusal(.authUnavailable) { () async throws(Problem) in try await harness.admit(token: token) }
        #expect(other.requests.isEmpty)
        #expect(harness.log.lines.contains { $0.contains("redirects to another host") })
      }
    }
  }

  @Test func `a file is read again, and a broken one changes nothing`() async throws {
    let old = Mint.es256("old")
    let new = Mint.es256("new")
    try await TemporaryFile.with(Mint.jwks(old)) { file in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      try await harness.running {
        await harness.clock.nap(of: .seconds(300))
        try file.write("{ half of it")
        harness.clock.advance(by: .seconds(300))
        await harness.clock.nap(of: .seconds(30))
        _ = try await harness.admit(token: try old.token())

        try file.write(Mint.jwks(old, new))
        harness.clock.advance(by: .seconds(30))
        await harness.clock.nap(of: .seconds(300))
        _ = try await harness.admit(token: try new.token())
      }
    }
  }

  @Test(arguments: ["", "{}", "[", #"{"keys":[]}"#])
  func `a file without keys keeps the server from starting`(text: String) async throws {
    try await TemporaryFile.with(text) { file in
      await #expect(throws: AuthFailure.self) {
        _ = try await GateHarness(AuthConfiguration(jwt: .init(jwks: file.path)))
      }
    }
  }

  @Test func `a file that is not there, or is no file, is named in one line`() async throws {
    for path in ["/nowhere/keys.json", "/tmp", "/dev/zero"] {
      let failure = await #expect(throws: AuthFailure.self) {
        _ = try await GateHarness(AuthConfiguration(jwt: .init(jwks: path)))
      }
      let text = try #require(failure).description
      #expect(text.hasPrefix("auth.jwt.jwks \(path) cannot be used: ") && !text.contains("\n"), "\(text)")
    }
  }

  private static func jwks(_ mints: [Mint]) -> String {
    #"{"keys":[\#(mints.compactMap(\.jwk).joined(separator: ","))]}"#
  }

  /// A gate at work, whose keys come from a server that answers by the number of the request.
  private func serving(
    _ script: @escaping @Sendable (Int) -> ScriptedAnswer,
    _ body: (ScriptedServer, GateHarness) async throws -> Void
  ) async throws {
    try await ScriptedServer.serving({ _, number in script(number) }) { server in
      let harness = try await GateHarness(AuthConfiguration(jwt: .init(jwks: server.address + "/keys")))
      try await harness.running { try await body(server, harness) }
    }
  }
}
