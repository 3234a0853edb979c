// `FaultyStore` passes on what it is asked of the settings that all nodes share.

package import MartletCore

extension FaultyStore {
  package func settingsRevision(after number: Int) async throws(StoreError) -> SettingsRevision? {
    try await call(.settingsRevision) { () async throws(StoreError) in
      try await inner.settingsRevision(after: number)
    }
  }

  package func write(_ new: NewSettingsRevision) async throws(StoreError) -> SettingsVerdict {
    try await call(.writeSettings) { () async throws(StoreError) in try await inner.write(new) }
  }

  package func settingsRevisions(before number: Int?, limit: Int) async throws(StoreError) -> [SettingsRevision] {
    try await call(.settingsRevisions) { () async throws(StoreError) in
      try await inner.settingsRevisions(before: number, limit: limit)
    }
  }
}
