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
  ) async throws(StoreError) -> OutboxPage? {
    try transaction { state, now in
      state.takeEntries(for: sink, relay: relay, limit: limit, hold: hold, now: now)
    }
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
  ) async throws(StoreError) -> OutboxPage? {
    try await call(.takeEntries) { () async throws(StoreError) in
      try await inner.takeEntries(for: sink, relay: relay, limit: limit, hold: hold)
    }
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
  ) async throws(StoreError) -> OutboxPage? {
    try await call { (store) throws(StoreError) in
      try await store.takeEntries(for: sink, relay: relay, limit: limit, hold: hold)
    }
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
