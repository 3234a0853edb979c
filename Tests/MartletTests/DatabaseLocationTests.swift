// Which store a URL means, and what people are shown of it.

import Foundation
import Logging
import MartletCore
import Testing

@testable import Martlet

@Suite("A database's location")
struct DatabaseLocationTests {
  @Test(
    "is shown with all that says where it is, and without a password",
    arguments: [
      ("postgres://app:hush@db:5432/x", "postgres://app@db:5432/x (schema martlet)"),
      ("postgres://app@db/x?sslmode=verify-full&pgbouncer=true", "postgres://app@db/x (schema martlet)"),
      ("postgresql://app@db1:5432,db2/x?password=hush", "postgresql://app@db1:5432,db2/x (schema martlet)"),
      (
        "postgres:///x?host=/run/postgresql&user=app&connect_timeout=3",
        "postgres:///x?host=/run/postgresql&user=app (schema martlet)"
      ),
      ("sqlite:/var/lib/martlet.db", "/var/lib/martlet.db"),
      ("sqlite::memory:", ":memory: (gone when the process ends)"),
    ])
  func shown(url: String, expected: String) throws {
    #expect(try DatabaseLocation(.init(url: url)).shown == expected)
  }

  @Test("names the schema where it is another")
  func schema() throws {
    #expect(try DatabaseLocation(.init(url: "postgres:///x", schema: "two")).shown == "postgres:///x (schema two)")
  }

  @Test("of SQLite is an absolute path")
  func absolute() throws {
    let path = FileManager.default.currentDirectoryPath + "/a.db"
    #expect(try DatabaseLocation(.init(url: "sqlite:x/../a.db")).shown == path)
  }

  @Test(
    "in PostgreSQL is opened by PostgreSQL's store: what nothing listens at is told in one line, without the password")
  func unreachable() async throws {
    let database = Settings.Database(url: "postgres://app:hush@127.0.0.1:1/x")
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    for call in [
      { _ = try await DatabaseLocation(database).open(database, logger: quiet) },
      { _ = try await Schema.read(database) }, { try await Schema.migrate(database) },
    ] as [@Sendable () async throws -> Void] {
      let error = await #expect(throws: StoreError.self) { try await call() }
      let message = try #require(error?.message)
      #expect(!message.contains("hush") && !message.contains("\n"))
      #expect(message.contains("127.0.0.1"), "\(message)")
    }
  }
}
