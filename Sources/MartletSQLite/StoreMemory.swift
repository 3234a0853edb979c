// What the writer remembers from one transaction to the next, so that plain tasks pay nothing for what others have set. A
// transaction works on a copy, which is kept only if it is committed.

internal import MartletCore

struct StoreMemory: Sendable {
  /// As they were last read; nil before the first time.
  var settings: KnownSettings?
  /// The triggers of `makeKeyTriggers` are there.
  var hasKeyTriggers = false
  /// Where tasks were READY that a queue's concurrency had no room for. Whoever ends an attempt there tells these lanes.
  private var withoutRoom: [String: Set<Lane>] = [:]
  /// When `admit` is to come at the latest to have somebody give way, as far as the duty knows; nil: whenever it likes.
  var nextTurn: Timestamp?

  mutating func noteWithoutRoom(_ lanes: Set<Lane>, in queue: String) {
    withoutRoom[queue, default: []].formUnion(lanes)
  }

  /// The lanes of full queues in which there is room again.
  mutating func takeLanesWithRoom(_ hasRoom: (String) -> Bool) -> Set<Lane> {
    if withoutRoom.isEmpty { return [] }
    var lanes: Set<Lane> = []
    for queue in Array(withoutRoom.keys) where hasRoom(queue) {
      lanes.formUnion(withoutRoom.removeValue(forKey: queue) ?? [])
    }
    return lanes
  }
}

/// The settings of queues and types, and the version of the tables that they were read from.
struct KnownSettings: Sendable {
  let version: Int64
  let queues: [String: QueueSettings]
  let pausedTypes: Set<String>
  /// Of queues that have one.
  let maxDepths: [String: Int]
  /// There is a queue whose claims have to be counted.
  let hasLimits: Bool

  init(version: Int64, queues: [String: QueueSettings], pausedTypes: Set<String>) {
    self.version = version
    self.queues = queues
    self.pausedTypes = pausedTypes
    maxDepths = queues.compactMapValues(\.maxDepth)
    hasLimits = queues.values.contains { $0.isLimited }
  }

  subscript(queue: String) -> QueueSettings { queues[queue] ?? QueueSettings() }
}

extension WriteTransaction {
  /// As they are now. Another process may write the tables too, so their version is read once in each transaction that asks.
  func settings() throws -> KnownSettings {
    if knowsSettings, let known = memory.settings { return known }
    let version = try prepared("SELECT version FROM settings_version WHERE id = 1").row { $0.int() } ?? 0
    knowsSettings = true
    if let known = memory.settings, known.version == version { return known }
    let paused = try prepared("SELECT type FROM types WHERE paused = 1").rows { $0.text() }
    let known = KnownSettings(
      version: version, queues: try database.queueSettings(), pausedTypes: Set(paused))
    memory.settings = known
    return known
  }

  /// To be called with every change of settings.
  func renewSettings() throws {
    try prepared("UPDATE settings_version SET version = version + 1 WHERE id = 1").run()
    knowsSettings = false
    told += [.settings, .anyWork]
  }
}
