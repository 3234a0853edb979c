// Settings of queues and types: small tables, written by operators, remembered by the writer (`StoreMemory`).

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func queueSettings() async throws(StoreError) -> [String: QueueSettings] {
    try await read { try $0.queueSettings() }
  }

  package func change(
    queue: String, _ patch: QueuePatch, actor: String
  ) async throws(StoreError) -> QueueSettings {
    let note = patch.note(queue: queue, actor: actor)
    return try await writer.write { transaction in
      try transaction.audit(note)
      return try transaction.change(queue: queue, patch)
    }
  }

  package func typeSettings() async throws(StoreError) -> [String: TypeSettings] {
    try await read { database in
      let rows = try database.prepared("SELECT type, paused, defaults FROM types").rows { columns in
        let type = columns.text()
        var settings = TypeSettings()
        settings.isPaused = columns.bool()
        settings.defaults = try TypeDefaults(column: columns.text())
        return (type, settings)
      }
      return Dictionary(rows, uniquingKeysWith: { _, last in last })
    }
  }

  package func put(type: String, _ settings: TypeSettings, actor: String) async throws(StoreError) {
    let note = settings.note(type: type, actor: actor)
    try await writer.write { transaction in
      try transaction.audit(note)
      try transaction.put(type: type, settings)
    }
  }
}

extension Database {
  func queueSettings() throws -> [String: QueueSettings] {
    let rows = try prepared("SELECT queue, paused, concurrency, per_key, rate, burst, max_depth, notify FROM queues")
      .rows { columns in
        let queue = columns.text()
        var settings = QueueSettings()
        settings.isPaused = columns.bool()
        settings.concurrency = columns.optionalInt().map { Int($0) }
        settings.concurrencyPerKey = columns.optionalInt().map { Int($0) }
        settings.ratePerSecond = columns.optionalDouble()
        settings.burst = columns.optionalInt().map { Int($0) }
        settings.maxDepth = columns.optionalInt().map { Int($0) }
        settings.notify = try columns.optionalText().map { try [NoticeTarget](column: $0) }
        return (queue, settings)
      }
    return Dictionary(rows, uniquingKeysWith: { _, last in last })
  }
}

extension WriteTransaction {
  fileprivate func change(queue: String, _ patch: QueuePatch) throws -> QueueSettings {
    let old = try settings()[queue]
    let new = patch.applied(to: old)
    let hasRate = new.ratePerSecond != nil
    let keepsBucket = hasRate && new.ratePerSecond == old.ratePerSecond && new.capacity == old.capacity
    try prepared(
      """
      INSERT INTO queues (queue, paused, concurrency, per_key, rate, burst, max_depth, tokens, counted_at, notify)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?11)
      ON CONFLICT DO UPDATE SET paused = excluded.paused, concurrency = excluded.concurrency, per_key = excluded.per_key,
        rate = excluded.rate, burst = excluded.burst, max_depth = excluded.max_depth, notify = excluded.notify,
        tokens = CASE WHEN ?10 THEN tokens ELSE excluded.tokens END,
        counted_at = CASE WHEN ?10 THEN counted_at ELSE excluded.counted_at END
      """
    ).run(
      queue, new.isPaused, new.concurrency, new.concurrencyPerKey, new.ratePerSecond, new.burst, new.maxDepth,
      hasRate ? new.capacity : nil, hasRate ? now : nil, keepsBucket, new.notify?.text)
    try renewSettings()
    if new.concurrencyPerKey ?? .max > old.concurrencyPerKey ?? .max { try walkKeys(of: queue) }
    return new
  }

  fileprivate func put(type: String, _ settings: TypeSettings) throws {
    let wasPaused = try self.settings().pausedTypes.contains(type)
    try prepared(
      """
      INSERT INTO types (type, paused, defaults) VALUES (?1, ?2, ?3)
      ON CONFLICT DO UPDATE SET paused = excluded.paused, defaults = excluded.defaults
      """
    ).run(type, settings.isPaused, settings.defaults.column)
    try renewSettings()
    if wasPaused, !settings.isPaused { try walkAllKeys() }
  }
}
