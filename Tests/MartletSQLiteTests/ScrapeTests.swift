// What a scrape of the metrics costs the database.

import GRDB
import MartletCore
import MartletTestKit
import Testing

@Suite struct ScrapeTests {
  @Test func `a scrape reads counts and the heads of indexes: as much for a thousand tasks as for ten`() async throws {
    var taken: [[String]] = []
    for many in [10, 1000] {
      try await onFile { bench, statements in
        try await bench.store.attend(to: ["kafka"])
        try await bench.submit((1...many).map { .stub($0) })
        for number in 1...3 {
          try await bench.finish(try await bench.claimOne().lease, number == 1 ? .failed : .success)
        }
        try await bench.store.register(.stub())
        _ = statements.take()
        #expect(try await bench.store.counts().map(\.count).reduce(0, +) == many)
        #expect(try await bench.store.oldestReady().keys.sorted() == ["default"])
        _ = try await bench.store.queueSettings()
        #expect(try await bench.store.workers().count == 1)
        #expect(try await bench.store.sinks().first?.waiting == many + 6)
        _ = try await bench.store.waitingNotices()
        taken.append(statements.take())

        let queue = try DatabaseQueue(path: bench.directory + "/test.db")
        for sql in Set(taken.last ?? []) {
          #expect(!sql.contains("task_bodies") && !sql.contains("FROM tasks"), "\(sql)")
          if sql.contains("task_runs") { #expect(sql.hasSuffix("LIMIT 1"), "\(sql)") }
          for step in try await queue.read({ try Self.plan(of: sql, in: $0) }) where step.hasPrefix("SCAN ") {
            let table = step.split(separator: " ")[1]
            #expect(["counts", "queues", "workers", "s", "(subquery-1)", "notices"].contains(table), "\(step): \(sql)")
          }
        }
        try queue.close()
      }
    }
    #expect(taken[0].count == taken[1].count && Set(taken[0]) == Set(taken[1]))
  }

  private static func plan(of sql: String, in database: Database) throws -> [String] {
    let statement = try database.makeStatement(sql: "EXPLAIN QUERY PLAN \(sql)")
    statement.setUncheckedArguments(StatementArguments())
    return try Row.fetchAll(statement).map { $0["detail"] }
  }
}
