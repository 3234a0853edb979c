// A book of API keys as a store keeps one, with a count of the questions and a switch that brings it down.

internal import MartletCore
internal import Synchronization

@testable internal import MartletHTTP

final class MemoryAPIKeyBook: APIKeyBook {
  private let state = Mutex(State())
  /// Held questions wait for `release`.
  private let gate = AsyncStream<Void>.makeStream()
  private let questions = AsyncStream<Void>.makeStream()

  private struct State {
    var keys: [APIKeyHash: StoredAPIKey] = [:]
    var asked = 0
    var isDown = false
    var isHeld = false
  }

  private static let secret: [UInt8] = Array(0..<32)

  var asked: Int { state.withLock(\.asked) }

  func hashSecret() async throws(StoreError) -> [UInt8] {
    Self.secret
  }

  func credential(forHash hash: APIKeyHash) async throws(StoreError) -> StoredAPIKey? {
    let (key, isDown, isHeld) = state.withLock { state in
      state.asked += 1
      return (state.keys[hash], state.isDown, state.isHeld)
    }
    questions.continuation.yield()
    if isHeld { for await _ in gate.stream {} }
    guard !isDown else { throw .unavailable("down") }
    return key
  }

  func add(_ key: StoredAPIKey, actor: String) async throws(StoreError) -> StoredAPIKey {
    state.withLock { $0.keys[key.hash] = key }
    return key
  }

  func apiKeys() async throws(StoreError) -> [StoredAPIKey] {
    state.withLock { Array($0.keys.values) }
  }

  func revoke(apiKey id: String, actor: String) async throws(StoreError) -> StoredAPIKey? {
    state.withLock { state in
      guard let key = state.keys.values.first(where: { $0.id == id }) else { return nil }
      return state.keys.removeValue(forKey: key.hash)
    }
  }

  /// Returns once it has been asked.
  func question() async {
    for await _ in questions.stream { return }
  }

  /// The text of a new key.
  func add(
    _ roles: [String], name: String = "mailer", queues: [String]? = nil, expiresAt: Timestamp? = nil
  ) -> String {
    let text = APIKeyText.make()
    let hash = APIKeyText.hash(of: text, secret: Self.secret)
    state.withLock { state in
      state.keys[hash] = StoredAPIKey(
        id: "id-\(state.keys.count)", name: name, hash: hash, roles: roles, queues: queues, expiresAt: expiresAt)
    }
    return text
  }

  func revoke(_ text: String) {
    state.withLock { $0.keys[APIKeyText.hash(of: text, secret: Self.secret)] = nil }
  }

  func set(isDown: Bool) {
    state.withLock { $0.isDown = isDown }
  }

  func hold() {
    state.withLock { $0.isHeld = true }
  }

  func release() {
    state.withLock { $0.isHeld = false }
    gate.continuation.finish()
  }
}
