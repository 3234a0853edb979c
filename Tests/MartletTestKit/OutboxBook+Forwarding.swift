// The outbox of the reference model, and of stores within stores.

package import MartletCore

extension MemoryStore {
  @discardableResult
  package func attend(to sinks: Set<String>) async throws(StoreError) -> String {
    try transaction { state, now in
      state.attend(to: sinks, now: now)
      return "memory"
    }
  }

  package func takeEntries(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> [OutboxEntry]? {
    try transaction { state, now in
      state.takeEntries(for: sink, relay: relay, limit: limit, hold: hold, now: now)
    }
  }

  package func stories(of entries: [OutboxEntry]) async throws(StoreError) -> [TaskID: TaskStory] {
    try transaction { state, _ in state.stories(of: entries) }
  }

  package func settleEntries(
    delivered: [Int64], putOff: [Int64: Duration], for sink: String
  ) async throws(StoreError) {
    try transaction { state, now in
      state.settleEntries(delivered: delivered, putOff: putOff, for: sink, now: now)
    }
  }

  package func release(sink: String, relay: String) async throws(StoreError) {
    try transaction { state, _ in state.release(sink: sink, relay: relay) }
  }

  package func sinks() async throws(StoreError) -> [SinkState] {
    try transaction { state, now in state.sinkStates(now: now) }
  }
}

extension FaultyStore {
  @discardableResult
  package func attend(to sinks: Set<String>) async throws(StoreError) -> String {
    try await call(.attend) { () async throws(StoreError) in try await inner.attend(to: sinks) }
  }

  package func takeEntries(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> [OutboxEntry]? {
    try await call(.takeEntries) { () async throws(StoreError) in
      try await inner.takeEntries(for: sink, relay: relay, limit: limit, hold: hold)
    }
  }

  package func stories(of entries: [OutboxEntry]) async throws(StoreError) -> [TaskID: TaskStory] {
    try await call(.stories) { () async throws(StoreError) in try await inner.stories(of: entries) }
  }

  package func settleEntries(
    delivered: [Int64], putOff: [Int64: Duration], for sink: String
  ) async throws(StoreError) {
    try await call(.settleEntries) { () async throws(StoreError) in
      try await inner.settleEntries(delivered: delivered, putOff: putOff, for: sink)
    }
  }

  package func release(sink: String, relay: String) async throws(StoreError) {
    try await call(.release) { () async throws(StoreError) in try await inner.release(sink: sink, relay: relay) }
  }

  package func sinks() async throws(StoreError) -> [SinkState] {
    try await call(.sinks) { () async throws(StoreError) in try await inner.sinks() }
  }
}

extension SimulatedLink {
  @discardableResult
  package func attend(to sinks: Set<String>) async throws(StoreError) -> String {
    try await call { (store) throws(StoreError) in try await store.attend(to: sinks) }
  }

  package func takeEntries(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> [OutboxEntry]? {
    try await call { (store) throws(StoreError) in
      try await store.takeEntries(for: sink, relay: relay, limit: limit, hold: hold)
    }
  }

  package func stories(of entries: [OutboxEntry]) async throws(StoreError) -> [TaskID: TaskStory] {
    try await call { (store) throws(StoreError) in try await store.stories(of: entries) }
  }

  package func settleEntries(
    delivered: [Int64], putOff: [Int64: Duration], for sink: String
  ) async throws(StoreError) {
    try await call { (store) throws(StoreError) in
      try await store.settleEntries(delivered: delivered, putOff: putOff, for: sink)
    }
  }

  package func release(sink: String, relay: String) async throws(StoreError) {
    try await call { (store) throws(StoreError) in try await store.release(sink: sink, relay: relay) }
  }

  package func sinks() async throws(StoreError) -> [SinkState] {
    try await call { (store) throws(StoreError) in try await store.sinks() }
  }
}

extension OutboxBook {
  /// What a relay may have now, with what it tells.
  package func takePage(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> OutboxPage? {
    guard let entries = try await takeEntries(for: sink, relay: relay, limit: limit, hold: hold) else { return nil }
    return OutboxPage(entries: entries, stories: try await stories(of: entries))
  }
}
