// The stores that all of this suite runs on. A new one is one line more.

import MartletCore
import MartletSQLite
import MartletTestKit

let stores: [StoreUnderTest] = [
  .memory,
  StoreUnderTest(name: "sqlite", isPersistent: true) { time, directory in
    try await SQLiteStore.open(path: directory + "/test.db", clock: time.clock)
  },
  StoreUnderTest(name: "sqlite in memory", isPersistent: false) { time, _ in
    try await SQLiteStore.open(path: ":memory:", clock: time.clock)
  },
]

/// When each test begins.
let start = ManualTime.start

func event(
  _ sequence: Int, _ type: TaskEventType, _ at: Timestamp, by actor: String, _ cause: String? = nil
) -> TaskEvent {
  TaskEvent(sequence: sequence, type: type, at: at, actor: actor, cause: cause)
}
