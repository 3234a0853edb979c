// The audit of the reference model: a list that grows.

package import MartletCore

extension MemoryStore {
  package func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage {
    try transaction { state, _ in
      let matching = state.audit.map(\.entry).filter(query.matches).sorted { AuditPlace($0) > AuditPlace($1) }
      let page = Array(matching.prefix(query.limit))
      return AuditPage(entries: page, next: matching.count > page.count ? page.last.map { AuditPlace($0) } : nil)
    }
  }

  package func pruneAudit(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try transaction { state, now in
      let old = state.audit.map(\.entry).filter { $0.at + age <= now }.map { AuditPlace($0) }.sorted().prefix(limit)
      state.audit.removeAll { old.contains(AuditPlace($0.entry)) }
      return old.count
    }
  }
}

extension MemoryState {
  /// Writes down an act of this transaction.
  mutating func write(_ note: AuditNote, now: Timestamp) {
    guard !audit.contains(where: { $0.number == note.number }) else { return }
    let entry = AuditEntry(
      sequence: (audit.last?.entry.sequence ?? 0) + 1, at: now, actor: note.actor, action: note.action,
      target: note.target, detail: note.detail)
    audit.append((note.number, entry))
  }

  mutating func submitAndWriteDown(_ submission: Submission, now: Timestamp) -> SubmissionVerdict {
    let verdict = submit(submission, now: now)
    if let note = submission.note, verdict.isWritten { write(note, now: now) }
    return verdict
  }
}
