// The event stream of the reference model, and of stores within stores.

package import MartletCore

extension MemoryStore {
  package func appendToStream(_ events: [OutgoingEvent], relay: String) async throws(StoreError) -> Bool {
    try transaction { state, now in state.appendToStream(events, relay: relay, now: now) }
  }

  package func streamPage(after position: Int64, limit: Int) async throws(StoreError) -> StreamPage {
    try transaction { state, _ in state.streamPage(after: position, limit: limit) }
  }

  package func pruneStream(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try transaction { state, now in state.pruneStream(olderThan: age, limit: limit, now: now) }
  }
}

extension FaultyStore {
  package func appendToStream(_ events: [OutgoingEvent], relay: String) async throws(StoreError) -> Bool {
    try await call(.appendToStream) { () async throws(StoreError) in
      try await inner.appendToStream(events, relay: relay)
    }
  }

  package func streamPage(after position: Int64, limit: Int) async throws(StoreError) -> StreamPage {
    try await call(.streamPage) { () async throws(StoreError) in
      try await inner.streamPage(after: position, limit: limit)
    }
  }

  package func pruneStream(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await call(.pruneStream) { () async throws(StoreError) in
      try await inner.pruneStream(olderThan: age, limit: limit)
    }
  }
}

extension SimulatedLink {
  package func appendToStream(_ events: [OutgoingEvent], relay: String) async throws(StoreError) -> Bool {
    try await call { (store) throws(StoreError) in try await store.appendToStream(events, relay: relay) }
  }

  package func streamPage(after position: Int64, limit: Int) async throws(StoreError) -> StreamPage {
    try await call { (store) throws(StoreError) in try await store.streamPage(after: position, limit: limit) }
  }

  package func pruneStream(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await call { (store) throws(StoreError) in try await store.pruneStream(olderThan: age, limit: limit) }
  }
}
