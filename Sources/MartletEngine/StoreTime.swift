// The store's time without asking it each time: the monotonic clock plus an offset that is measured now and then. Good enough
// for ids and for the validation of `expiresAt`; all that matters is decided by the store itself.

internal import MartletCore
internal import Synchronization

final class StoreTime: Sendable {
  private let store: any TaskStore
  private let clock: any EngineClock
  /// Milliseconds to add to the monotonic clock's.
  private let offset: Mutex<Int64?> = Mutex(nil)

  init(store: any TaskStore, clock: any EngineClock) {
    self.store = store
    self.clock = clock
  }

  func refresh() async throws(StoreError) {
    let before = clock.now
    let time = try await store.now()
    let middle = before.nanoseconds / 2 + clock.now.nanoseconds / 2
    offset.withLock { $0 = time.milliseconds - middle / 1_000_000 }
  }

  /// Asks the store only the first time.
  func now() async throws(StoreError) -> Timestamp {
    if offset.withLock({ $0 == nil }) { try await refresh() }
    return Timestamp(milliseconds: clock.now.nanoseconds / 1_000_000 + (offset.withLock(\.self) ?? 0))
  }
}

extension PeriodicService {
  /// Keeps the estimate of the store's time.
  static func storeTime(_ engine: EngineParts) -> PeriodicService {
    PeriodicService("store-time", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      try await engine.storeTime.refresh()
      return .seconds(10)
    }
  }
}
