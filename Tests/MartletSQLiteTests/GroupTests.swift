// Jobs that have gathered are one transaction: what the trouble of one is to the others, and that what one does is done as a
// whole or not at all.

import Foundation
import GRDB
import MartletCore
import MartletTestKit
import Synchronization
import Testing

@testable import MartletSQLite

@Suite(.timeLimit(.minutes(10))) struct GroupTests {
  // MARK: One caller's trouble

  @Test func `of submissions that are written together only the one that fails is refused`() async throws {
    try await onFile { bench, statements in
      let store = try #require(bench.store as? SQLiteStore)
      let queue = try DatabaseQueue(path: bench.directory + "/test.db")
      let id = "\(TaskID.stub(2))".filter { $0 != "-" }
      let refusal = """
        CREATE TRIGGER refusal BEFORE INSERT ON task_bodies WHEN NEW.id = x'\(id)' BEGIN SELECT raise(ABORT, 'no'); END
        """
      try await queue.write { try $0.execute(sql: refusal) }
      _ = statements.take()
      let results = try await together(5, in: store) { try await store.submit([Submission([.stub($0)])]) }
      let tries = statements.take().count { $0.contains("INTO task_bodies") }
      #expect(tries > 5, "they were one transaction at first")
      for number in 0..<5 {
        switch results[number] {
        case .success(let verdicts)?: #expect(number != 2 && verdicts == [.accepted(at: bench.now)])
        case .failure(let error)?: #expect(number == 2 && error is StoreError)
        case nil: Issue.record("no answer")
        }
      }
      let stored = try await store.tasks((0..<5).map { .stub($0) })
      #expect(stored.map { $0 != nil } == [true, true, false, true, true])
      try queue.close()
    }
  }

  @Test func `what one job throws is answered to it alone, whatever it is`() async throws {
    try await onFile { bench, _ in
      let store = try #require(bench.store as? SQLiteStore)
      let troubles: [any Error] = [UnreadableRow(what: "no"), StoreError.unusable("no"), StoreError.unavailable("no")]
      for trouble in troubles {
        let results = try await together(4, in: store) { number in
          try await store.writer.write { (_: WriteTransaction) -> Int in
            if number == 1 { throw trouble }
            return number
          }
        }
        #expect(results.count == 4)
        for (number, result) in results {
          switch result {
          case .success(let value): #expect(number != 1 && value == number)
          case .failure(let error): #expect(number == 1, "\(error) for \(trouble)")
          }
        }
      }
    }
  }

  @Test func `while another process keeps the file locked, all that have gathered are told of it at once`() async throws
  {
    try await onFile { bench, statements in
      let store = try #require(bench.store as? SQLiteStore)
      var configuration = GRDB.Configuration()
      configuration.allowsUnsafeTransactions = true
      let other = try DatabaseQueue(path: bench.directory + "/test.db", configuration: configuration)
      try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
      _ = statements.take()
      let failures = await withTaskGroup(of: StoreError?.self) { group in
        group.addTask { await failure(of: store) }
        while statements.begins == 0 { await Task.yield() }
        for _ in 0..<3 { group.addTask { await failure(of: store) } }
        while store.writer.waitingCount < 3 { await Task.yield() }
        return await group.reduce(into: [StoreError?]()) { $0.append($1) }
      }
      #expect(failures.count == 4)
      #expect(failures.allSatisfy { $0 == .unavailable("the database is locked by another process") })
      #expect(statements.begins == 2, "each try waits for seconds")
      try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
      try await store.check()
      try other.close()
    }
  }

  private func failure(of store: SQLiteStore) async -> StoreError? {
    do throws(StoreError) {
      try await store.check()
      return nil
    } catch {
      return error
    }
  }

  /// Makes so many calls while the writer is held, so that their jobs are one group. By number.
  private func together<Value: Sendable>(
    _ count: Int, in store: SQLiteStore, _ call: @escaping @Sendable (Int) async throws -> Value
  ) async throws -> [Int: Result<Value, any Error>] {
    let hold = Hold()
    return try await withThrowingTaskGroup(of: (Int, Result<Value, any Error>)?.self) { group in
      group.addTask {
        try await store.writer.write { _ in hold.wait() }
        return nil
      }
      while !hold.isHeld { await Task.yield() }
      for number in 0..<count {
        group.addTask {
          let result: Result<Value, any Error>
          do { result = .success(try await call(number)) } catch { result = .failure(error) }
          return (number, result)
        }
      }
      while store.writer.waitingCount < count { await Task.yield() }
      hold.letGo()
      var results: [Int: Result<Value, any Error>] = [:]
      for try await told in group {
        if let told { results[told.0] = told.1 }
      }
      return results
    }
  }

  // MARK: As a whole

  @Test func `a submission that fails at any of its rows leaves nothing behind`() async throws {
    try await onFile { bench, _ in
      let queue = try DatabaseQueue(path: bench.directory + "/test.db")
      try await bench.submit(.stub(1))
      try await queue.write { try Self.countRows(in: $0) }
      let before = try await queue.read { try Self.contents(of: $0) }

      var (parent, child) = (AcceptedTask.stub(2, key: "k"), AcceptedTask.stub(3, after: [1, 2]))
      parent.notify = [NoticeTarget(.webhook("https://example.com/2"), on: [.success])]
      child.graph = .joinsFirstDependency(orElse: .stub(100))
      let key = IdempotencyKey("key", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0, 1, 2])
      let submission = Submission([parent, child, .stub(4)], keys: [key])
      var verdicts: [SubmissionVerdict]?
      var tries = 0
      for row in 1...500 where verdicts == nil {
        tries = row
        try await queue.write { try $0.execute(sql: "UPDATE refusal SET rest = \(row)") }
        verdicts = try? await bench.verdicts([submission])
        if verdicts == nil {
          let after = try await queue.read { try Self.contents(of: $0) }
          #expect(after == before, "row \(row)")
        }
      }
      #expect(verdicts == [.accepted(at: bench.now)])
      #expect(tries > 12)
      #expect(try await bench.countsByStatus().values.reduce(0, +) == 4)
      try queue.close()
    }
  }

  /// From here on the row that is written when `rest` comes to nothing, in whatever table, is refused.
  private static func countRows(in database: Database) throws {
    let tables = try String.fetchAll(
      database, sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    try database.execute(sql: "CREATE TABLE refusal (rest INTEGER NOT NULL); INSERT INTO refusal VALUES (0)")
    for table in tables {
      for event in ["INSERT", "UPDATE", "DELETE"] {
        try database.execute(
          sql: """
            CREATE TRIGGER refusal_\(table)_\(event) AFTER \(event) ON \(table) BEGIN
              UPDATE refusal SET rest = rest - 1; SELECT raise(ABORT, 'no') FROM refusal WHERE rest = 0;
            END
            """)
      }
    }
  }

  /// By table, but for what counts the rows; and what there is.
  private static func contents(of database: Database) throws -> [String: [String]] {
    var contents: [String: [String]] = [:]
    for table in try String.fetchAll(database, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'")
    where table != "refusal" {
      let columns = try database.columns(in: table).map { "quote(\"\($0.name)\")" }.joined(separator: " || ',' || ")
      contents[table] = try String.fetchAll(database, sql: "SELECT \(columns) FROM \(table) ORDER BY 1")
    }
    contents["sqlite_schema"] = try String.fetchAll(database, sql: "SELECT name FROM sqlite_schema ORDER BY 1")
    return contents
  }
}

/// Keeps the writer busy until it is let go.
private final class Hold: Sendable {
  private let gate = DispatchSemaphore(value: 0)
  private let hasBegun = Atomic(false)

  var isHeld: Bool { hasBegun.load(ordering: .acquiring) }

  func wait() {
    hasBegun.store(true, ordering: .releasing)
    gate.wait()
  }

  func letGo() {
    gate.signal()
  }
}
