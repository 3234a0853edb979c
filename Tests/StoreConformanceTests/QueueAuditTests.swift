// What the audit says of changed settings.

import MartletCore
import MartletTestKit
import Testing

@Suite struct QueueAuditTests {
  @Test(arguments: stores)
  func `each change of settings is written down with the values that were set`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set("mail") {
        $0.isPaused = true
        $0.concurrency = .value(5)
        $0.ratePerSecond = .value(0.5)
        $0.maxDepth = .none
      }
      bench.advance(.seconds(1))
      try await bench.set(type: "resize") {
        $0.isPaused = true
        $0.defaults.priority = 7
      }
      let entries = try await bench.store.audit(AuditQuery()).entries
      #expect(
        entries.map { "\($0.action.rawValue) \($0.target) by \($0.actor)" } == [
          "type.put resize by key-1", "queue.update mail by key-1",
        ])
      #expect(
        entries.map(\.detail) == [
          #"{"paused":true,"defaults":{"priority":7}}"#,
          #"{"paused":true,"concurrency":5,"ratePerSecond":0.5,"maxDepth":null}"#,
        ])
      #expect(entries.map(\.at) == [start + .seconds(1), start])
    }
  }
}
