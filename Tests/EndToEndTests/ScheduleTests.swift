// A schedule on real nodes over a real database, one of which is killed and comes back: each tick makes one task.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Schedules")
  struct ScheduleTests {
    /// The ticks that have a task, first to last.
    private static func ticks(_ api: API) async throws -> [Timestamp] {
      let tasks = try await api.found("/tasks?scheduleName=tick&limit=1000")["data"]?.elements ?? []
      return tasks.reversed().compactMap { $0["runAt"]?.string.flatMap(Timestamp.init) }
    }

    @Test func `each tick makes one task on two nodes, of which one is killed and comes back`() async throws {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        let settings = ["MARTLET_DATABASE_DURABILITY": "relaxed", "MARTLET_DATABASE_URL": database.url]
        let one = try await scene.serve(environment: settings)
        let two = try await scene.serve(environment: settings)
        let reply = try await one.api.post(
          "/schedules",
          #"""
          {"name":"tick","everySeconds":1,"misfire":"FIRE_ONCE",
          "task":{"type":"FAIL_SOMETIMES","payload":{"probability":0}}}
          """#)
        #expect(reply.status == 201)
        try await eventually("two ticks") { try await Self.ticks(two.api).count >= 2 }
        try await two.kill()
        let before = try await Self.ticks(one.api).count
        try await eventually("ticks on the other node") { try await Self.ticks(one.api).count >= before + 2 }
        let again = try await scene.serve(environment: settings)
        try await one.kill()
        let without = try await Self.ticks(again.api).count
        try await eventually("ticks after the return") { try await Self.ticks(again.api).count >= without + 2 }
        let byHand = try await again.api.post("/schedules/tick/trigger")
        #expect(byHand.status == 201)
        let id = try #require(try byHand.json()["id"]?.string)
        try await again.api.task(id, becomes: "SUCCESS")

        let ticks = try await Self.ticks(again.api)
        let created = try #require(
          try await again.api.found("/schedules/tick")["createdAt"]?.string.flatMap(Timestamp.init))
        #expect(Set(ticks).count == ticks.count, "a tick has two tasks")
        #expect(ticks == ticks.sorted())
        #expect(ticks.allSatisfy { ($0 - created).wholeMilliseconds % 1000 == 0 })
      }
    }
  }
}
