// Ends a PostgreSQL server's sessions around their commits, so that those who asked cannot know whether they were heard. A commit is
// caught after it has happened and before it is answered by making all of them wait for a standby that there is not: what is ended
// while it waits so is committed. Others are ended at work, and are not.

import Foundation
import PostgresServer
import Synchronization

final class SessionCutter: Sendable {
  struct Counts: Sendable {
    /// Committed, and nobody was told.
    var committed = 0
    /// At work on what was not committed, or at nothing.
    var others = 0
  }

  private let server: PostgresServer
  private let counters = Mutex(Counts())

  init(_ server: PostgresServer) { self.server = server }

  var counts: Counts { counters.withLock(\.self) }

  /// Cuts until it is cancelled, and leaves the server as it was.
  func run() async throws {
    while !Task.isCancelled {
      do {
        try await waitForStandby(true)
        let committed = try await end("wait_event = 'SyncRep'", tries: 10)
        counters.withLock { $0.committed += committed }
        try await waitForStandby(false)
        let others = try await end("state = 'active' AND wait_event IS DISTINCT FROM 'SyncRep'", tries: 1)
        counters.withLock { $0.others += others }
      } catch {
        // The tests go on only if commits do.
        try await waitForStandby(false)
        throw error
      }
    }
  }

  private func waitForStandby(_ waits: Bool) async throws {
    _ = try await server.query("ALTER SYSTEM SET synchronous_standby_names = '\(waits ? "nobody" : "")'")
    _ = try await server.query("SELECT pg_reload_conf()")
  }

  /// Ends one of those, as soon as there is one.
  private func end(_ which: String, tries: Int) async throws -> Int {
    for _ in 1...tries {
      let ended = try await server.query(
        """
        SELECT pg_terminate_backend(pid, 10000) FROM (
          SELECT pid FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND \(which) ORDER BY random() LIMIT 1) s
        """)
      if ended.first?.first == "t" { return 1 }
    }
    return 0
  }
}
