// Who is to be told: how it is given, answered and refused; and `/notifications`.

internal import Foundation
internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct NoticeTests {
  private static let both =
    #"[{"webhook":"https://hooks.example/x","on":["SUCCESS","DEAD"]},{"email":"ops@example.com","on":["DEAD"]}]"#

  @Test func `who is to be told comes back with the task, and a batch and a schedule have it too`() async throws {
    try await HTTPHarness.run { harness in
      let one = try await harness.post("/tasks", #"{"type":"resize","notify":\#(Self.both)}"#)
      #expect(one.status == 201, "\(one.text)")
      #expect(try one.raw("notify") == Self.both)
      #expect(try await harness.get("/tasks/\(try one.string("id"))").raw("notify") == Self.both)
      let loose = #"[{"email":"a@example.com"},{"webhook":"http://b.example","email":null,"on":["FAILED"]}]"#
      let other = try await harness.post("/tasks", #"{"type":"resize","notify":\#(loose)}"#)
      #expect(
        try other.raw("notify")
          == #"[{"email":"a@example.com","on":["SUCCESS","DEAD"]},{"webhook":"http://b.example","on":["DEAD"]}]"#)
      #expect(try await harness.post("/tasks", #"{"type":"resize","notify":[]}"#).raw("notify") == "[]")
      let batch = try await harness.post("/tasks/batch", #"{"tasks":[{"type":"resize","notify":\#(Self.both)}]}"#)
      #expect(batch.text.contains(#""notify":\#(Self.both)"#))
      let schedule = try await harness.put(
        "/schedules/n", #"{"everySeconds":60,"task":{"type":"resize","notify":\#(Self.both)}}"#)
      #expect(schedule.status == 201 && schedule.text.contains(#""notify":\#(Self.both)"#))
      let replay = try await harness.replayed(one)
      #expect(try replay.raw("notify") == Self.both)
    }
  }

  @Test(arguments: [
    ("{}", "/notify"), ("7", "/notify"), ("[7]", "/notify/0"), ("[{}]", "/notify/0"),
    (#"[{"webhook":"https://a.example","email":"a@example.com"}]"#, "/notify/0"),
    (#"[{"webhok":"https://a.example"}]"#, "/notify/0/webhok"), (#"[{"webhook":7}]"#, "/notify/0/webhook"),
    (#"[{"webhook":"ftp://a.example"}]"#, "/notify/0/webhook"), (#"[{"webhook":""}]"#, "/notify/0/webhook"),
    (#"[{"webhook":"https://a.example/ b"}]"#, "/notify/0/webhook"), (#"[{"email":"nobody"}]"#, "/notify/0/email"),
    (#"[{"email":"a@b@c"}]"#, "/notify/0/email"), (#"[{"email":"a@example.com","on":[]}]"#, "/notify/0/on"),
    (#"[{"email":"a@example.com","on":["RUNNING"]}]"#, "/notify/0/on/0"),
    (#"[{"email":"a@example.com","on":"DEAD"}]"#, "/notify/0/on"),
  ])
  func `a receiver that is none is refused by its place`(notify: String, place: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize","notify":\#(notify)}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try Set(reply.pointers).contains(place), "\(reply.text)")
      let type = try await harness.put("/types/resize", #"{"defaults":{"notify":\#(notify)}}"#)
      try type.expectProblem(422, "invalid")
    }
  }

  @Test func `more receivers than sixteen are refused`() async throws {
    try await HTTPHarness.run { harness in
      let many = Array(repeating: #"{"email":"a@example.com"}"#, count: 17).joined(separator: ",")
      try await harness.post("/tasks", #"{"type":"resize","notify":[\#(many)]}"#).expectProblem(422, "invalid")
    }
  }

  @Test func `a type has receivers for its tasks, and says so`() async throws {
    try await HTTPHarness.run { harness in
      let type = try await harness.put("/types/resize", #"{"defaults":{"notify":\#(Self.both)}}"#)
      #expect(type.text.contains(#""notify":\#(Self.both)"#))
      #expect(try await harness.get("/types/resize").text.contains(#""notify":\#(Self.both)"#))
      #expect(try await harness.post("/tasks", #"{"type":"resize"}"#).raw("notify") == Self.both)
    }
  }

  @Test func `a queue has receivers for its tasks, says so, and loses them by null`() async throws {
    try await HTTPHarness.run { harness in
      #expect(try await harness.patch("/queues/default", #"{"notify":\#(Self.both)}"#).raw("notify") == Self.both)
      #expect(try await harness.get("/queues/default").raw("notify") == Self.both)
      #expect(try await harness.post("/tasks", #"{"type":"resize"}"#).raw("notify") == Self.both)
      #expect(try await harness.post("/tasks", #"{"type":"resize","queue":"other"}"#).raw("notify") == "[]")
      let wrong = try await harness.patch("/queues/default", #"{"notify":[{"webhook":"x"}]}"#)
      try wrong.expectProblem(422, "invalid")
      #expect(try wrong.pointers == ["/notify/0/webhook"])
      #expect(try await harness.patch("/queues/default", #"{"notify":null}"#).isNull("notify"))
      #expect(try await harness.post("/tasks", #"{"type":"resize"}"#).raw("notify") == "[]")
    }
  }

  @Test func `notices are listed, the latest first, by task and status and page by page`() async throws {
    try await HTTPHarness.run { harness in
      var ids: [String] = []
      for _ in 1...3 {
        let id = try await harness.submitted(#"{"type":"resize","notify":[{"webhook":"https://hooks.example/x"}]}"#)
        try await harness.attempt(id, .success(result: nil))
        ids.append(id)
      }
      let all = try await harness.get("/notifications")
      #expect(try all.isNull("nextCursor"))
      #expect(try all.data.map { $0["taskId"] as? String } == ids.reversed())
      let first = try #require(try all.data.last)
      let now = "2026-02-01T10:00:00.000Z"
      let expected =
        #"{"id":"\#(ids[0]).4.0","taskId":"\#(ids[0])","taskType":"resize","queue":"default","channel":"webhook","#
        + #""target":"https://hooks.example/x","type":"task.succeeded","taskStatus":"SUCCESS","status":"PENDING","#
        + #""attempts":0,"maxAttempts":15,"nextAttemptAt":"\#(now)","lastError":null,"createdAt":"\#(now)","#
        + #""updatedAt":"\#(now)"}"#
      #expect(all.text.contains(expected), "\(first)")
      #expect(try await harness.get("/notifications?taskId=\(ids[1])").data.count == 1)
      #expect(try await harness.get("/notifications?status=DEAD,DELIVERED").data.isEmpty)
      #expect(try await harness.get("/notifications?status=PENDING").data.count == 3)
      let page = try await harness.get("/notifications?limit=2")
      #expect(try page.data.count == 2)
      let next = try await harness.get("/notifications?limit=2&cursor=\(try page.string("nextCursor"))")
      #expect(try next.data.map { $0["taskId"] as? String } == [ids[0]])
      for query in ["status=RUNNING", "status=pending", "taskId=7", "limit=0", "cursor=AQ", "task=1"] {
        try await harness.get("/notifications?\(query)").expectProblem(422, "invalid")
      }
    }
  }

  @Test func `a notice is sent again, and one that is not there is not found`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","notify":[{"email":"ops@example.com"}]}"#)
      try await harness.attempt(id, .success(result: nil))
      let notice = try #require(
        try await harness.store.takeNotices(NoticeRequest(limit: 1, perDestination: 1, hold: .seconds(60))).notices
          .first)
      try await harness.store.settleNotices([.init(id: notice.id, attempt: 1, outcome: .dead("answered 550"))])
      harness.time.advance(by: .seconds(5))
      #expect(try await harness.get("/notifications?status=DEAD").data.first?["lastError"] as? String == "answered 550")
      let again = try await harness.post("/notifications/\(notice.id)/resend", "")
      #expect(again.status == 200, "\(again.text)")
      #expect(try again.string("status") == "PENDING")
      #expect(try again.string("nextAttemptAt") == "2026-02-01T10:00:05.000Z")
      #expect(try (again.int("attempts"), again.int("maxAttempts")) == (1, 16))
      for name in ["\(id).4.1", "\(id).3.0", id, "x", "\(id).4.0.0", "\(id).04.0"] {
        try await harness.post("/notifications/\(name)/resend", "").expectProblem(404, "not-found")
      }
      try await harness.post("/notifications/\(notice.id)/resend", #"{"now":true}"#).expectProblem(422, "invalid")
    }
  }
}

extension HTTPHarness {
  fileprivate func replayed(_ reply: Reply) async throws -> Reply {
    let id = try reply.string("id")
    try await attempt(id, .success(result: nil))
    return try await post("/tasks/\(id)/replay", "")
  }
}
