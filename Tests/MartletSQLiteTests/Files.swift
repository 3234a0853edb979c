// Databases for the tests of what only the embedded store does: where they lie, and what is said to them.

import Foundation
import MartletCore
import MartletSQLite
import MartletTestKit
import Synchronization

/// Opens a store on a file of its own, hands it to `body` and leaves nothing behind.
func onFile(
  mostDependants: Int = 10_000, mostCascaded: Int = 1000, _ body: (StoreBench, Statements) async throws -> Void
) async throws {
  let statements = Statements()
  let kind = StoreUnderTest(name: "sqlite", isPersistent: true) { time, directory in
    try await SQLiteStore.open(
      path: directory + "/test.db", bounds: CascadeBounds(mostDependants: mostDependants, mostCascaded: mostCascaded),
      trace: { statements.note($0) }, clock: time.clock)
  }
  try await kind.onBench { try await body($0, statements) }
}

/// What a store has had SQLite do.
final class Statements: Sendable {
  private let all = Mutex<[String]>([])

  func note(_ sql: String) {
    all.withLock { $0.append(sql) }
  }

  /// How many transactions that write were begun, or tried to, since then.
  var begins: Int { all.withLock { all in all.count { $0.hasPrefix("BEGIN IMMEDIATE") } } }

  /// Those since the last time that read or write rows, in order.
  func take() -> [String] {
    all.withLock { all in
      defer { all = [] }
      return all.filter { sql in
        ["SELECT", "INSERT", "UPDATE", "DELETE"].contains { sql.hasPrefix($0) } && !sql.contains("grdb_migrations")
          && !sql.contains("sqlite_")
      }
    }
  }
}

/// What a store tells beyond its answers.
final class Heard: Sendable {
  private let hints = Mutex<[StoreHint]>([])

  func note(_ hint: StoreHint) {
    hints.withLock { $0.append(hint) }
  }

  func take() -> [StoreHint] {
    hints.withLock { hints in
      defer { hints = [] }
      return hints
    }
  }
}

func listen(to bench: StoreBench) -> Heard {
  let heard = Heard()
  bench.store.listen { heard.note($0) }
  return heard
}

extension AcceptedTask {
  static func stub(
    _ number: Int, key: String, type: String = "resize", queue: String = "default", priority: Int = 5
  ) -> AcceptedTask {
    var task = AcceptedTask.stub(number, type: type, queue: queue, priority: priority, retries: 0)
    task.concurrencyKey = key
    return task
  }

  static func stub(
    _ number: Int, after parents: some Sequence<Int>, policy: DependencyPolicy = .hold, eligible: When = .now
  ) -> AcceptedTask {
    var task = AcceptedTask.stub(number, eligible: eligible, retries: 0)
    task.dependencies = parents.map { .stub($0) }
    task.onDependencyFailure = policy
    return task
  }
}
