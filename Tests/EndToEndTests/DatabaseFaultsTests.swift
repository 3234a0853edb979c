// What the checker asks of a PostgreSQL database: each kind of damage must be found, or the fault runs prove nothing.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("The checker of databases")
  struct DatabaseFaultsTests {
    /// What is done to a sound database, and what is to be said of it.
    private static let damages = [
      ("UPDATE martlet.counts SET count = count + 1", "counted and not there"),
      (
        "INSERT INTO martlet.count_changes (lane, old, new, count) SELECT id, 5, 6, 1 FROM martlet.lanes LIMIT 1",
        "counted and not there"
      ),
      ("DELETE FROM martlet.task_bodies WHERE id = :one", "half of a task"),
      ("UPDATE martlet.task_runs SET claimable = true WHERE id = :one", "columns that contradict the status"),
      ("UPDATE martlet.task_runs SET finished_at = NULL WHERE id = :one", "columns that contradict the status"),
      ("UPDATE martlet.attempts SET outcome = 1 WHERE task = :retried AND number = 1", "a success accepted twice"),
      (
        "UPDATE martlet.attempts SET outcome = 1 WHERE task = :retried AND number = 1",
        "a success of which the task knows nothing"
      ),
      ("DELETE FROM martlet.attempts WHERE task = :retried AND number = 1", "attempts that are missing or told twice"),
      ("UPDATE martlet.task_runs SET attempt = attempt + 1 WHERE id = :one", "attempts that are missing or told twice"),
      (
        "UPDATE martlet.attempts SET finished_at = finished_at + 60000 WHERE task = :retried AND number = 1",
        "an attempt that began before the one before had ended"
      ),
      ("DELETE FROM martlet.attempts WHERE task = :retried AND number = 1", "a history with a gap"),
      ("UPDATE martlet.task_runs SET sequence = sequence + 1 WHERE id = :one", "a history with a gap"),
      ("UPDATE martlet.task_runs SET ready_sequence = 1 WHERE id = :one", "a history with a gap"),
      ("DELETE FROM martlet.task_runs WHERE id = :retried", "history of a task that is not there"),
    ]

    @Test func `it finds each kind of damage, and nothing in a sound database`() async throws {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        let settings = ["MARTLET_DATABASE_DURABILITY": "relaxed", "MARTLET_DATABASE_URL": database.url]
        let server = try await scene.serve(by: "TestServer", environment: settings)
        let backoff = #""backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}"#
        let one = try await server.api.submit(#"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#)
        // Each ends in its own way: retried, dead, cancelled before and at work, given back, later than at once.
        let gate = scene.file("gate")
        let waiting =
          #"{"type": "WAIT_FOR_FILE", "payload": {"path": "\#(gate.path)"}, "leaseSeconds": 5, \#(backoff)}"#
        let held = try await server.api.submit(waiting)
        let cancelled = try await server.api.submit(waiting)
        let dead = try await server.api.submit(
          #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 2, \#(backoff)}"#)
        let never = try await server.api.submit(#"{"type": "nobody-knows"}"#)
        _ = try await server.api.submit(
          #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}, "delaySeconds": 0.2}"#)
        try await server.api.task(one, becomes: "SUCCESS")
        try await server.api.task(dead, becomes: "DEAD")
        for id in [held, cancelled] { try await server.api.task(id, becomes: "RUNNING") }
        for id in [cancelled, never] { _ = try await server.api.post("/tasks/\(id)/cancel") }
        try await server.api.task(cancelled, becomes: "CANCELLED")
        try await server.kill()
        let heir = try await scene.serve(by: "TestServer", environment: settings)
        try Data().write(to: gate)
        try await heir.api.task(held, becomes: "SUCCESS")
        try await heir.api.allAreAtRest()
        #expect(try await heir.stop() == .exited(0))
        #expect(try await database.faults() == [])

        for (damage, finding) in Self.damages {
          let copy = try await database.copy()
          let sql = damage.replacing(":one", with: "'\(one)'").replacing(":retried", with: "'\(held)'")
          _ = try await copy.query(sql)
          let faults = try await copy.faults()
          #expect(faults.contains { $0.hasPrefix(finding) }, "\(damage) was found as \(faults)")
        }
      }
    }
  }
}
