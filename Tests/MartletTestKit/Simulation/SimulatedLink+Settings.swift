// Settings that all nodes share, over the simulated network.

package import MartletCore

extension SimulatedLink {
  package func settingsRevision(after number: Int) async throws(StoreError) -> SettingsRevision? {
    try await call(true) { (store) throws(StoreError) in try await store.settingsRevision(after: number) }
  }

  package func write(_ new: NewSettingsRevision) async throws(StoreError) -> SettingsVerdict {
    try await call(true) { (store) throws(StoreError) in try await store.write(new) }
  }

  package func settingsRevisions(before number: Int?, limit: Int) async throws(StoreError) -> [SettingsRevision] {
    try await call(true) { (store) throws(StoreError) in
      try await store.settingsRevisions(before: number, limit: limit)
    }
  }
}
