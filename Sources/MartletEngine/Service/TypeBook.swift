// What is set for types, and whom queues tell, remembered by each node: a submission must not cost one more look at the store.

internal import MartletCore
internal import Synchronization

final class TypeBook: Sendable {
  private let store: any TaskStore
  private let known: Mutex<[String: TypeSettings]?> = Mutex(nil)
  private let receivers: Mutex<[String: [NoticeTarget]]> = Mutex([:])

  init(store: any TaskStore) {
    self.store = store
  }

  /// As of the latest look; the first time it looks.
  func current() async throws(StoreError) -> [String: TypeSettings] {
    if let known = known.withLock(\.self) { return known }
    try await refresh()
    return known.withLock(\.self) ?? [:]
  }

  func refresh() async throws(StoreError) {
    let settings = try await store.typeSettings()
    let told = try await store.queueSettings().compactMapValues(\.notify)
    receivers.withLock { $0 = told }
    known.withLock { $0 = settings }
  }

  /// Who is told of a queue's tasks that do not say it, nor their types; as of the latest look.
  func receivers(of queue: String) -> [NoticeTarget]? { receivers.withLock { $0[queue] } }
}

extension PeriodicService {
  /// Looks when it is told of a change, and now and then, since telling may fail.
  static func typeSettings(_ engine: EngineParts, _ types: TypeBook) -> PeriodicService {
    let alarm = Alarm()
    engine.wakeUp.onSettingsChanged { alarm.ring() }
    return PeriodicService(
      "type-settings", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      try await types.refresh()
      return .seconds(10)
    }
  }
}
