// `GET /tasks/{id}` and what hangs on it: waiting, attempts, events.

internal import Foundation
internal import MartletCore
internal import MartletTestKit
internal import Testing

@Suite(.timeLimit(.minutes(10))) struct ReadTests {
  @Test func `attempts and events are read page by page, each with cursors of its own`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      for _ in 1...3 {
        try await harness.attempt(id, .released)
      }
      func pages(_ what: String, _ key: String) async throws -> (numbers: [[Int]], cursor: String) {
        var pages: [[Int]] = []
        var (cursor, last) = ("", "")
        repeat {
          let reply = try await harness.get("/tasks/\(id)/\(what)?limit=2\(cursor)")
          pages.append(try reply.data.compactMap { $0[key] as? Int })
          cursor = try reply.isNull("nextCursor") ? "" : "&cursor=\(try reply.string("nextCursor"))"
          if !cursor.isEmpty { last = cursor }
        } while !cursor.isEmpty
        return (pages, last)
      }
      let attempts = try await pages("attempts", "number")
      #expect(attempts.numbers == [[1, 2], [3]])
      let events = try await pages("events", "sequence")
      #expect(events.numbers.allSatisfy { (1...2).contains($0.count) })
      #expect(try await harness.get("/tasks/\(id)/events").data.count == events.numbers.joined().count)
      #expect(Array(events.numbers.joined()) == Array(1...events.numbers.joined().count))
      for query in ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor="] {
        for what in ["attempts", "events"] {
          let reply = try await harness.get("/tasks/\(id)/\(what)?\(query)")
          try reply.expectProblem(422, "invalid")
          #expect(try reply.pointers == ["/query/\(query.prefix { $0 != "=" })"])
        }
      }
      try await harness.get("/tasks/\(id)/events?limit=2\(attempts.cursor)").expectProblem(422, "invalid")
      try await harness.get("/tasks/\(id)/attempts?limit=2\(events.cursor)").expectProblem(422, "invalid")
    }
  }

  @Test(arguments: [
    "/tasks/01890000-0000-7000-8000-000000000000", "/tasks/nonsense", "/tasks/01890000", "/tasks/%20", "/tasks/a%2Fb",
    "/tasks/01890000-0000-7000-8000-000000000000/attempts", "/tasks/nonsense/attempts", "/tasks/nonsense/events",
    "/tasks/01890000-0000-7000-8000-000000000000/events",
    "/tasks/01890000-0000-7000-8000-000000000000?waitSeconds=60",
  ])
  func `a task that is not there, or no id at all, is 404`(target: String) async throws {
    try await HTTPHarness.run { harness in
      try await harness.get(target).expectProblem(404, "not-found")
    }
  }

  @Test func `an id is found in upper case too`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      #expect(try await harness.get("/tasks/\(id.uppercased())").string("id") == id)
    }
  }

  @Test func `waitSeconds answers as soon as the task is final`() async throws {
    let lookUps = LookUps()
    try await HTTPHarness.run(wrap: lookUps.watch) { harness in
      let id = try await harness.submitted()
      async let waiting = harness.get("/tasks/\(id)?waitSeconds=60")
      await lookUps.first()
      let cancelled = try await harness.act("/tasks/\(id)/cancel")
      #expect(cancelled.status == 200)
      let reply = try await waiting
      #expect(reply.status == 200)
      #expect(try reply.string("status") == "CANCELLED")
    }
  }

  @Test func `waitSeconds answers with the task as it is when the time is over, and at once if it is final`()
    async throws
  {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      let reply = try await harness.get("/tasks/\(id)?waitSeconds=0.05")
      #expect(reply.status == 200)
      #expect(try reply.string("status") == "READY")
      #expect(try await harness.get("/tasks/\(id)?waitSeconds=0").string("status") == "READY")
      _ = try await harness.act("/tasks/\(id)/cancel")
      #expect(try await harness.get("/tasks/\(id)?waitSeconds=60").string("status") == "CANCELLED")
    }
  }

  @Test(arguments: ["-1", "60.1", "61", "x", "", "nan", "inf", "1e400", "0x10"])
  func `waitSeconds beyond 0 to 60 is 422`(value: String) async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      let reply = try await harness.get("/tasks/\(id)?waitSeconds=\(value)")
      try reply.expectProblem(422, "invalid")
      #expect(reply.text.contains("waitSeconds"))
    }
  }

  @Test func `attempts tell number, worker, times, outcome, error and logs`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","backoff":{"strategy":"fixed","baseSeconds":0}}"#)
      try await harness.attempt(id, .failed(.stub, .retry), logs: ["one", "two \"2\"\u{1B}"])
      _ = try await harness.act("/tasks/\(id)/retry")
      try await harness.attempt(id, nil)
      let reply = try await harness.get("/tasks/\(id)/attempts")
      #expect(reply.status == 200)
      #expect(try reply.isNull("nextCursor"))
      let attempts = try reply.data
      try #require(attempts.count == 2)
      #expect(Set(attempts[0].keys) == ["number", "worker", "startedAt", "finishedAt", "outcome", "error", "logs"])
      #expect(attempts[0]["number"] as? Int == 1)
      #expect(attempts[0]["worker"] as? String == "worker-1")
      #expect(attempts[0]["startedAt"] as? String == "2026-02-01T10:00:00.000Z")
      #expect(attempts[0]["finishedAt"] as? String == "2026-02-01T10:00:00.000Z")
      #expect(attempts[0]["outcome"] as? String == "FAILED")
      #expect((attempts[0]["error"] as? [String: String])?["type"] == "HTTP_503")
      #expect(attempts[0]["logs"] as? [String] == ["one", "two \"2\"\u{1B}"])
      #expect(attempts[1]["number"] as? Int == 2)
      #expect(attempts[1]["outcome"] is NSNull)
      #expect(attempts[1]["finishedAt"] is NSNull)
      #expect(attempts[1]["error"] is NSNull)
    }
  }

  @Test func `events tell sequence, type, time, actor and cause of every transition`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      try await harness.attempt(id, .success)
      let reply = try await harness.get("/tasks/\(id)/events")
      #expect(reply.status == 200)
      #expect(try reply.isNull("nextCursor"))
      let events = try reply.data
      #expect(events.allSatisfy { Set($0.keys) == ["sequence", "type", "at", "actor", "cause"] })
      #expect(events.compactMap { $0["sequence"] as? Int } == Array(1...events.count))
      #expect(
        events.compactMap { $0["type"] as? String } == [
          "martlet.task.received", "martlet.task.ready", "martlet.task.started", "martlet.task.succeeded",
        ])
      #expect(events[0]["actor"] as? String == "api")
      #expect(events[0]["at"] as? String == "2026-02-01T10:00:00.000Z")
    }
  }

  @Test func `a running task shows its worker, progress and a requested cancel`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      try await harness.attempt(id, nil)
      let lease = LeaseID(task: try harness.taskID(id), attempt: 1, token: 7)
      _ = try await harness.store.renew([
        Renewal(lease: lease, progress: Progress(percent: 12.5, message: "half of a quarter"))
      ])
      let reply = try await harness.act("/tasks/\(id)/cancel")
      #expect(reply.status == 200)
      #expect(try reply.string("status") == "RUNNING")
      #expect(try reply.object["cancelRequested"] as? Bool == true)
      #expect(try reply.raw("progress") == #"{"percent":12.5,"message":"half of a quarter"}"#)
      #expect(try reply.int("attempt") == 1)
      #expect(try reply.int("retriesLeft") == 3)
      #expect(try reply.string("startedAt") == "2026-02-01T10:00:00.000Z")
    }
  }
}
