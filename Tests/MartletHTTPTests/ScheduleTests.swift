// Recurring tasks over HTTP: their JSON both ways, what is refused and how, and who may.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

extension HTTPHarness {
  fileprivate func put(_ target: String, _ json: String, headers: [(String, String)] = []) async throws -> Reply {
    try await send("PUT", target, headers: [("Content-Type", "application/json")] + headers, body: Array(json.utf8))
  }
}

@Suite struct ScheduleTests {
  private static let nightly =
    #"{"name":"nightly","cron":"30 2 * * *","timeZone":"Europe/Berlin","task":{"type":"report"}}"#

  @Test func `a schedule is created, and the answer has all of its fields`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/schedules", Self.nightly)
      #expect(reply.status == 201)
      #expect(reply.header("location") == "/schedules/nightly")
      let object = try reply.object
      #expect(
        Set(object.keys) == [
          "name", "cron", "everySeconds", "timeZone", "task", "misfire", "overlap", "paused", "createdAt", "updatedAt",
          "lastRunAt", "lastTaskId", "nextRunAt", "nextRuns", "lastError",
        ])
      #expect(object["cron"] as? String == "30 2 * * *")
      #expect(object["everySeconds"] is NSNull)
      #expect(object["misfire"] as? String == "SKIP")
      #expect(object["overlap"] as? String == "ALLOW")
      #expect(object["paused"] as? Bool == false)
      #expect(object["createdAt"] as? String == "2026-02-01T10:00:00.000Z")
      for name in ["lastRunAt", "lastTaskId", "lastError"] { #expect(object[name] is NSNull) }
      #expect(object["nextRunAt"] as? String == "2026-02-02T01:30:00.000Z")
      #expect((object["nextRuns"] as? [String])?.count == 10)
      #expect(try reply.raw("task") == #"{"type":"report","payload":{}}"#)
      #expect(try await harness.get("/schedules/nightly").raw("task") == reply.raw("task"))
    }
  }

  @Test func `as many of the next runs are told as are asked for, over the jumps of a zone's clocks`() async throws {
    try await HTTPHarness.run { harness in
      harness.time.set(try #require(Timestamp("2026-03-27T10:00:00Z")))
      _ = try await harness.post("/schedules", Self.nightly)
      let runs = try await harness.get("/schedules/nightly?next=3").object["nextRuns"] as? [String]
      // Two o'clock is skipped on the 29th: the first moment after the gap.
      #expect(
        runs == ["2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"])
      #expect(try await harness.get("/schedules/nightly?next=0").object["nextRuns"] as? [String] == [])
      #expect((try await harness.get("/schedules/nightly?next=100").object["nextRuns"] as? [String])?.count == 100)
      for bad in ["-1", "101", "x", ""] {
        let reply = try await harness.get("/schedules/nightly?next=\(bad)")
        try reply.expectProblem(422, "invalid")
        #expect(try reply.pointers == ["/query/next"])
      }
    }
  }

  @Test func `what an answer shows can be put back, and the payload stays as it was, byte for byte`() async throws {
    try await HTTPHarness.run { harness in
      let task = """
        {"type":"report","payload":{ "b": 1.50, "a":[12345678901234567890] },"queue":"q","priority":9,"retries":0,\
        "backoff":{"strategy":"fixed","baseSeconds":0.5},"timeoutSeconds":1.5,"leaseSeconds":7,"tags":["é"],\
        "metadata":{"k":"v"}}
        """
      let first = try await harness.post(
        "/schedules",
        #"{"name":"n","everySeconds":1.5,"misfire":"FIRE_ONCE","overlap":"SKIP","paused":true,"task":\#(task)}"#)
      #expect(first.status == 201)
      #expect(try first.raw("task") == task)
      #expect(try first.object["everySeconds"] as? Double == 1.5)
      let fields = ["name", "cron", "everySeconds", "timeZone", "task", "misfire", "overlap", "paused"]
      let body = try "{" + fields.map { #""\#($0)":\#(try first.raw($0))"# }.joined(separator: ",") + "}"
      let second = try await harness.put("/schedules/n", body)
      #expect(second.status == 200)
      for field in fields { #expect(try second.raw(field) == first.raw(field)) }
      #expect(try second.isNull("nextRunAt"))
    }
  }

  @Test func `PUT creates, then replaces, and POST of a name that is there is refused`() async throws {
    try await HTTPHarness.run { harness in
      let body = #"{"everySeconds":60,"task":{"type":"a"}}"#
      let created = try await harness.put("/schedules/n", body)
      #expect(created.status == 201)
      #expect(created.header("location") == "/schedules/n")
      harness.time.advance(by: .seconds(30))
      let replaced = try await harness.put("/schedules/n", #"{"name":"n","everySeconds":90,"task":{"type":"b"}}"#)
      #expect(replaced.status == 200)
      #expect(try replaced.string("createdAt") == "2026-02-01T10:00:00.000Z")
      #expect(try replaced.string("updatedAt") == "2026-02-01T10:00:30.000Z")
      #expect(try replaced.string("nextRunAt") == "2026-02-01T10:01:30.000Z")
      let again = try await harness.post("/schedules", #"{"name":"n","everySeconds":60,"task":{"type":"a"}}"#)
      try again.expectProblem(409, "already-exists")
      #expect(try again.string("detail").contains("PUT /schedules/n"))
      #expect(try await harness.get("/schedules/n").raw("task") == #"{"type":"b","payload":{}}"#)
    }
  }

  @Test func `a schedule is deleted without an answer's content, and is not there afterwards`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.post("/schedules", Self.nightly)
      let reply = try await harness.send("DELETE", "/schedules/nightly")
      #expect((reply.status, reply.bytes) == (204, []))
      #expect(reply.header("content-length") == nil && reply.header("content-type") == nil)
      for call in [("GET", ""), ("DELETE", ""), ("POST", "/trigger")] {
        let gone = try await harness.send(call.0, "/schedules/nightly\(call.1)")
        try gone.expectProblem(404, "not-found")
        #expect(try gone.string("detail") == "there is no schedule 'nightly'")
      }
    }
  }

  @Test func `a task by hand is answered like a submitted one, and found by the schedule's name`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.post("/schedules", Self.nightly)
      let reply = try await harness.act("/schedules/nightly/trigger")
      #expect(reply.status == 201)
      let id = try reply.string("id")
      #expect(reply.header("location") == "/tasks/\(id)")
      #expect(try reply.string("scheduleName") == "nightly")
      #expect(try reply.string("status") == "READY")
      #expect(try await harness.get("/tasks?scheduleName=nightly").ids == [id])
      #expect(try await harness.get("/tasks?scheduleName=other").ids == [])
      let schedule = try await harness.get("/schedules/nightly")
      #expect(try schedule.string("lastTaskId") == id)
      #expect(try schedule.string("lastRunAt") == "2026-02-01T10:00:00.000Z")
      let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
      for (header, expected) in [(trace, trace), ("nonsense", nil)] {
        let traced = try await harness.send("POST", "/schedules/nightly/trigger", headers: [("traceparent", header)])
        let tracedID = try harness.taskID(try traced.string("id"))
        #expect(try await harness.store.tasks([tracedID])[0]?.traceparent == expected)
      }
      try await harness.post("/schedules/nightly/trigger", #"{"x":1}"#).expectProblem(422, "invalid")
      let bad = try await harness.get("/tasks?scheduleName=a%20b")
      try bad.expectProblem(422, "invalid")
      #expect(try bad.pointers == ["/query/scheduleName"])
    }
  }

  @Test func `schedules are listed by name in pages, without payloads`() async throws {
    try await HTTPHarness.run { harness in
      for name in ["b", "a", "c"] {
        _ = try await harness.put("/schedules/\(name)", #"{"everySeconds":60,"task":{"type":"t","payload":[1]}}"#)
      }
      let first = try await harness.get("/schedules?limit=2")
      #expect(try first.data.compactMap { $0["name"] as? String } == ["a", "b"])
      #expect(try first.data.allSatisfy { ($0["task"] as? [String: String]) == ["type": "t"] })
      #expect(try first.data.allSatisfy { $0["nextRuns"] == nil && $0["nextRunAt"] is String })
      let second = try await harness.get("/schedules?limit=2&cursor=\(first.string("nextCursor"))")
      #expect(try second.data.compactMap { $0["name"] as? String } == ["c"])
      #expect(try second.isNull("nextCursor"))
      for bad in ["limit=0", "limit=1001", "cursor=x", "cursor=", "cursor=bgAB", "name=a"] {
        try await harness.get("/schedules?\(bad)").expectProblem(422, "invalid")
      }
    }
  }

  // MARK: Bad input

  @Test(arguments: [
    (#"{}"#, ["/task", "/name", "/cron"]),
    (#"[]"#, [""]),
    (#"{"name":"a b","everySeconds":60,"task":{"type":"t"}}"#, ["/name"]),
    (#"{"name":7,"everySeconds":60,"task":{"type":"t"}}"#, ["/name"]),
    (#"{"name":"n","everySeconds":60,"task":[]}"#, ["/task"]),
    (#"{"name":"n","everySeconds":60,"task":{}}"#, ["/task/type"]),
    (#"{"name":"n","everySeconds":0.5,"task":{"type":"t"}}"#, ["/everySeconds"]),
    (#"{"name":"n","everySeconds":"60","task":{"type":"t"}}"#, ["/everySeconds"]),
    (#"{"name":"n","everySeconds":1e400,"task":{"type":"t"}}"#, ["/everySeconds"]),
    (#"{"name":"n","everySeconds":60,"cron":"* * * * *","task":{"type":"t"}}"#, ["/everySeconds"]),
    (#"{"name":"n","everySeconds":60,"timeZone":"Europe/Berlin","task":{"type":"t"}}"#, ["/timeZone"]),
    (#"{"name":"n","cron":"* * * *","task":{"type":"t"}}"#, ["/cron"]),
    (#"{"name":"n","cron":"61 * * * *","timeZone":"Europe/Berln","task":{"type":"t"}}"#, ["/cron", "/timeZone"]),
    (#"{"name":"n","cron":["*"],"task":{"type":"t"}}"#, ["/cron"]),
    (#"{"name":"n","cron":"0 0 31 2 *","task":{"type":"t"}}"#, ["/cron"]),
    (#"{"name":"n","cron":"* * * * *\u0000","task":{"type":"t"}}"#, ["/cron"]),
    (#"{"name":"n","cron":"* * * * *","timeZone":"../../etc/passwd","task":{"type":"t"}}"#, ["/timeZone"]),
    (
      #"{"name":"n","everySeconds":60,"misfire":"RUN","overlap":"skip","paused":"no","task":{"type":"t"}}"#,
      ["/misfire", "/overlap", "/paused"]
    ),
    (#"{"name":"n","everySecond":60,"task":{"type":"t","prio":1}}"#, ["/everySecond", "/task/prio", "/cron"]),
    (#"{"name":"n","name":"m","everySeconds":60,"task":{"type":"t"}}"#, ["/name"]),
    (#"{"name":"n","everySeconds":60,"createdAt":"2026-02-01T10:00:00Z","task":{"type":"t"}}"#, ["/createdAt"]),
    (
      #"""
      {"name":"n","everySeconds":60,"task":{"type":"t","delaySeconds":1,"runAt":"2030-01-01T00:00:00Z",
      "availableAt":"2030-01-01T00:00:00Z","expiresAt":"2030-01-01T00:00:00Z","ref":"a","idempotencyKey":"k",
      "dependencies":["01890000-0000-7000-8000-000000000000"],"onDependencyFailure":"RUN"}}
      """#,
      [
        "/task/delaySeconds", "/task/runAt", "/task/availableAt", "/task/expiresAt", "/task/dependencies",
        "/task/onDependencyFailure", "/task/ref", "/task/idempotencyKey",
      ]
    ),
  ])
  func `what is wrong is told at its place, all at once, and nothing is stored`(
    body: String, pointers: [String]
  ) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/schedules", body)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == pointers, "\(reply.text)")
      #expect(try await harness.get("/schedules").data.isEmpty)
    }
  }

  @Test func `details say what is wrong and what is allowed`() async throws {
    try await HTTPHarness.run { harness in
      func detail(_ fields: String) async throws -> String? {
        let reply = try await harness.put("/schedules/n", #"{\#(fields),"task":{"type":"t"}}"#)
        return try reply.errors.first?["detail"] as? String
      }
      #expect(try await detail(#""cron":"0 24 * * *""#) == "the hour 24 is not within 0–23")
      #expect(
        try await detail(#""cron":"@daily","timeZone":"CET+1""#)
          == "is CET+1, which is no time zone; names are as in Europe/Berlin or UTC")
      #expect(try await detail(#""everySeconds":0"#) == "must be from 1 to 3155760000")
      #expect(try await detail(#""everySeconds":1,"misfire":"NEVER""#) == "must be one of SKIP, FIRE_ONCE")
      #expect(try await detail(#""everySeconds":1,"everySecnds":2"#)?.contains("did you mean everySeconds?") == true)
      let other = try await harness.put("/schedules/n", #"{"name":"m","everySeconds":1,"task":{"type":"t"}}"#)
      #expect(try other.pointers == ["/name"])
    }
  }

  @Test func `too large, too deep, no JSON and no Content-Type are what they are elsewhere`() async throws {
    try await HTTPHarness.run { harness in
      func body(_ payload: String) -> String { #"{"everySeconds":60,"task":{"type":"t","payload":\#(payload)}}"# }
      let large = try await harness.put("/schedules/n", body("\"\(String(repeating: "a", count: 262_144))\""))
      try large.expectProblem(413, "payload-too-large")
      #expect(try large.pointers == ["/task/payload"])
      let deep = String(repeating: "[", count: 70) + String(repeating: "]", count: 70)
      try await harness.put("/schedules/n", body(deep)).expectProblem(422, "invalid")
      try await harness.put("/schedules/n", "{").expectProblem(400, "malformed-json")
      try await harness.send("PUT", "/schedules/n", body: Array(body("1").utf8))
        .expectProblem(415, "unsupported-media-type")
      try await harness.put("/schedules/a%20b", body("1")).expectProblem(422, "invalid")
      try await harness.get("/schedules/a%20b").expectProblem(404, "not-found")
      try await harness.patch("/schedules/n", body("1")).expectProblem(405, "method-not-allowed")
      let nobody = try await harness.put(
        "/schedules/n", #"{"everySeconds":60,"task":{"type":"t","notify":[{"webhook":"ftp://a.example"}]}}"#)
      try nobody.expectProblem(422, "invalid")
      #expect(try nobody.pointers == ["/task/notify/0/webhook"])
      #expect(try await harness.get("/schedules").data.isEmpty)
    }
  }

  // MARK: Who may

  @Test func `pages are full of what a credential may see, and their cursors name nothing else`() async throws {
    let book = MemoryAPIKeyBook()
    let all = [("X-API-Key", book.add(["operator"]))]
    let bound = [("X-API-Key", book.add(["operator"], queues: ["mail*"]))]
    try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      // More than are read at a time, of which every fiftieth is the credential's.
      for number in 100..<550 {
        let queue = number % 50 == 0 ? "mail" : "billing"
        var new = NewSchedule(name: "s\(number)", task: NewTask(type: "t"))
        new.everySeconds = 60
        new.task.queue = queue
        _ = try await harness.schedules.put(new, by: .unguarded)
      }
      func names(_ query: String, _ headers: [(String, String)]) async throws -> ([String], String?) {
        let reply = try await harness.get("/schedules?\(query)", headers: headers)
        let next = try reply.isNull("nextCursor") ? nil : try reply.string("nextCursor")
        return (try reply.data.compactMap { $0["name"] as? String }, next)
      }
      var seen: [String] = []
      var cursor: String?
      repeat {
        let (page, next) = try await names("limit=4" + (cursor.map { "&cursor=\($0)" } ?? ""), bound)
        #expect(page.count == 4 || next == nil)
        seen += page
        if let next { #expect(NameCursor(next)?.after == page.last) }
        cursor = next
      } while cursor != nil
      #expect(seen == stride(from: 100, to: 550, by: 50).map { "s\($0)" })
      #expect(try await names("limit=9", bound).1 == nil)
      #expect(try await names("limit=449", all).0.count == 449)
      #expect(try await names("limit=449", all).1 != nil)
      #expect(try await names("limit=450", all).1 == nil)
    }
  }

  @Test func `whose credential is bound to queues finds no others' schedules, and may not write them`() async throws {
    let book = MemoryAPIKeyBook()
    let all = [("X-API-Key", book.add(["operator"]))]
    let bound = [("X-API-Key", book.add(["operator"], queues: ["mail*"]))]
    try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      func body(_ queue: String) -> String { #"{"everySeconds":60,"task":{"type":"t","queue":"\#(queue)"}}"# }
      #expect(try await harness.put("/schedules/mine", body("mail-1"), headers: bound).status == 201)
      #expect(try await harness.put("/schedules/other", body("billing"), headers: all).status == 201)
      let list = try await harness.get("/schedules", headers: bound)
      #expect(try list.data.compactMap { $0["name"] as? String } == ["mine"])
      try await harness.get("/schedules/other", headers: bound).expectProblem(404, "not-found")
      let taken = try await harness.post(
        "/schedules", #"{"name":"other","everySeconds":60,"task":{"type":"t","queue":"mail-1"}}"#, headers: bound)
      try taken.expectProblem(409, "already-exists")
      #expect(try taken.string("detail") == "the name is taken")
      let hidden = try await harness.put("/schedules/other", body("mail-1"), headers: bound)
      try hidden.expectProblem(404, "not-found")
      #expect(try hidden.string("detail") == "there is no schedule 'other'")
      let replies = [
        try await harness.put("/schedules/mine", body("billing"), headers: bound),
        try await harness.put("/schedules/new", body("billing"), headers: bound),
      ]
      for reply in replies {
        try reply.expectProblem(403, "forbidden")
        #expect(try reply.pointers == ["/task/queue"])
      }
      for name in ["other", "nowhere"] {
        for reply in [
          try await harness.send("DELETE", "/schedules/\(name)", headers: bound),
          try await harness.send("POST", "/schedules/\(name)/trigger", headers: bound),
        ] {
          try reply.expectProblem(404, "not-found")
          #expect(try reply.string("detail") == "there is no schedule '\(name)'")
        }
      }
      #expect(try await harness.get("/schedules/other", headers: all).status == 200)
      #expect(try await harness.send("POST", "/schedules/mine/trigger", headers: bound).status == 201)
      #expect(try await harness.send("DELETE", "/schedules/mine", headers: bound).status == 204)
      let audit = try await harness.store.audit(AuditQuery()).entries.reversed()
      #expect(
        audit.map { "\($0.action.rawValue) \($0.target)" } == [
          "schedule.put mine", "schedule.put other", "schedule.trigger mine", "schedule.delete mine",
        ])
      #expect(audit.allSatisfy { $0.actor.hasPrefix("key:") })
    }
  }
}
