// The clock of a store under test: it stands still until a test moves it.

package import MartletCore
internal import Synchronization

package final class ManualTime: Sendable {
  private let time: Mutex<Timestamp>

  /// 2026-02-01T10:00:00.000Z, where every test begins unless it says otherwise.
  package static let start = Timestamp(milliseconds: 1_769_940_000_000)

  package init(_ start: Timestamp = ManualTime.start) {
    time = Mutex(start)
  }

  package var now: Timestamp {
    time.withLock { $0 }
  }

  /// What a store is given as its clock.
  package var clock: @Sendable () -> Timestamp {
    { self.now }
  }

  package func set(_ now: Timestamp) {
    time.withLock { $0 = now }
  }

  package func advance(by duration: Duration) {
    time.withLock { $0 = $0 + duration }
  }
}
