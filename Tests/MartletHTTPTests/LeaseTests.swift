// The lease protocol over HTTP: getting work.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite(.serialized, .timeLimit(.minutes(10))) struct LeaseTests {
  @Test func `a worker gets what is ready, with all that it needs to carry it out`() async throws {
    try await HTTPHarness.run { harness in
      let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
      let submitted = try await harness.post(
        "/tasks",
        #"""
        {"type":"resize","payload":{"n": 1.0},"queue":"images","priority":9,"retries":2,"timeoutSeconds":900,
         "leaseSeconds":600.5,"tags":["a"],"metadata":{"k":"v"}}
        """#, headers: [("traceparent", trace)])
      let id = try submitted.string("id")
      let reply = try await harness.post(
        "/leases", #"{"worker":"w1","queues":["images"],"types":["resize"],"limit":10}"#)
      #expect(reply.status == 200)
      let leases = try #require(try reply.object["leases"] as? [[String: Any]])
      #expect(leases.count == 1)
      let lease = try #require(leases.first)
      let task = try #require(lease["task"] as? [String: Any])
      #expect((lease["leaseId"] as? String)?.hasPrefix("\(id).1.") == true)
      #expect(lease["attempt"] as? Int == 1)
      #expect(lease["expiresAt"] as? String == (ManualTime.start + .milliseconds(600_500)).description)
      let expiresIn = try #require(lease["expiresInSeconds"] as? Double)
      #expect(expiresIn > 0 && expiresIn <= 600.5)
      #expect(try #require(try reply.object["heldSeconds"] as? Double) >= 0)
      #expect(task["id"] as? String == id)
      #expect(task["type"] as? String == "resize")
      #expect(task["queue"] as? String == "images")
      #expect(task["status"] as? String == "RUNNING")
      #expect(task["priority"] as? Int == 9)
      #expect(task["attempt"] as? Int == 1)
      #expect(task["maxAttempts"] as? Int == 3)
      #expect(task["retriesLeft"] as? Int == 2)
      #expect(task["timeoutSeconds"] as? Double == 900)
      #expect(task["leaseSeconds"] as? Double == 600.5)
      #expect(task["tags"] as? [String] == ["a"])
      #expect(task["metadata"] as? [String: String] == ["k": "v"])
      #expect(task["traceparent"] as? String == trace)
      #expect(reply.text.contains(#""payload":{"n": 1.0}"#), "byte for byte")
      let record = try await harness.get("/tasks/\(id)")
      #expect(try record.string("status") == "RUNNING")
      #expect(try record.string("worker") == "w1")
    }
  }

  @Test(arguments: [#""waitSeconds":0"#, #""waitSeconds":0.05"#, #""limit":7"#])
  func `without work the list is empty, at once or when the time is over`(more: String) async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.submitted(#"{"type":"other"}"#)
      let reply = try await harness.post("/leases", #"{"worker":"w1","types":["resize"],\#(more)}"#)
      #expect(reply.status == 200)
      #expect(try reply.raw("leases") == "[]")
    }
  }

  @Test func `a long poll is answered as soon as there is work`() async throws {
    let claims = Claims()
    try await HTTPHarness.run(wrap: claims.watch) { harness in
      async let polled = harness.post("/leases", #"{"worker":"w1","types":["resize"],"waitSeconds":60}"#)
      await claims.next()
      let id = try await harness.submitted()
      let reply = try await polled
      #expect(try reply.leaseIDs.map { $0.prefix(36) } == [id.prefix(36)])
    }
  }

  @Test func `types and queues choose, and no more than the limit is given`() async throws {
    try await HTTPHarness.run { harness in
      func ids(_ more: String) async throws -> [String] {
        let reply = try await harness.post("/leases", #"{"worker":"w1",\#(more)}"#)
        #expect(reply.status == 200, "\(reply.text)")
        return try reply.leaseIDs.map { String($0.prefix(36)) }
      }
      let mail = try await harness.submitted(#"{"type":"mail","queue":"mails"}"#)
      var images: [String] = []
      for _ in 0..<5 { images.append(try await harness.submitted(#"{"type":"resize","queue":"images"}"#)) }
      #expect(try await ids(#""types":["mail"],"queues":["images"]"#) == [])
      #expect(try await ids(#""types":["resize"],"queues":["images"]"#) == [images[0]], "one, unless asked for more")
      #expect(try await ids(#""types":["resize"],"limit":2,"queues":["*"]"#) == Array(images[1...2]))
      #expect(try await ids(#""types":["resize","mail"],"limit":1000"#).sorted() == ([mail] + images[3...]).sorted())
    }
  }

  @Test func `a task that has lost a worker is not given to be begun later`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","backoff":{"baseSeconds":0}}"#)
      try await harness.attempt(id, nil)
      harness.time.advance(by: .seconds(60))
      _ = try await harness.store.rescue(limit: 10, randomness: 0)
      harness.time.advance(by: .seconds(60))
      _ = try await harness.store.promote(limit: 10)
      let ahead = try await harness.post("/leases", #"{"worker":"w1","types":["resize"],"limit":2,"ahead":2}"#)
      #expect(try ahead.leaseIDs == [])
      let now = try await harness.post("/leases", #"{"worker":"w1","types":["resize"],"limit":2,"ahead":1}"#)
      #expect(try now.leaseIDs.count == 1)
    }
  }

  @Test(arguments: [
    ("{}", ["/types"]),
    (#"{"worker":"api","types":["x"]}"#, ["/worker"]), (#"{"worker":"scheduler","types":["x"]}"#, ["/worker"]),
    (#"{"worker":"rescuer","types":["x"]}"#, ["/worker"]), (#"{"worker":"cli","types":["x"]}"#, ["/worker"]),
    (#"{"worker":"key:root","types":["x"]}"#, ["/worker"]), (#"{"worker":"token:ann","types":["x"]}"#, ["/worker"]),
    (#"{"worker":"anonymous","types":["x"]}"#, ["/worker"]), ("[]", [""]),
    (#"{"worker":1,"types":"x"}"#, ["/worker", "/types"]),
    (#"{"worker":"","types":[]}"#, ["/worker", "/types"]), (#"{"worker":"a\nb","types":["x"]}"#, ["/worker"]),
    (#"{"worker":"w","types":["x y",1]}"#, ["/types/1", "/types/0"]),
    (#"{"worker":"w","types":["x"],"queues":[]}"#, ["/queues"]),
    (#"{"worker":"w","types":["x"],"queues":["a","*"]}"#, ["/queues/1"]),
    (#"{"worker":"w","types":["x"],"limit":0}"#, ["/limit"]),
    (#"{"worker":"w","types":["x"],"limit":1001,"waitSeconds":61}"#, ["/limit", "/waitSeconds"]),
    (#"{"worker":"w","types":["x"],"limit":1.5}"#, ["/limit"]),
    (#"{"worker":"w","types":["x"],"limit":2,"ahead":3}"#, ["/ahead"]),
    (#"{"worker":"w","types":["x"],"waitSeconds":-1}"#, ["/waitSeconds"]),
    (#"{"worker":"w","types":["x"],"waitSeconds":1e308}"#, ["/waitSeconds"]),
    (#"{"worker":"w","types":["x"],"waitsSeconds":1}"#, ["/waitsSeconds"]),
    (#"{"worker":"w","types":["x"],"limit":1,"limit":2}"#, ["/limit"]),
  ])
  func `what is wrong with a request for work is told by its place, all at once`(
    body: String, pointers: [String]
  ) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/leases", body)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == pointers, "\(reply.text)")
    }
  }

  @Test func `hostile names are refused before they cost anything`() async throws {
    try await HTTPHarness.run { harness in
      func post(_ types: [String], _ queues: [String], worker: String = "w") async throws -> Reply {
        let body = try JSONSerialization.data(withJSONObject: ["worker": worker, "types": types, "queues": queues])
        return try await harness.post("/leases", String(decoding: body, as: UTF8.self))
      }
      let many = (0..<101).map { "t\($0)" }
      try await post(many, ["q"]).expectProblem(422, "invalid")
      try await post(["t"], many).expectProblem(422, "invalid")
      try await post(Array(many.prefix(100)), Array(many.prefix(11))).expectProblem(422, "invalid")
      try await post([String(repeating: "x", count: 129)], ["q"]).expectProblem(422, "invalid")
      try await post(["t"], ["q"], worker: String(repeating: "x", count: 257)).expectProblem(422, "invalid")
      try await post(["t"], ["q"], worker: "\u{202E}x\u{0}").expectProblem(422, "invalid")
    }
  }

  @Test(arguments: ["/leases", "/leases/renew", "/leases/finish"])
  func `a body must be JSON and say so, and only POST will do`(path: String) async throws {
    try await HTTPHarness.run { harness in
      try await harness.post(path, "{").expectProblem(400, "malformed-json")
      try await harness.act(path).expectProblem(415, "unsupported-media-type")
      try await harness.get(path).expectProblem(405, "method-not-allowed")
    }
  }

  @Test func `tasks are given back when their client has gone before they were found`() async throws {
    let claims = Claims()
    try await HTTPHarness.run(wrap: claims.watch) { harness in
      try await RawConnection.open(harness) { connection in
        try await connection.send(Self.request(#"{"worker":"gone","types":["resize"],"waitSeconds":60}"#))
        await claims.next()
      }
      while !harness.registry.render().contains(#"route="/leases""#) { await Task.yield() }  // it has noticed
      // What comes is for the next who asks, and nothing was used up.
      let id = try await harness.submitted()
      let reply = try await harness.post("/leases", #"{"worker":"w2","types":["resize"],"waitSeconds":60}"#)
      let lease = try #require(try reply.leaseIDs.first)
      #expect(lease.hasPrefix(id))
      let record = try await harness.get("/tasks/\(id)")
      #expect(try record.int("retriesLeft") == 3)
      #expect(try record.string("worker") == "w2")
    }
  }

  @Test func `a client that closes its side is answered with nothing at once`() async throws {
    let claims = Claims()
    try await HTTPHarness.run(wrap: claims.watch) { harness in
      try await RawConnection.open(harness) { connection in
        try await connection.send(Self.request(#"{"worker":"half","types":["resize"],"waitSeconds":60}"#))
        await claims.next()
        connection.finish()
        let replies = try await connection.rest()
        #expect(replies.map(\.status) == [200])
        #expect(try replies.first?.raw("leases") == "[]")
      }
    }
  }

  @Test func `a connection can wait again after it got work`() async throws {
    let claims = Claims()
    try await HTTPHarness.run(wrap: claims.watch) { harness in
      try await RawConnection.open(harness) { connection in
        for _ in 1...3 {
          try await connection.send(Self.request(#"{"worker":"w1","types":["resize"],"waitSeconds":60}"#))
          await claims.next()
          let id = try await harness.submitted()
          let reply = try await connection.replies(1)[0]
          #expect(try reply.leaseIDs.first?.hasPrefix(id) == true)
        }
      }
    }
  }

  @Test func `a server that shuts down answers long polls at once`() async throws {
    let claims = Claims()
    try await HTTPHarness.run(wrap: claims.watch) { harness in
      async let polled = harness.post("/leases", #"{"worker":"w1","types":["resize"],"waitSeconds":60}"#)
      await claims.next()
      await harness.shutDown()
      let reply = try await polled
      #expect(reply.status == 200)
      #expect(try reply.raw("leases") == "[]")
    }
  }

  @Test func `a store that is down makes 503 with Retry-After, and nothing is lost`() async throws {
    try await HTTPHarness.run(
      wrap: { FaultyStore($0) { operation, _ in [.claim, .renew, .finish].contains(operation) ? .before : nil } }
    ) { harness in
      let id = "01890000-0000-7000-8000-000000000000.1.0000000000000001"
      for (path, body) in [
        ("/leases", #"{"worker":"w1","types":["resize"]}"#),
        ("/leases", #"{"worker":"w1","types":["resize"],"waitSeconds":0.1}"#),
        ("/leases/renew", #"{"leases":[{"leaseId":"\#(id)"}]}"#),
        ("/leases/finish", #"{"results":[{"leaseId":"\#(id)","outcome":"SUCCESS"}]}"#),
      ] {
        let reply = try await harness.post(path, body)
        try reply.expectProblem(503, "store-unavailable")
        #expect(reply.header("retry-after") == "1")
      }
    }
  }

  @Test func `whoever asks for work is listed as a remote worker`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.post("/leases", #"{"worker":"w1","types":["b","a"],"queues":["q"]}"#)
      while try await harness.store.workers().isEmpty { await Task.yield() }
      let workers = try await harness.get("/workers").data
      #expect(workers.count == 1)
      #expect(workers.first?["id"] as? String == "w1")
      #expect(workers.first?["kind"] as? String == "remote")
      #expect(workers.first?["host"] as? String == "127.0.0.1")
      #expect(workers.first?["types"] as? [String] == ["a", "b"])
      #expect(workers.first?["queues"] as? [String] == ["q"])
    }
  }

  @Test func `a worker that asks for its types in turns is listed with all of them at once`() async throws {
    try await HTTPHarness.run { harness in
      for (type, known) in [("b", ["b"]), ("a", ["a", "b"]), ("b", ["a", "b"])] {
        _ = try await harness.post("/leases", #"{"worker":"w1","types":["\#(type)"],"queues":["q\#(type)"]}"#)
        while try await harness.store.workers().first?.types != known { await Task.yield() }
      }
      #expect(try await harness.store.workers().first?.queues == ["qa", "qb"])
    }
  }

  @Test func `a worker without a name gets one of its credential and its address`() async throws {
    try await HTTPHarness.run { harness in
      for body in [#"{"types":["resize"]}"#, #"{"worker":null,"types":["resize"]}"#] {
        let id = try await harness.submitted()
        #expect(try await harness.post("/leases", body).leaseIDs.count == 1)
        #expect(try await harness.get("/tasks/\(id)").string("worker") == "remote@127.0.0.1")
      }
    }
    let book = MemoryAPIKeyBook()
    let key = [("X-API-Key", book.add(["admin"], name: "shop"))]
    try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      let id = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: key).string("id")
      _ = try await harness.post("/leases", #"{"types":["resize"]}"#, headers: key)
      #expect(try await harness.get("/tasks/\(id)", headers: key).string("worker") == "shop@127.0.0.1")
    }
  }

  @Test func `a remote worker does not take the place of a node's worker`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.store.register(.stub("node-7"))
      for name in ["node-7", "own"] {
        _ = try await harness.post("/leases", #"{"worker":"\#(name)","types":["elsewhere"],"queues":["q"]}"#)
      }
      while try await harness.store.workers().count < 2 { await Task.yield() }
      let node = try #require(try await harness.store.workers().first { $0.id == "node-7" })
      #expect(node.kind == .node && node.types == ["resize"])
    }
  }

  private static func request(_ body: String) -> String {
    "POST /leases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
  }
}

/// Tells when the store is asked for work, so that a test knows that a long poll has begun.
struct Claims: Sendable {
  private let calls = AsyncStream<Void>.makeStream()
  func watch(_ store: any TaskStore) -> any TaskStore {
    FaultyStore(store) { [calls] operation, _ in
      if operation == .claim { calls.continuation.yield() }
      return nil
    }
  }

  func next() async {
    var iterator = calls.stream.makeAsyncIterator()
    await iterator.next()
  }
}

extension Reply {
  var leaseIDs: [String] {
    get throws {
      let leases = try #require(try object["leases"] as? [[String: Any]], "\(text)")
      return leases.compactMap { $0["leaseId"] as? String }
    }
  }
}
