// API keys: their form, their hash, and how soon a revoked one is dead.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct APIKeyTests {
  @Test func `a key is mk_, 43 random characters and 6 of checksum`() {
    let keys = (0..<200).map { _ in APIKeyText.make() }
    #expect(Set(keys).count == keys.count)
    for key in keys {
      #expect(key.utf8.count == 52 && key.hasPrefix("mk_"))
      #expect(key.dropFirst(3).allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) })
      #expect(APIKeyText.isWellFormed(key))
    }
  }

  @Test func `the checksum is CRC-32 in base 62`() {
    // zlib.crc32(b"0" * 43) is 2,018,072,207, which is 2CZclj in base 62.
    let secret = String(repeating: "0", count: 43)
    #expect(APIKeyText.isWellFormed("mk_\(secret)2CZclj"))
    #expect(!APIKeyText.isWellFormed("mk_\(secret)2CZclk"))
  }

  @Test func `a key with any one character changed, lost or added is not well formed`() {
    let key = APIKeyText.make(random: RandomSource(seed: 3))
    for index in key.indices {
      let other: Character = key[index] == "a" ? "b" : "a"
      #expect(!APIKeyText.isWellFormed(key.replacingCharacters(at: index, with: String(other))))
      #expect(!APIKeyText.isWellFormed(key.replacingCharacters(at: index, with: "")))
      #expect(!APIKeyText.isWellFormed(key.replacingCharacters(at: index, with: "\(key[index])\(key[index])")))
    }
    for text in ["", "mk_", "MK_" + key.dropFirst(3), " " + key, key + "\u{0}", key + "é"] {
      #expect(!APIKeyText.isWellFormed(text))
    }
  }

  @Test func `the hash is HMAC-SHA-256 under the installation's secret`() {
    // RFC 4231, test case 2.
    let hash = APIKeyText.hash(of: "what do ya want for nothing?", secret: Array("Jefe".utf8))
    let hex = hash.bytes.map { String($0, radix: 16) }.map { $0.count == 1 ? "0" + $0 : $0 }.joined()
    #expect(hex == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    #expect(hash.isSame(as: hash))
    #expect(!hash.isSame(as: APIKeyText.hash(of: "what do ya want for nothing?", secret: Array("jefe".utf8))))
  }

  @Test func `a key gives its name, roles, queues and id, from either header`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["producer", "of-a-later-release"], name: "shop", queues: ["mail*"])
    let harness = try await GateHarness(AuthConfiguration(apiKeys: true), book: book)
    for credential in [try await harness.admit(key: key), try await harness.admit(token: key)] {
      #expect(credential.actor == "key:shop")
      #expect(credential.roles == [.producer])
      #expect(credential.queues?.map(\.description) == ["mail*"])
      #expect(credential.keyID == "id-0")
    }
    #expect(book.asked == 1)
  }

  @Test func `a key that is mistyped is told so without asking the store`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    let harness = try await GateHarness(AuthConfiguration(apiKeys: true), book: book)
    for text in [String(key.dropLast()), key + "x", key.uppercased(), "mk_", "nonsense", "mk_../../etc/passwd"] {
      await expectRefusal(.unauthenticated, "mistyped") { () async throws(Problem) in try await harness.admit(key: text)
      }
    }
    #expect(book.asked == 0)
    await expectRefusal(.unauthenticated, "not known") { () async throws(Problem) in
      try await harness.admit(key: APIKeyText.make())
    }
    #expect(book.asked == 1)
  }

  @Test func `a revoked key is dead after five seconds at the latest`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    let harness = try await GateHarness(AuthConfiguration(apiKeys: true), book: book)
    _ = try await harness.admit(key: key)
    book.revoke(key)
    harness.clock.advance(by: .milliseconds(4999))
    _ = try await harness.admit(key: key)
    #expect(book.asked == 1)
    harness.clock.advance(by: .milliseconds(1))
    await expectRefusal { () async throws(Problem) in try await harness.admit(key: key) }
    await expectRefusal { () async throws(Problem) in try await harness.admit(key: key) }
  }

  @Test func `the five seconds count from before the store was asked`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    let harness = try await GateHarness(AuthConfiguration(apiKeys: true), book: book)
    book.hold()
    async let first = harness.admit(key: key)
    await book.question()
    harness.clock.advance(by: .seconds(4))
    book.revoke(key)
    book.release()
    _ = try await first
    harness.clock.advance(by: .seconds(1))
    await expectRefusal { () async throws(Problem) in try await harness.admit(key: key) }
  }

  @Test func `a key is dead from its end on, remembered or not`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"], expiresAt: ManualTime.start + .seconds(2))
    let harness = try await GateHarness(AuthConfiguration(apiKeys: true), book: book)
    _ = try await harness.admit(key: key)
    harness.time.advance(by: .milliseconds(1999))
    _ = try await harness.admit(key: key)
    harness.time.advance(by: .milliseconds(1))
    await expectRefusal { () async throws(Problem) in try await harness.admit(key: key) }
  }

  @Test func `requests that come while a key is looked up share the answer`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    let harness = try await GateHarness(AuthConfiguration(apiKeys: true), book: book)
    book.hold()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<50 { group.addTask { _ = try await harness.admit(key: key) } }
      await book.question()
      book.release()
      try await group.waitForAll()
    }
    #expect(book.asked == 1)
  }

  @Test func `while the store is down a key that is not fresh is 503, and costs its address nothing`() async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    let configuration = AuthConfiguration(apiKeys: true, failedAttempts: RateLimit(perSecond: 1, burst: 1))
    let harness = try await GateHarness(configuration, book: book)
    book.set(isDown: true)
    for _ in 0..<5 {
      await expectRefusal(.storeUnavailable) { () async throws(Problem) in
        try await harness.admit(key: key, from: "192.0.2.1")
      }
    }
    book.set(isDown: false)
    _ = try await harness.admit(key: key, from: "192.0.2.1")
    book.set(isDown: true)
    harness.clock.advance(by: .seconds(4))
    _ = try await harness.admit(key: key, from: "192.0.2.1")
  }

  @Test func `without apiKeys no key of the store is taken, and without a store the server does not start`()
    async throws
  {
    let book = MemoryAPIKeyBook()
    let key = book.add(["viewer"])
    let harness = try await GateHarness(AuthConfiguration(jwt: .init(secret: Mint.secret)), book: book)
    await expectRefusal(.unauthenticated, "not taken") { () async throws(Problem) in try await harness.admit(key: key) }
    #expect(book.asked == 0)
    await #expect(throws: AuthFailure.self) { _ = try await GateHarness(AuthConfiguration(apiKeys: true)) }
  }
}

extension String {
  fileprivate func replacingCharacters(at index: Index, with text: String) -> String {
    self[..<index] + text + self[self.index(after: index)...]
  }
}
