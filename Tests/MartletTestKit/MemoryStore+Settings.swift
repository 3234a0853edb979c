// Settings that all nodes share, in the reference model: a list of revisions.

package import MartletCore

extension MemoryStore {
  package func settingsRevision(after number: Int) async throws(StoreError) -> SettingsRevision? {
    try transaction { state, _ in
      guard let latest = state.settings.last?.revision, latest.number > number else { return nil }
      return latest
    }
  }

  package func write(_ new: NewSettingsRevision) async throws(StoreError) -> SettingsVerdict {
    try transaction { state, now in
      if let known = state.settings.first(where: { $0.note == new.note.number }) { return .written(known.revision) }
      guard (state.settings.last?.revision.number ?? 0) == new.base else { return .outdated }
      let revision = new.written(at: now)
      state.settings.append((new.note.number, revision))
      state.settings = Array(state.settings.suffix(SettingsRevision.kept))
      state.write(new.note, now: now)
      state.hints.append(.settings)
      return .written(revision)
    }
  }

  package func settingsRevisions(before number: Int?, limit: Int) async throws(StoreError) -> [SettingsRevision] {
    try transaction { state, _ in
      let all = state.settings.map(\.revision).reversed()
      return Array(all.filter { revision in number.map { revision.number < $0 } ?? true }.prefix(limit))
    }
  }
}
