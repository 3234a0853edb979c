// What a store has told those who listen.

import MartletCore
import Synchronization

final class HeardHints: Sendable {
  private let hints = Mutex<[StoreHint]>([])

  var all: [StoreHint] { hints.withLock(\.self) }

  func note(_ hint: StoreHint) { hints.withLock { $0.append(hint) } }
}
