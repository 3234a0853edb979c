// Recurring tasks: what goes over the wire, and what is read of the answers.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Schedules")
struct ScheduleTests {
  private static func schedule(_ name: String = "nightly", paused: Bool = false, _ more: String = "") -> String {
    """
    {"name":"\(name)","cron":"30 2 * * *","everySeconds":null,"timeZone":"Europe/Berlin",\
    "task":{"type":"report","payload":{ "a": 1.50 },"future":[1]},"misfire":"SKIP","overlap":"ALLOW","paused":\(paused),\
    "createdAt":"2026-02-01T10:00:00.000Z","updatedAt":"2026-02-01T10:00:00.000Z","lastRunAt":null,"lastTaskId":null,\
    "nextRunAt":"2026-02-02T01:30:00.000Z","nextRuns":["2026-02-02T01:30:00.000Z"],\
    "lastError":{"type":"INVALID_TASK","message":"no","at":"2026-02-01T10:00:00.000Z"}\(more)}
    """
  }

  @Test("a new schedule sends what was given")
  func create() async throws {
    try await withClient(script: { _, _ in .json(201, Self.schedule()) }) { client, server in
      var definition = ScheduleDefinition(
        name: "nightly", .cron("30 2 * * *", timeZone: "Europe/Berlin"), task: NewTask(type: "report"))
      definition.overlap = .skip
      let schedule = try await client.createSchedule(definition)
      #expect(schedule.cron == "30 2 * * *")
      #expect(schedule.type == "report")
      #expect(schedule.nextRuns == [Timestamp("2026-02-02T01:30:00Z")].compactMap(\.self))
      #expect(schedule.lastError == TaskError(type: "INVALID_TASK", message: "no", stack: nil))
      let request = try #require(server.requests.first)
      #expect((request.method, request.target) == ("POST", "/schedules"))
      #expect(
        request.text == """
          {"name":"nightly","cron":"30 2 * * *","timeZone":"Europe/Berlin","overlap":"SKIP",\
          "task":{"type":"report","payload":{}}}
          """)
    }
  }

  @Test("a put goes to the schedule's own place, whatever its name")
  func put() async throws {
    try await withClient(script: { _, _ in .json(200, Self.schedule()) }) { client, server in
      var definition = ScheduleDefinition(name: "a/b", .every(seconds: 1.5), task: NewTask(type: "t"))
      definition.misfire = .fireOnce
      definition.paused = true
      _ = try await client.putSchedule(definition)
      let request = try #require(server.requests.first)
      #expect((request.method, request.target) == ("PUT", "/schedules/a%2Fb"))
      #expect(
        request.text
          == #"{"name":"a/b","everySeconds":1.5,"misfire":"FIRE_ONCE","paused":true,"task":{"type":"t","payload":{}}}"#)
    }
  }

  @Test("a number that JSON has not is refused before anything is sent")
  func badNumber() async throws {
    try await withClient(script: { _, _ in .json(200, Self.schedule()) }) { client, server in
      await #expect(throws: MartletClientError.invalidRequest("everySeconds is not a finite number")) {
        _ = try await client.createSchedule(
          ScheduleDefinition(name: "n", .every(seconds: .infinity), task: NewTask(type: "t")))
      }
      #expect(server.requests.isEmpty)
    }
  }

  @Test("pausing puts back what was there, also what this library does not know")
  func pause() async throws {
    try await withClient(script: { _, _ in .json(200, Self.schedule(paused: true)) }) { client, server in
      #expect(try await client.pauseSchedule("nightly").paused)
      _ = try await client.resumeSchedule("nightly")
      #expect(
        server.requests.map { "\($0.method) \($0.target)" } == [
          "GET /schedules/nightly?next=0", "PUT /schedules/nightly", "GET /schedules/nightly?next=0",
          "PUT /schedules/nightly",
        ])
      let body = #"""
        {"name":"nightly","cron":"30 2 * * *","everySeconds":null,"timeZone":"Europe/Berlin",\#
        "task":{"type":"report","payload":{ "a": 1.50 },"future":[1]},"misfire":"SKIP","overlap":"ALLOW","paused":
        """#
      #expect(server.requests[1].text == body + "true}")
      #expect(server.requests[3].text == body + "false}")
    }
  }

  @Test("a list is read to its end")
  func list() async throws {
    try await withClient(script: { request, _ in
      request.target.contains("cursor")
        ? .json(200, #"{"data":[\#(Self.schedule("b"))],"nextCursor":null}"#)
        : .json(200, #"{"data":[\#(Self.schedule("a"))],"nextCursor":"x"}"#)
    }) { client, server in
      let schedules = try await client.schedules()
      #expect(schedules.map(\.name) == ["a", "b"])
      #expect(server.requests.map(\.target) == ["/schedules?limit=1000", "/schedules?limit=1000&cursor=x"])
    }
  }

  @Test("a deletion has an answer without content, a task by hand is a task")
  func deleteAndTrigger() async throws {
    try await withClient(script: { request, _ in
      request.method == "DELETE"
        ? .json(204, "") : .json(201, Fixtures.task(status: "READY", #","scheduleName":"nightly""#))
    }) { client, server in
      let task = try await client.triggerSchedule("nightly")
      #expect((task.id, task.scheduleName) == (Fixtures.id, "nightly"))
      try await client.deleteSchedule("nightly")
      #expect(
        server.requests.map { "\($0.method) \($0.target)" } == [
          "POST /schedules/nightly/trigger", "DELETE /schedules/nightly",
        ])
    }
  }
}
