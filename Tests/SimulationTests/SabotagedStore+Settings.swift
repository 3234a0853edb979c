// `SabotagedStore` passes on what it is asked of the settings that all nodes share.

import MartletCore
import MartletTestKit

extension SabotagedStore {
  func settingsRevision(after number: Int) async throws(StoreError) -> SettingsRevision? {
    try await inner.settingsRevision(after: number)
  }

  func write(_ new: NewSettingsRevision) async throws(StoreError) -> SettingsVerdict {
    try await inner.write(new)
  }

  func settingsRevisions(before number: Int?, limit: Int) async throws(StoreError) -> [SettingsRevision] {
    try await inner.settingsRevisions(before: number, limit: limit)
  }
}
