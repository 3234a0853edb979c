// `SabotagedStore` passes on what it is asked of the outbox, or takes all that was read for delivered.

import MartletCore
import MartletTestKit
import Synchronization

extension SabotagedStore {
  func attend(to sinks: Set<String>) async throws(StoreError) -> String { try await inner.attend(to: sinks) }

  func takeEntries(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> [OutboxEntry]? {
    let taken = try await inner.takeEntries(for: sink, relay: relay, limit: limit, hold: hold)
    if let taken { entries.withLock { $0 = taken.map(\.number) } }
    return taken
  }

  func stories(of entries: [OutboxEntry]) async throws(StoreError) -> [TaskID: TaskStory] {
    try await inner.stories(of: entries)
  }

  func settleEntries(delivered: [Int64], putOff: [Int64: Duration], for sink: String) async throws(StoreError) {
    let all = sabotage == .settlesUndelivered ? entries.withLock(\.self) : delivered
    try await inner.settleEntries(delivered: all, putOff: putOff, for: sink)
  }

  func release(sink: String, relay: String) async throws(StoreError) {
    try await inner.release(sink: sink, relay: relay)
  }

  func sinks() async throws(StoreError) -> [SinkState] { try await inner.sinks() }
}
