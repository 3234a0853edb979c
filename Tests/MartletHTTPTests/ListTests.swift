// `GET /tasks`, `GET /dead-letters` and their parameters.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct ListTests {
  @Test func `a list has the newest first, and pages by an opaque cursor`() async throws {
    try await HTTPHarness.run { harness in
      var ids: [String] = []
      for _ in 1...5 { ids.append(try await harness.submitted()) }
      var seen: [String] = []
      var target = "/tasks?limit=2"
      var pages = 0
      repeat {
        let reply = try await harness.get(target)
        #expect(reply.status == 200)
        seen += try reply.ids
        pages += 1
        target = try reply.isNull("nextCursor") ? "" : "/tasks?limit=2&cursor=\(try reply.string("nextCursor"))"
      } while !target.isEmpty && pages < 10
      #expect(seen == ids.reversed())
    }
  }

  @Test func `an empty list is a list`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/tasks")
      #expect(reply.text == #"{"data":[],"nextCursor":null}"#)
    }
  }

  @Test(arguments: [
    "x", "", "AQ", "AAAAAAAAAAAAAAAAAAAAAAA", String(repeating: "A", count: 24), "AQGfxQ..........=====AA",
    "01890000-0000-7000-8000-000000000000", "%F0%9F%98%80",
  ])
  func `a cursor that this server did not give is 422`(cursor: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/tasks?cursor=\(cursor)")
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/query/cursor"])
    }
  }

  @Test func `lists leave out payload and result unless they are asked for`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","payload":{"a":[1 ]}}"#)
      try await harness.attempt(id, .success(result: Array(#"{"b" :2}"#.utf8)))
      let plain = try await harness.get("/tasks").data[0]
      #expect(plain["payload"] == nil)
      #expect(plain["result"] == nil)
      #expect(plain["status"] as? String == "SUCCESS")
      let payload = try await harness.get("/tasks?include=payload")
      #expect(payload.text.contains(#""payload":{"a":[1 ]}"#))
      #expect(!payload.text.contains(#""result":"#))
      let both = try await harness.get("/tasks?include=result,payload")
      #expect(both.text.contains(#""payload":{"a":[1 ]}"#))
      #expect(both.text.contains(#""result":{"b" :2}"#))
    }
  }

  @Test func `each filter holds, and all of them together`() async throws {
    try await HTTPHarness.run { harness in
      let mail = try await harness.submitted(
        #"{"type":"mail","queue":"slow","tags":["a","b"],"metadata":{"orderId":"42","x y":"1+1"}}"#)
      harness.time.advance(by: .seconds(10))
      let resize = try await harness.submitted(#"{"type":"resize"}"#)
      let dead = try await harness.submitted(#"{"type":"doomed","retries":0}"#)
      try await harness.attempt(dead, .failed)
      for (query, expected) in [
        ("type=mail", [mail]), ("type=mail,resize", [resize, mail]), ("queue=slow", [mail]),
        ("queue=default", [dead, resize]),
        ("tag=b", [mail]), ("tag=c", []), ("metadata.orderId=42", [mail]), ("metadata.orderId=43", []),
        ("metadata.x%20y=1%2B1", [mail]), ("status=READY", [resize, mail]), ("status=DEAD", [dead]),
        ("status=FAILED", [dead]), ("status=DEAD_LETTER", [dead]), ("status=READY,DEAD", [dead, resize, mail]),
        ("worker=worker-1", [dead]), ("worker=nobody", []), ("createdAfter=2026-02-01T10:00:10.000Z", [dead, resize]),
        ("createdBefore=2026-02-01T10:00:10.000Z", [mail]), ("createdAfter=2026-02-01T11:00:05+01:00", [dead, resize]),
        ("createdAfter=2026-02-01T11:00:05%2B01:00", [dead, resize]),
        ("type=mail&queue=slow&tag=a&status=READY", [mail]),
        ("type=mail&queue=default", []), ("", [dead, resize, mail]),
      ] {
        let reply = try await harness.get("/tasks?\(query)")
        #expect(reply.status == 200, "\(query): \(reply.text)")
        #expect(try reply.ids == expected, "\(query)")
      }
    }
  }

  @Test(arguments: [
    ("status=WAITING", "status"), ("status=", "status"), ("status=READY,", "status"), ("status=ready", "status"),
    ("type=a%20b", "type"), ("queue=%00x", nil), ("queue=", "queue"), ("queue=a,,b", "queue"),
    ("queue=,", "queue"), ("type=", "type"), ("tag=", "tag"), ("limit=0", "limit"), ("limit=1001", "limit"),
    ("limit=x", "limit"), ("limit=2.0", "limit"), ("limit=", "limit"), ("limit=99999999999999999999", "limit"),
    ("include=all", "include"), ("include=", "include"), ("createdAfter=yesterday", "createdAfter"),
    ("createdBefore=2026-02-01", "createdBefore"), ("metadata.=x", "metadata."), ("worker=", "worker"),
  ])
  func `a bad value is refused by its name`(query: String, name: String?) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/tasks?\(query)")
      guard let name else { return try reply.expectProblem(400, "malformed-request") }
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/query/\(name)"])
      #expect(try reply.string("detail").contains(name))
    }
  }

  @Test func `unknown parameters are refused with the nearest known one, repeated ones too, all at once`() async throws
  {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/tasks?statsu=READY&limit=1&limit=2&metadata=x&foo")
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/query/statsu", "/query/limit", "/query/metadata", "/query/foo"])
      #expect(reply.text.contains("did you mean 'status'?"))
      #expect(reply.text.contains("'limit' is given twice"))
    }
  }

  @Test(arguments: [
    "/tasks/01890000-0000-7000-8000-000000000000?x=1", "/tasks/01890000-0000-7000-8000-000000000000/attempts?x=1",
    "/tasks/01890000-0000-7000-8000-000000000000/events?x", "/queues?x=1", "/types?x=1", "/api-keys?x=1",
    "/queues/default?x=", "/workers?x=1",
    "/stats?x=1", "/health/live?x=1", "/health/ready?x=1", "/version?x=1", "/metrics?name=x", "/?x=1",
  ])
  func `every route refuses parameters that it does not know`(target: String) async throws {
    try await HTTPHarness.run { harness in
      try await harness.get(target).expectProblem(422, "invalid")
    }
  }

  @Test func `a call that changes something refuses parameters too`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.post("/tasks?queue=x", #"{"type":"resize"}"#).expectProblem(422, "invalid")
      let id = try await harness.submitted()
      try await harness.act("/tasks/\(id)/cancel?force=true").expectProblem(422, "invalid")
      #expect(try await harness.get("/tasks/\(id)").string("status") == "READY")
    }
  }

  @Test func `queues, types, workers and keys come in pages too`() async throws {
    try await HTTPHarness.run { harness in
      let names = ["a", "b", "c.d", "e"]
      for name in ["e", "b", "a", "c.d"] {
        _ = try await harness.submitted(#"{"type":"t-\#(name)","queue":"\#(name)"}"#)
        let worker = WorkerRecord(
          id: "\(name) ü/", host: "h", kind: .remote, types: [], queues: ["*"], running: 0, lastSeenAt: .earliest)
        try await harness.store.register(worker)
      }
      var keys: [String] = []
      for name in ["z", "y", "y", "x"] {
        keys.append(try await harness.post("/api-keys", #"{"name":"\#(name)","roles":["viewer"]}"#).string("id"))
        harness.time.advance(by: .seconds(1))
      }
      for (path, field, all) in [
        ("queues", "name", names), ("types", "name", names.map { "t-\($0)" }),
        ("workers", "id", names.map { "\($0) ü/" }), ("api-keys", "id", keys),
      ] {
        var seen: [[String]] = []
        var cursor: String? = ""
        while let after = cursor {
          let page = try await harness.get("/\(path)?limit=3" + (after.isEmpty ? "" : "&cursor=\(after)"))
          seen.append(try page.data.compactMap { $0[field] as? String })
          cursor = try page.object["nextCursor"] as? String
        }
        #expect(seen == [Array(all.prefix(3)), Array(all.suffix(1))], "\(path)")
        #expect(try await harness.get("/\(path)").isNull("nextCursor"))
        #expect(try await harness.get("/\(path)?limit=4").isNull("nextCursor"), "no page of nothing behind")
        for query in ["limit=0", "limit=1001", "cursor=x", "cursor=p6", "cursor=pff", "cursor=", "cursor=p6A"] {
          let reply = try await harness.get("/\(path)?\(query)")
          try reply.expectProblem(422, "invalid")
          #expect(try reply.pointers == ["/query/\(query.prefix { $0 != "=" })"])
        }
      }
    }
  }

  @Test func `a page goes on behind the longest name that a worker can have`() async throws {
    try await HTTPHarness.run { harness in
      let long = String(repeating: "\u{1F426}", count: 256)
      for name in [long, "\u{1F427}"] {
        try await harness.store.register(.stub(name))
      }
      let first = try await harness.get("/workers?limit=1")
      #expect(try first.data.map { $0["id"] as? String } == [long])
      let second = try await harness.get("/workers?limit=1&cursor=\(first.string("nextCursor"))")
      #expect(second.status == 200, "\(second.text)")
      #expect(try second.data.map { $0["id"] as? String } == ["\u{1F427}"])
    }
  }

  @Test func `dead letters are the DEAD tasks, with the other filters and no other status`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.submitted()
      var dead: [String] = []
      for queue in ["a", "b"] {
        dead.append(try await harness.submitted(#"{"type":"x","queue":"\#(queue)","retries":0}"#))
        try await harness.attempt(dead.last ?? "", .failed)
      }
      #expect(try await harness.get("/dead-letters").ids == dead.reversed())
      #expect(try await harness.get("/dead-letters?queue=a").ids == [dead[0]])
      let first = try await harness.get("/dead-letters?limit=1")
      #expect(try await harness.get("/dead-letters?cursor=\(try first.string("nextCursor"))").ids == [dead[0]])
      for status in ["DEAD", "FAILED", "DEAD_LETTER", "DEAD,FAILED"] {
        #expect(try await harness.get("/dead-letters?status=\(status)").ids == dead.reversed())
      }
      for status in ["READY", "DEAD,READY", ""] {
        try await harness.get("/dead-letters?status=\(status)").expectProblem(422, "invalid")
      }
    }
  }

  @Test func `a cursor is its id and back, and nothing else reads as one`() {
    for number in [0, 1, 255, 1 << 40] {
      let cursor = Cursor(before: .stub(number))
      #expect(cursor.text.utf8.count == 23)
      #expect(Cursor(cursor.text) == cursor)
      #expect(Cursor(cursor.text + "A") == nil)
      #expect(Cursor(String(cursor.text.dropLast())) == nil)
      #expect(Cursor("B" + cursor.text.dropFirst()) == nil)
    }
    // The last character has bits to spare: only zeros are right.
    let text = Cursor(before: .stub(1)).text
    let others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".filter { $0 != text.last }
    #expect(others.allSatisfy { Cursor(text.dropLast() + String($0))?.text != text })
    #expect(others.filter { Cursor(text.dropLast() + String($0)) != nil }.count == 15)
  }
}
