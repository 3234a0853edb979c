// The stores that all of this suite runs on. A new one is one line more.

import Foundation
import MartletCore
import MartletPostgres
import MartletSQLite
import MartletTestKit
import PostgresServer

let stores: [StoreUnderTest] = [
  .memory,
  StoreUnderTest(name: "sqlite", isPersistent: true) { time, directory in
    try await SQLiteStore.open(path: directory + "/test.db", clock: time.clock)
  },
  StoreUnderTest(name: "sqlite in memory", isPersistent: false) { time, _ in
    try await SQLiteStore.open(path: ":memory:", clock: time.clock)
  },
  StoreUnderTest(name: "postgres", isPersistent: true) { time, directory in
    var options = PostgresStore.Options(url: try await PostgresServer.shared.url())
    // A schema for each test; the same for the same directory.
    options.schema =
      "t" + URL(fileURLWithPath: directory).lastPathComponent.lowercased().filter { $0.isHexDigit }.suffix(32)
    options.durability = .relaxed
    options.connections = 2
    options.answerWithin = .seconds(120)  // a machine under load is no failure of the store
    options.clock = time.clock
    return try await PostgresStore.open(options)
  },
]

/// When each test begins.
let start = ManualTime.start

func event(
  _ sequence: Int, _ type: TaskEventType, _ at: Timestamp, by actor: String, _ cause: String? = nil
) -> TaskEvent {
  TaskEvent(sequence: sequence, type: type, at: at, actor: actor, cause: cause)
}

/// How often what happens at the same instant is tried; `MARTLET_RACES=10000` for a long look (docs/verification.md).
let races = rounds(20)

/// The same, where every run has other than twenty of them.
func rounds(_ usual: Int) -> Int {
  ProcessInfo.processInfo.environment["MARTLET_RACES"].flatMap(Int.init) ?? usual
}
