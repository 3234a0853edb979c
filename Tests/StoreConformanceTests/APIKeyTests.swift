// API keys as stores keep them.

import MartletCore
import MartletTestKit
import Testing

@Suite struct APIKeyTests {
  @Test(arguments: stores)
  func `the secret of the hashes is drawn once, and the same after a restart`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let secret = try await bench.store.hashSecret()
      #expect(secret.count == 32 && Set(secret).count > 8)
      #expect(try await bench.store.hashSecret() == secret)
      await bench.store.close()
      guard store.isPersistent else { return }
      let again = try await store.make(bench.time, bench.directory)
      #expect(try await again.hashSecret() == secret)
      await again.close()
    }
  }

  @Test(arguments: stores)
  func `whoever asks first at once gets the same secret as all others`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let secrets = try await withThrowingTaskGroup(of: [UInt8].self) { group in
        for _ in 0..<16 { group.addTask { try await bench.store.hashSecret() } }
        return try await group.reduce(into: Set<[UInt8]>()) { $0.insert($1) }
      }
      #expect(secrets.count == 1)
    }
  }

  @Test(arguments: stores)
  func `a key is found by its hash with all that it was made of`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let all = key(1, roles: ["producer", "of-a-later-release"], queues: ["mail*", "a.b"], expiresIn: .seconds(60))
      let kept = try await bench.store.add(all, actor: "key:boss")
      #expect(kept.createdAt == bench.now && kept.lastUsedAt == nil)
      _ = try await bench.store.add(key(2), actor: "key:boss")
      let found = try #require(try await bench.store.credential(forHash: all.hash))
      #expect(found.id == all.id && found.name == all.name && found.hash == all.hash && found.roles == all.roles)
      #expect(found.queues == ["mail*", "a.b"] && found.expiresAt == all.expiresAt && found.createdAt == bench.now)
      #expect(try await bench.store.credential(forHash: hash(2))?.queues == nil)
      #expect(try await bench.store.credential(forHash: hash(3)) == nil)
    }
  }

  @Test(arguments: stores)
  func `a key is over at its end by the store's clock, and stays listed`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let short = key(1, expiresIn: .seconds(10))
      _ = try await bench.store.add(short, actor: "api")
      bench.advance(.milliseconds(9999))
      #expect(try await bench.store.credential(forHash: short.hash) != nil)
      bench.advance(.milliseconds(1))
      #expect(try await bench.store.credential(forHash: short.hash) == nil)
      #expect(try await bench.store.apiKeys().map(\.id) == [short.id])
    }
  }

  @Test(arguments: stores)
  func `keys are listed in the order in which they were made`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      #expect(try await bench.store.apiKeys().isEmpty)
      for number in [3, 1, 2] {
        _ = try await bench.store.add(key(number), actor: "api")
        bench.advance(.seconds(1))
      }
      #expect(try await bench.store.apiKeys().map(\.id) == [key(3).id, key(1).id, key(2).id])
    }
  }

  @Test(arguments: stores)
  func `to add a key again changes nothing and answers what is kept`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = try await bench.store.add(key(1), actor: "api")
      bench.advance(.seconds(5))
      #expect(try await bench.store.add(key(1, roles: ["admin"]), actor: "api") == first)
      #expect(try await bench.store.apiKeys() == [first])
    }
  }

  @Test(arguments: stores)
  func `a revoked key is gone`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let kept = try await bench.store.add(key(1), actor: "api")
      _ = try await bench.store.add(key(2), actor: "api")
      #expect(try await bench.store.revoke(apiKey: "nonsense", actor: "api") == nil)
      #expect(try await bench.store.revoke(apiKey: kept.id, actor: "api") == kept)
      #expect(try await bench.store.revoke(apiKey: kept.id, actor: "api") == nil)
      #expect(try await bench.store.credential(forHash: kept.hash) == nil)
      #expect(try await bench.store.apiKeys().map(\.id) == [key(2).id])
    }
  }

  @Test(arguments: stores)
  func `the latest use is noted to about a minute`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let made = try await bench.store.add(key(1), actor: "api")
      func use() async throws -> Timestamp? {
        let found = try await bench.store.credential(forHash: made.hash)
        #expect(try await bench.store.apiKeys().first?.lastUsedAt == found?.lastUsedAt)
        return found?.lastUsedAt
      }
      #expect(try await use() == start)
      bench.advance(.milliseconds(59_999))
      #expect(try await use() == start)
      bench.advance(.milliseconds(1))
      #expect(try await use() == start + .seconds(60))
      bench.advance(.seconds(600))
      #expect(try await bench.store.apiKeys().first?.lastUsedAt == start + .seconds(60))
      #expect(try await use() == start + .seconds(660))
    }
  }

  @Test(arguments: stores)
  func `of any number who revoke a key at once one does`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let made = try await bench.store.add(key(1), actor: "api")
      let revoked = try await withThrowingTaskGroup(of: Bool.self) { group in
        for _ in 0..<8 {
          group.addTask { try await bench.store.revoke(apiKey: made.id, actor: "api") != nil }
          group.addTask { try await bench.store.credential(forHash: made.hash) == nil && false }
        }
        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
      }
      #expect(revoked == 1)
    }
  }

  @Test(arguments: stores)
  func `to make and to revoke a key is in the audit, once each, and nothing else is`(store: StoreUnderTest) async throws
  {
    try await store.onBench { bench in
      let made = try await bench.store.add(key(1, queues: ["a*"]), actor: "key:boss")
      _ = try await bench.store.add(key(1), actor: "key:other")
      _ = try await bench.store.credential(forHash: made.hash)
      bench.advance(.seconds(1))
      _ = try await bench.store.revoke(apiKey: made.id, actor: "key:late")
      _ = try await bench.store.revoke(apiKey: made.id, actor: "key:later")
      let entries = try await bench.audit()
      let told = entries.map { "\($0.actor) \($0.action.rawValue) \($0.target) \($0.detail ?? "-")" }
      let detail = #"{"name":"key 1 ✓","roles":["viewer"],"queues":["a*"]}"#
      #expect(
        told == ["key:late key.revoke \(made.id) \(detail)", "key:boss key.create \(made.id) \(detail)"])
      #expect(entries.map(\.at) == [start + .seconds(1), start])
    }
  }

  private func key(
    _ number: Int, roles: [String] = ["viewer"], queues: [String]? = nil, expiresIn: Duration? = nil
  ) -> StoredAPIKey {
    StoredAPIKey(
      id: TaskID.stub(number).description, name: "key \(number) ✓", hash: hash(number), roles: roles, queues: queues,
      expiresAt: expiresIn.map { start + $0 })
  }

  private func hash(_ number: Int) -> APIKeyHash {
    guard let hash = APIKeyHash(bytes: (0..<32).map { UInt8($0 * 7 & 0xFF) ^ UInt8(number) }) else {
      preconditionFailure("32 bytes")
    }
    return hash
  }
}
